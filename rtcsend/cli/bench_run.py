"""A measurement: two processes, a pipe between them, and what both report.

Each end is a function of :mod:`rtcsend.cli.bench_ends` (or of the project's benchmarks), run
in a new process of its own by ``multiprocessing``. Here they are started, waited for and
ended, also after Ctrl-C or an error; ends that a killed parent left behind stop by themselves,
since they only run for the seconds that they were given.

Place in the flow: used by :mod:`rtcsend.cli.bench`.
"""

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Final

from rtcsend.cli.bench_ends import (
    SET_UP_TIMEOUT,
    Link,
    Moved,
    aiortc_receiver,
    aiortc_sender,
    own_receiver,
    own_sender,
)
from rtcsend.datapath.sctp.pmtud import BASE_PLPMTU
from rtcsend.errors import InternalError, RtcsendError

_POLL: Final = 0.2  # seconds between two looks at whether to stop; people do not notice
_STOP_TIMEOUT: Final = 5.0  # seconds until a process that was told to end is made to

End = Callable[[Link, float], Moved]
"""One end: takes the pipe to the other one, and for how many seconds to measure. It goes to
another process, so it is a function of a module, or a ``partial`` of one."""


@dataclass(frozen=True, slots=True)
class Way:
    """Something to measure: what each of the two processes does."""

    sender: End
    receiver: End


OWN: Final = Way(own_sender, own_receiver)
OWN_SMALL: Final = Way(
    partial(own_sender, max_packet=BASE_PLPMTU), partial(own_receiver, max_packet=BASE_PLPMTU)
)
"""Our own data path, its packets held at 1,200 bytes with DTLS around them."""
AIORTC: Final = Way(aiortc_sender, aiortc_receiver)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came out.

    Attributes:
        bytes_per_s: What arrived.
        cpu_seconds_per_gb: CPU time of both processes together, for 10^9 bytes.
    """

    bytes_per_s: float
    cpu_seconds_per_gb: float


def measure(way: Way, *, seconds: float, check: Callable[[], None]) -> Measured:
    """Run both ends once.

    Args:
        way: What to run.
        seconds: How long to count.
        check: Called several times a second; raises when it is time to stop.

    Raises:
        RtcsendError: What an end raised.
        InternalError: An end broke, or took much too long.
    """
    context = multiprocessing.get_context("spawn")
    deadline = time.monotonic() + seconds + 2 * SET_UP_TIMEOUT
    with contextlib.ExitStack() as stack:
        one, other = context.Pipe()
        sender = stack.enter_context(_running(context, way.sender, one, seconds))
        receiver = stack.enter_context(_running(context, way.receiver, other, seconds))
        one.close()
        other.close()
        reports: dict[Link, Moved] = {}
        while len(reports) < len((sender, receiver)):
            check()
            if time.monotonic() > deadline:
                raise InternalError("A process of the measurement does not come to its end.")
            for report in wait([each for each in (sender, receiver) if each not in reports], _POLL):
                reports[report] = _read(report)
    sent, received = reports[sender], reports[receiver]
    cpu = sent.cpu / sent.seconds + received.cpu / received.seconds
    rate = received.size / received.seconds
    return Measured(bytes_per_s=rate, cpu_seconds_per_gb=cpu / rate * 1e9)


@contextlib.contextmanager
def _running(context: SpawnContext, end: End, link: Link, seconds: float) -> Iterator[Link]:
    """Run an end in a process; yield the pipe that has its report. The process ends with it."""
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_run_end, args=(end, link, seconds, writer), daemon=True)
    with _without_ctrl_c():
        process.start()
    writer.close()
    try:
        yield reader
    finally:
        _stop(process)
        reader.close()


def _run_end(end: End, link: Link, seconds: float, report: Link) -> None:
    """Be the process of one end."""
    try:
        result: Moved | RtcsendError = end(link, seconds)
    except RtcsendError as exc:
        result = type(exc)(exc.message, hint=exc.hint)
    except Exception as exc:  # the border of the process: its parent says what happened
        result = InternalError(f"A process of the measurement broke ({type(exc).__name__}: {exc}).")
    with contextlib.suppress(OSError):  # the parent is gone
        if isinstance(result, RtcsendError):
            report.send((type(result), result.message, result.hint))
        else:
            report.send(result)


def _read(report: Link) -> Moved:
    try:
        result = report.recv()
    except EOFError as exc:
        raise InternalError("A process of the measurement ended without a word.") from exc
    if isinstance(result, Moved):
        return result
    kind, message, hint = result
    error: RtcsendError = kind(message, hint=hint)
    raise error


def _stop(process: SpawnProcess) -> None:
    """End a process, politely where it is about to end anyway."""
    if process.exitcode is None:
        process.terminate()
        process.join(_STOP_TIMEOUT)
    if process.exitcode is None:
        process.kill()
        process.join()
    process.close()


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Let what is started in here never see Ctrl-C: its parent does, and ends it.

    The mask of blocked signals is inherited; this process gets what came meanwhile afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
