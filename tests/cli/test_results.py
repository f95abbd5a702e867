import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rtcsend.cli.json_output import PROGRESS_INTERVAL, JsonOutput
from rtcsend.cli.results import ResultLines
from rtcsend.events import Reconnecting
from tests.cli.fake_engine import DONE, TOTAL, progress

Capture = pytest.CaptureFixture[str]


def never() -> None:
    raise AssertionError("somebody reads")


@contextmanager
def standard_output_is_a_pipe() -> Iterator[int]:
    """Yield its reading end, which is to be closed by the caller."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", stream)
        yield reading


def test_lines_come_in_order_and_complete(capfd: Capture) -> None:
    results = ResultLines(on_broken=never)
    for number in range(500):
        results.put(str(number))
    results.close()
    assert capfd.readouterr().out.split() == [str(number) for number in range(500)]


def test_undecodable_names_come_out_as_they_went_in(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    results = ResultLines(on_broken=never)
    results.put(os.fsdecode(b"t\xeate"))
    results.close()
    assert capfdbinary.readouterr().out == b"t\xeate\n"


def test_a_reader_that_stands_still_stops_nothing() -> None:
    with standard_output_is_a_pipe() as reading:
        results = ResultLines(on_broken=never)
        results.put("x" * 200_000)  # more than a pipe holds
        for number in range(10_000):
            results.put(f"progress {number}", droppable=True)  # returns at once, or never
        results.put("done")
        received = b""
        while not received.endswith(b"done\n"):
            received += os.read(reading, 65536)
        results.close()
        os.close(reading)
    lines = received.splitlines()
    assert len(lines) < 100
    assert lines[1] == b"progress 0"


def test_the_first_word_of_a_loss_comes_even_then() -> None:
    with standard_output_is_a_pipe() as reading:
        results = ResultLines(on_broken=never)
        output = JsonOutput(results=results, clock=lambda: 0.0)
        results.put("x" * 200_000)  # more than a pipe holds
        for _loss in range(3):
            for attempt in range(1, 30):
                output.emit(Reconnecting(reason="The path is dead.", attempt=attempt))
        results.put("done")
        received = b""
        while not received.endswith(b"done\n"):
            received += os.read(reading, 65536)
        results.close()
        os.close(reading)
    assert received.count(b'"attempt": 1}') == 3
    assert received.count(b'"attempt"') < 30


def test_a_reader_that_goes_away_is_told_once() -> None:
    told = []
    with standard_output_is_a_pipe() as reading:
        os.close(reading)
        results = ResultLines(on_broken=lambda: told.append(True))
        results.put("one")
        results.put("two")
        results.close()
    assert told == [True]


def test_a_process_without_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    results = ResultLines(on_broken=never)
    results.put("into the void")
    results.close()
    os.close(results._fd)


def test_progress_comes_four_times_a_second_and_at_the_end(capfd: Capture) -> None:
    now = 0.0
    output = JsonOutput(results=ResultLines(on_broken=never), clock=lambda: now)
    for tick in range(11):  # one second, in tenths
        now = tick / 10
        output.emit(progress(tick))
    output.emit(progress(TOTAL))
    output.emit(DONE)
    output.tell("people")
    output.clear()
    output.close()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["bytes"] for line in lines] == [0, 3, 6, 9, TOTAL, TOTAL]
    assert lines[-1]["event"] == "done"
    assert PROGRESS_INTERVAL == 0.25
