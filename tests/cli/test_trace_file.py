"""``--trace FILE``: the place where it goes, and what may go wrong there."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from rtcsend.cli.trace_file import TraceFile, traced
from rtcsend.errors import CannotWrite, ConnectionLost, TargetExists, UsageError
from rtcsend.options import SendOptions
from rtcsend.trace import Recorder, Step, note

FULL = Path("/dev/full")


def options(*paths: Path) -> SendOptions:
    return SendOptions(paths=paths)


def run(path: Path | None, *, raising: Exception | None = None, addresses: bool = False) -> None:
    with traced(path, addresses=addresses, command="send", options=options()) as recorder:
        assert isinstance(recorder, Recorder) == (path is not None)
        note(Step.WELCOME, ice_servers=1)
        if raising is not None:
            raise raising


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_from_start_to_end(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    run(path)
    start, welcome, end = lines(path)
    assert (start["step"], start["command"], start["route"]) == ("start", "send", "any")
    assert welcome["step"] == "welcome"
    assert (end["exit"], end["error"]) == (0, None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("raising", "code", "slug"),
    [(ConnectionLost("Gone."), 31, "connection-lost"), (ZeroDivisionError(), 1, "bug")],
)
def test_other_ends(tmp_path: Path, raising: Exception, code: int, slug: str) -> None:
    path = tmp_path / "trace"
    with pytest.raises(type(raising)):
        run(path, raising=raising)
    end = lines(path)[-1]
    assert (end["step"], end["exit"], end["error"]) == ("end", code, slug)


def test_no_trace() -> None:
    run(None)
    with pytest.raises(UsageError, match="--trace-addresses goes with --trace"):
        run(None, addresses=True)


def test_an_old_trace_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    run(path)
    path.chmod(0o644)
    with path.open("a") as file:
        file.write("x" * 10_000)
    run(path)
    assert len(lines(path)) == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_empty_file_is_used(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.touch(mode=0o644)
    run(path)
    assert len(lines(path)) == 3


@pytest.mark.parametrize(
    "content", [b"x", b'{"v": 1}\n', b'{"t": 0.0, "step": "end"}\n', b"\0" * 99]
)
def test_nothing_else_is_written_over(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "thesis.tex"
    path.write_bytes(content)
    path.chmod(0o640)
    with pytest.raises(TargetExists, match=r"thesis\.tex is there already, and is no trace"):
        run(path)
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_what_is_sent_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    run(path)
    before = path.read_bytes()
    link = tmp_path / "link"
    link.symlink_to(path)
    for sent in (path, link):
        with pytest.raises(UsageError, match="to be sent"):
            with traced(path, addresses=False, command="send", options=options(sent)):
                pytest.fail("it began")
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["", "no/such/folder", "\x1b"])
def test_where_nothing_can_be_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "\x1b":
        path.mkdir()
    with pytest.raises(CannotWrite, match="The trace cannot be written") as caught:
        run(path)
    assert "\x1b" not in caught.value.message


def test_it_takes_a_name() -> None:
    with pytest.raises(UsageError):
        run(Path("-"))


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_a_full_disk_ends_the_trace_alone() -> None:
    run(FULL)


def test_a_pipe_that_is_full_or_closed(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(CannotWrite):  # nobody reads
        run(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        file = TraceFile(path)
        for number in range(100_000):  # more than any pipe holds; it does not wait
            file.write(f'{{"t": {number}}}\n')
        file.close()
        whole = b"".join(iter(lambda: os.read(reader, 1 << 20), b""))
        assert whole.startswith(b'{"t": 0}\n')
        assert len(whole) < 1 << 21
        file = TraceFile(path)
    finally:
        os.close(reader)
    file.write("x\n")  # SIGPIPE is Python's to ignore, and the rest ours
    file.write("x\n")
    file.close()
