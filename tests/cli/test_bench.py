import json
import os
import re
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from rtcsend.cli import bench_run
from rtcsend.cli.bench import BenchDone
from rtcsend.cli.bench_ends import Link, Meter, Moved
from rtcsend.cli.bench_run import Measured, Way, measure
from rtcsend.cli.main import main
from rtcsend.errors import CannotRead, InternalError, Interrupted, NoRoute
from tests.cli.pty_process import PtyProcess

Capture = pytest.CaptureFixture[str]


def never() -> None:
    """Nobody wants to stop."""


def fake_sender(link: Link, seconds: float) -> Moved:
    assert link.recv() == "from the other end"
    return Moved(size=0, seconds=2.0, cpu=1.0)


def fake_receiver(link: Link, seconds: float) -> Moved:
    link.send("from the other end")
    return Moved(size=3_000_000, seconds=seconds, cpu=1.5)


def failing(link: Link, seconds: float) -> Moved:
    raise NoRoute("It cannot be reached.", hint="Move it.")


def broken(link: Link, seconds: float) -> Moved:
    raise ValueError("out of luck")


def dead(link: Link, seconds: float) -> Moved:
    os._exit(3)


def waiting(path: Path, link: Link, seconds: float) -> Moved:
    with path.open("a") as file:
        file.write(f"{os.getpid()}\n")
    signal.pause()
    raise AssertionError


def test_it_weighs_what_both_ends_report() -> None:
    measured = measure(Way(fake_sender, fake_receiver), seconds=3.0, check=never)
    assert measured.bytes_per_s == 1_000_000
    assert measured.cpu_seconds_per_gb == pytest.approx(1000 * (0.5 + 0.5))


@pytest.mark.parametrize(
    ("way", "error", "text"),
    [
        (Way(failing, fake_receiver), NoRoute, "It cannot be reached."),
        (Way(broken, fake_receiver), InternalError, "ValueError: out of luck"),
        (Way(fake_sender, dead), InternalError, "A process of the measurement "),
    ],
)
def test_what_an_end_raises_is_raised(way: Way, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        measure(way, seconds=1.0, check=never)


def test_stopping_ends_both(tmp_path: Path) -> None:
    log = tmp_path / "pids"
    log.touch()
    end = partial(waiting, log)

    def check() -> None:
        if len(log.read_text().splitlines()) == 2:
            raise Interrupted("Stopped by Ctrl-C.")

    with pytest.raises(Interrupted):
        measure(Way(end, end), seconds=1.0, check=check)
    for pid in map(int, log.read_text().split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_meter_starts_with_the_first_message() -> None:
    meter = Meter(0.0)
    assert not meter.count(10)
    assert meter.count(5)
    assert meter.moved is not None
    assert meter.moved.size == 5


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {bench_run.OWN: 300e6, bench_run.OWN_SMALL: 100e6, bench_run.AIORTC: 10e6}

    def fake(way: Way, **_options: object) -> Measured:
        return Measured(bytes_per_s=rates[way], cpu_seconds_per_gb=2.0)

    monkeypatch.setattr(bench_run, "measure", fake)


@pytest.mark.usefixtures("figures")
def test_the_table(capfd: Capture) -> None:
    assert main(["bench", "--seconds", "1"]) == 0
    out, err = capfd.readouterr()
    assert [line.split()[-4:] for line in out.splitlines()[1:]] == [
        ["300", "MB/s", "30.00", "2.0"],
        ["100", "MB/s", "10.00", "2.0"],
        ["10.0", "MB/s", "1.00", "2.0"],
    ]
    assert "Measuring plain aiortc…" in err


@pytest.mark.usefixtures("figures")
def test_json(capfd: Capture) -> None:
    assert main(["bench", "--json"]) == 0
    out, err = capfd.readouterr()
    event = json.loads(out)
    assert (event.pop("v"), event.pop("event")) == (1, "bench")
    done = BenchDone(**event)
    assert (done.bytes_per_s, done.ratio, done.small_ratio) == (300_000_000, 30.0, 10.0)
    assert not err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "601", "x"])
def test_seconds(seconds: str, capfd: Capture) -> None:
    assert main(["bench", f"--seconds={seconds}"]) == 2
    assert capfd.readouterr().err


def test_an_error_is_two_sentences(monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    def fake(_way: Way, **_options: object) -> Measured:
        raise CannotRead("It is gone.", hint="Look for it.")

    monkeypatch.setattr(bench_run, "measure", fake)
    assert main(["bench", "--json"]) == 50
    assert capfd.readouterr().err == "rtcsend: It is gone.\nLook for it.\n"


@pytest.mark.e2e
def test_for_real(capfd: Capture) -> None:
    assert main(["bench", "--seconds", "0.2", "--json"]) == 0
    event = json.loads(capfd.readouterr().out)
    assert event["aiortc_bytes_per_s"] > 0
    assert event["bytes_per_s"] > 0
    assert event["small_bytes_per_s"] > 0


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_ctrl_c_leaves_nothing_behind() -> None:
    command = [sys.executable, "-m", "rtcsend", "bench", "--seconds", "60"]
    with PtyProcess(command, environment={"BENCH_TEST": str(os.getpid())}) as process:
        process.expect("Measuring rtcsend")
        process.type("\x03")
        assert process.wait() == 130
        assert "Stopped by Ctrl-C." in process.output
        assert "Nothing is left of it; run it again." in process.output
        assert "Traceback" not in process.output
    mark = f"BENCH_TEST={os.getpid()}".encode()
    left = [each for each in Path("/proc").glob("[0-9]*/environ") if mark in _read(each)]
    assert not left


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # somebody else's, or gone
        return b""
