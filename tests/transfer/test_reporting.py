import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.events import Done, Event, Progress
from rtcsend.transfer.reporting import REPORT_INTERVAL, Reporter, nothing_done


def test_not_more_often_than_the_interval() -> None:
    events: list[Event] = []
    reporter = Reporter(10_000, emit=events.append, now=0.0)
    for millisecond in range(1_000):
        reporter.written(millisecond, now=millisecond / 1_000)
    assert 10 <= len(events) <= 1.0 / REPORT_INTERVAL + 1


def test_the_last_one_comes_at_once_and_once() -> None:
    events: list[Event] = []
    reporter = Reporter(100, emit=events.append, now=0.0)
    reporter.written(99, now=0.0)
    for _ in range(5):
        reporter.written(100, now=0.001)
    reporter.written(100, now=60.0)
    assert [event.bytes for event in events if isinstance(event, Progress)] == [99, 100]


def test_an_empty_file_has_one_report() -> None:
    events: list[Event] = []
    reporter = Reporter(0, emit=events.append, now=0.0)
    reporter.written(0, now=0.0)
    reporter.written(0, now=1.0)
    assert events == [Progress(bytes=0, total=0, bytes_per_s=0)]


def test_a_stalled_transfer_goes_on_reporting_a_falling_rate() -> None:
    events: list[Event] = []
    reporter = Reporter(100, emit=events.append, now=0.0)
    for second in range(10):
        reporter.written(50, now=1.0 + second)
    rates = [event.bytes_per_s for event in events if isinstance(event, Progress)]
    assert (rates[0], rates[-1]) == (50, 0)


@given(st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)), max_size=50))
def test_whatever_is_written_reports_are_few_and_true(steps: list[tuple[int, int]]) -> None:
    total = sum(size for _, size in steps) + 1
    events: list[Event] = []
    reporter = Reporter(total, emit=events.append, now=0.0)
    now, written = 0.0, 0
    for pause_ms, size in steps:
        now, written = now + pause_ms / 1_000, written + size
        reporter.written(written, now=now)
    reporter.written(total, now=now)
    counts = [event.bytes for event in events if isinstance(event, Progress)]
    assert counts == sorted(counts)
    assert counts[-1] == total
    assert len(counts) <= now / REPORT_INTERVAL + 2


def test_done() -> None:
    reporter = Reporter(7, emit=lambda _event: pytest.fail("done is returned"), now=10.0)
    assert reporter.done(digest="ab", path="/x", now=12.5) == Done(
        files=1, bytes=7, seconds=2.5, blake3="ab", paths=("/x",)
    )


def test_nothing_done() -> None:
    assert nothing_done() == Done(files=0, bytes=0, seconds=0.0, blake3="", paths=())
