"""Progress for screen readers and logs: lines, not too many, and nothing that moves."""

import pytest

from rtcsend.cli.figures import TransferState
from rtcsend.cli.plain import PlainProgress
from tests.cli import fake_engine
from tests.cli.pty_process import PtyProcess


def state(done: int, total: int | None = 4_400_000_000) -> TransferState:
    return TransferState(name="film.iso", bytes=done, total=total, bytes_per_s=1_000_000)


def test_a_line() -> None:
    progress = PlainProgress()
    assert progress.line(state(0), now=10.0) == ""
    assert progress.line(state(1_000_000_000), now=14.9) == ""
    assert progress.line(state(1_100_000_000), now=15.0) == (
        "25 %, 1.1/4.4 GB, 1.0 MB/s, 55:00 left"
    )


def test_a_stream_has_no_end_in_sight() -> None:
    progress = PlainProgress()
    progress.line(state(0, None), now=0.0)
    assert progress.line(state(5_000_000, None), now=5.0) == "5.0 MB, 1.0 MB/s"


def test_the_end_has_its_own_line() -> None:
    progress = PlainProgress()
    progress.line(state(0), now=0.0)
    assert progress.line(state(4_400_000_000), now=60.0) == ""


@pytest.mark.parametrize(("seconds", "lines"), [(4, 0), (60, 11), (3_600, 51), (86_400, 81)])
def test_they_become_rarer(seconds: int, lines: int) -> None:
    progress = PlainProgress()
    reports = range(4 * seconds)
    told = [text for n in reports if (text := progress.line(state(n), now=n / 4))]
    assert len(told) == pytest.approx(lines, abs=2)


def test_a_short_transfer_says_what_it_always_said() -> None:
    with PtyProcess(
        fake_engine.command(fake_engine.success, "receive", "-y", "--plain", "7-guitar-velvet")
    ) as process:
        assert process.wait() == 0
        assert "\x1b" not in process.output
        assert "Saved film.iso (BLAKE3 verified)" in process.lines()
