from hypothesis import given
from hypothesis import strategies as st

from rtcsend.events import Checking, Done, Event, Progress, Resumed
from rtcsend.transfer.reporting import REPORT_INTERVAL, Reporter, nothing_done


def test_not_more_often_than_the_interval() -> None:
    events: list[Event] = []
    reporter = Reporter(10_000, emit=events.append, now=0.0)
    for millisecond in range(1_000):
        reporter.progress(millisecond, moved=millisecond, now=millisecond / 1_000)
    assert 10 <= len(events) <= 1.0 / REPORT_INTERVAL + 1


def test_the_last_one_comes_at_once_and_once() -> None:
    events: list[Event] = []
    reporter = Reporter(100, emit=events.append, now=0.0)
    reporter.progress(99, moved=99, now=0.0)
    for _ in range(5):
        reporter.progress(100, moved=100, now=0.001)
    reporter.progress(100, moved=100, now=60.0)
    assert [event.bytes for event in events if isinstance(event, Progress)] == [99, 100]


def test_an_empty_file_has_one_report() -> None:
    events: list[Event] = []
    reporter = Reporter(0, emit=events.append, now=0.0)
    reporter.progress(0, moved=0, now=0.0)
    reporter.progress(0, moved=0, now=1.0)
    assert events == [Progress(bytes=0, total=0, bytes_per_s=0)]


def test_a_stalled_transfer_goes_on_reporting_a_falling_rate() -> None:
    events: list[Event] = []
    reporter = Reporter(100, emit=events.append, now=0.0)
    for second in range(10):
        reporter.progress(50, moved=50, now=1.0 + second)
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
        reporter.progress(written, moved=written, now=now)
    reporter.progress(total, moved=total, now=now)
    counts = [event.bytes for event in events if isinstance(event, Progress)]
    assert counts == sorted(counts)
    assert counts[-1] == total
    assert len(counts) <= now / REPORT_INTERVAL + 2


def test_the_rate_does_not_count_what_did_not_travel_nor_the_pause() -> None:
    events: list[Event] = []
    reporter = Reporter(10_000, emit=events.append, now=0.0)
    reporter.connected(start=0, offered=0, now=0.0)
    reporter.progress(1_000, moved=1_000, now=1.0)
    reporter.connected(start=5_000, offered=0, now=100.0)
    reporter.progress(6_000, moved=2_000, now=101.0)
    rates = [event.bytes_per_s for event in events if isinstance(event, Progress)]
    assert rates == [1_000, 1_000]
    assert Resumed(bytes=5_000) in events


def test_progress_does_not_go_back() -> None:
    events: list[Event] = []
    reporter = Reporter(10_000, emit=events.append, now=0.0)
    for second, position in enumerate([3_000, 2_000, 4_000]):
        reporter.progress(position, moved=position, now=float(second))
    assert [event.bytes for event in events if isinstance(event, Progress)] == [3_000, 3_000, 4_000]


def test_what_an_earlier_run_has_left_is_told_when_it_is_known() -> None:
    events: list[Event] = []
    reporter = Reporter(10_000, emit=events.append, now=0.0)
    reporter.connected(start=0, offered=8_000, now=0.0)
    for tenth in range(9):
        reporter.compared(1_000 * tenth, kept=500 * tenth, now=1.0 + tenth // 2)
    assert events == [
        *(Checking(bytes=count, total=8_000) for count in range(0, 8_000, 2_000)),
        Resumed(bytes=4_000),
    ]
    reporter.compared(9_000, kept=4_000, now=9.0)
    assert len(events) == 5


def test_where_nothing_was_right_nothing_is_told() -> None:
    events: list[Event] = []
    reporter = Reporter(10_000, emit=events.append, now=0.0)
    reporter.connected(start=0, offered=8_000, now=0.0)
    reporter.compared(8_000, kept=0, now=1.0)
    assert events == []


def test_done() -> None:
    reporter = Reporter(7, emit=lambda _event: None, now=10.0)
    reporter.progress(7, moved=5, now=12.0)
    assert reporter.done(files=3, digest="ab", paths=["/x", "/y"], wire=4, now=12.5) == Done(
        files=3, bytes=7, moved=5, seconds=2.5, blake3="ab", paths=("/x", "/y"), wire=4
    )


def test_nothing_done() -> None:
    assert nothing_done() == Done(files=0, bytes=0, moved=0, seconds=0.0, blake3="", paths=())
