import asyncio
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from rtcsend.cli.signals import SERVES_ON, Stopper, stopped_by
from rtcsend.errors import Declined, Interrupted, StoppedByUser, Terminated
from tests.cli import fake_engine
from tests.cli.fake_engine import Scenario
from tests.cli.pty_process import ROOT, PtyProcess, Screen

CODE = "7-guitar-velvet"
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]


def no_restore() -> None:
    raise AssertionError("the process does not end at once here")


async def for_ever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGINT, Interrupted), (signal.SIGTERM, Terminated), (signal.SIGHUP, Terminated)],
)
def test_a_signal_cancels_and_says_why(number: signal.Signals, error: type[StoppedByUser]) -> None:
    cancelled = []

    async def work() -> None:
        os.kill(os.getpid(), number)
        try:
            await for_ever()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    before = signal.getsignal(number)
    with pytest.raises(error, match="Stopped by"):
        Stopper(restore=no_restore).run(work())
    assert cancelled
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    ("hint", "said"), [(None, "Run both commands again to go on"), (SERVES_ON, SERVES_ON)]
)
def test_what_to_do_then(hint: str | None, said: str) -> None:
    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await for_ever()

    with pytest.raises(Terminated) as caught:
        Stopper(restore=no_restore, hint=hint).run(work())
    assert caught.value.hint.startswith(said)


def test_a_signal_is_heard_while_the_loop_sleeps() -> None:
    """Also when it does not interrupt the main thread's system call, as with one in between."""
    threads = []

    def signal_elsewhere() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        time.sleep(0.05)  # so that it would fail: until the loop sleeps
        os.kill(os.getpid(), signal.SIGHUP)

    async def work() -> None:
        thread = threading.Thread(target=signal_elsewhere)
        threads.append(thread)
        thread.start()
        await for_ever()

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        with pytest.raises(Terminated, match="SIGHUP"):
            Stopper(restore=no_restore).run(work())
        threads[0].join()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_stop_from_another_thread() -> None:
    stopper = Stopper(restore=no_restore)

    async def work() -> None:
        threading.Thread(target=stopper.stop, args=(Terminated("Enough."),)).start()
        await for_ever()

    with pytest.raises(Terminated, match="Enough"):
        stopper.run(work())


def test_stop_before_the_start() -> None:
    stopper = Stopper(restore=no_restore)
    stopper.stop(Terminated("Enough."))
    with pytest.raises(Terminated, match="Enough"):
        stopper.run(for_ever())


def test_stop_after_the_end_is_too_late() -> None:
    stopper = Stopper(restore=no_restore)

    async def work() -> int:
        return 7

    assert stopper.run(work()) == 7
    stopper.stop(Terminated("Enough."))


def test_an_error_while_stopping_is_a_consequence() -> None:
    stopper = Stopper(restore=no_restore)

    async def work() -> None:
        stopper.stop(Interrupted("Enough."))
        try:
            await for_ever()
        except asyncio.CancelledError:
            raise Declined("as a consequence") from None

    with pytest.raises(Interrupted) as caught:
        stopper.run(work())
    assert isinstance(caught.value.__cause__, Declined)


def test_a_result_that_was_there_already_counts() -> None:
    stopper = Stopper(restore=no_restore)

    async def work() -> int:
        stopper.stop(Interrupted("Enough."))
        try:
            await for_ever()
        except asyncio.CancelledError:
            return 7
        return 0

    assert stopper.run(work()) == 7


def test_cancelling_without_a_reason_is_passed_on() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        Stopper(restore=no_restore).run(work())


def test_stopped_by_names_the_signal() -> None:
    assert stopped_by(signal.SIGINT).message == "Stopped by Ctrl-C."
    assert stopped_by(signal.SIGHUP).message == "Stopped by SIGHUP."


@pytest.mark.parametrize(("number", "exit_code"), SIGNALS)
@pytest.mark.parametrize("scenario", [fake_engine.waiting, fake_engine.moving])
def test_nothing_moving_is_left_behind(
    number: signal.Signals, exit_code: int, scenario: Scenario, film: Path
) -> None:
    with PtyProcess(fake_engine.command(scenario, "send", film)) as process:
        process.expect("2.2/4.4 GB" if scenario is fake_engine.moving else "Waiting for the other")
        process.kill(number)
        assert process.wait() == exit_code
        name = "Ctrl-C" if number == signal.SIGINT else number.name
        assert process.lines() == [
            "On the other machine, run:",
            f"    rtcsend receive {CODE}",
            f"rtcsend: Stopped by {name}.",
            "Run both commands again to go on where it stopped.",
        ]
        assert Screen(process.output).cursor_shown


def test_ctrl_c_on_the_keyboard_while_asking() -> None:
    with PtyProcess(fake_engine.command(fake_engine.success, "receive", CODE)) as process:
        process.expect("Accept? [Y/n] ")
        process.type("perhaps")
        process.expect("perhaps")
        process.type("\x03")
        assert process.wait() == 130
        assert process.lines() == [
            "film.iso  4.4 GB  from ada-laptop",
            "rtcsend: Stopped by Ctrl-C.",
            "Run both commands again to go on where it stopped.",
        ]


def test_a_question_is_taken_back_when_the_other_side_goes() -> None:
    with PtyProcess(fake_engine.command(fake_engine.aborted, "receive", CODE)) as process:
        process.expect("Accept? [Y/n] ")
        process.type("perh")
        process.expect("perh")
        process.kill(fake_engine.GO)
        assert process.wait() == 41
        assert process.lines()[1] == "rtcsend: The other side stopped: enough."


@pytest.mark.parametrize(
    ("first", "second", "exit_code"),
    [(signal.SIGINT, signal.SIGINT, 130), (signal.SIGINT, signal.SIGTERM, 143)],
)
def test_a_second_signal_ends_at_once(
    first: signal.Signals, second: signal.Signals, exit_code: int, film: Path
) -> None:
    with PtyProcess(fake_engine.command(fake_engine.stubborn, "send", film)) as process:
        process.expect("Waiting for the other side")
        process.kill(first)
        process.expect("Connecting")  # it was told, and goes on all the same
        process.kill(second)
        assert process.wait() == exit_code
        assert Screen(process.output).cursor_shown


def test_nobody_reads_standard_output(film: Path) -> None:
    process = subprocess.Popen(
        fake_engine.command(fake_engine.talkative, "send", "--json", film),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stdout, process.stderr:
        assert '"paired"' in process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(90) == 143


def test_nobody_ever_read_standard_output(film: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        fake_engine.command(fake_engine.waiting, "send", film),
        cwd=ROOT,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert ended.returncode == 143
    assert ended.stderr.splitlines()[-1] == "Waiting for the other side…"
