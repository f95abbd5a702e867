"""The transfer of the demo: a random file, two processes, and the comparison.

The children are told apart from a user's own transfers by a runtime folder of their own.
Their lines of JSON are believed for the figures only: whether the copy is the source is
found out here.

Place in the flow: used by :mod:`rtcsend.cli.demo`.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from blake3 import blake3

from rtcsend.cli.children import Child, Line, lines_until_closed, make_queue
from rtcsend.cli.figures import TransferState, format_size
from rtcsend.cli.results import write_all
from rtcsend.cli.terminal import say
from rtcsend.errors import CannotWrite, DigestMismatch, InternalError, PeerAborted, RtcsendError
from rtcsend.events import Event, Progress
from rtcsend.options import DATAPATH_VARIABLE

if TYPE_CHECKING:
    from rtcsend.cli.live import LiveView

_BLOCK: Final = 1 << 20  # bytes; random data and hashing in pieces of this size
_SPARE: Final = 64 << 20  # bytes of the disk that the demo leaves free
_OTHER_FOLDER: Final = "Give a smaller --size, or let TMPDIR name a folder with more space."
_FILE_NAME: Final = "demo.bin"
_TIMEOUT: Final = "120"  # seconds; both sides are here, so that nobody is waited for long


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoDone(Event):
    """The demo has ended well; its figures."""

    name: ClassVar[str] = "demo"
    bytes: int
    seconds: float
    """From the first byte to the final acknowledgement, as the sender measured."""
    bytes_per_s: int
    setup_seconds: float
    """From the start of the receiving process to its first byte."""
    route: str
    sender_peak_bytes: int | None
    """The most memory that the process had at once; null where the system does not tell."""
    receiver_peak_bytes: int | None
    blake3: str
    """Hexadecimal digest of the source, and of the copy."""


def program() -> list[str]:
    """Return how to run rtcsend from here."""
    return [sys.executable, "-m", "rtcsend"]


class Demo:
    """One run.

    Args:
        folder: Empty, and nobody else's.
        size: Bytes to move.
        view: Where progress is drawn; None: nowhere.
        forward: Print progress as JSON lines.
        check: Called several times a second; raises when it is time to stop.
    """

    def __init__(
        self,
        folder: Path,
        *,
        size: int,
        view: "LiveView | None",
        forward: bool,
        check: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._check = check
        self._size = size
        self._view = view
        self._forward = forward
        self._route = ""
        self._setup_seconds: float | None = None
        self._seconds = 0.0
        self._errors: list[dict[str, Any]] = []

    def run(self) -> DemoDone:
        """Make the file, move it, and compare.

        Raises:
            RtcsendError: What either side reported.
            DigestMismatch: The copy differs from the source.
        """
        source, copies = self._folder / "source" / _FILE_NAME, self._folder / "copy"
        source.parent.mkdir()
        copies.mkdir()
        self._status(f"Writing {format_size(self._size)} of random bytes…")
        digest = self._write_random(source)
        self._status("Starting two processes…")
        sender, receiver = self._transfer(source, copies)
        self._status("Comparing…")
        if self._digest_of(copies / _FILE_NAME) != digest:
            raise DigestMismatch("The copy differs from the source.")
        assert self._setup_seconds is not None, "without a first byte there is no copy"
        return DemoDone(
            bytes=self._size,
            seconds=self._seconds,
            bytes_per_s=int(self._size / self._seconds) if self._seconds else 0,
            setup_seconds=round(self._setup_seconds, 3),
            route=self._route,
            sender_peak_bytes=sender.peak_bytes,
            receiver_peak_bytes=receiver.peak_bytes,
            blake3=digest,
        )

    def _transfer(self, source: Path, copies: Path) -> tuple[Child, Child]:
        lines = make_queue()
        environment = self._environment()
        with contextlib.ExitStack() as stack:
            sender = Child(
                [*program(), "send", "--json", "--timeout", _TIMEOUT, str(source)],
                environment=environment,
                complaints=self._folder / "sender.log",
                lines=lines,
            )
            stack.callback(sender.stop)
            code = self._wait_for_code(
                sender, lines_until_closed(lines, [sender], check=self._check)
            )
            receiver = Child(
                [*program(), "receive", "--json", "--timeout", _TIMEOUT, "-y", "-o", str(copies)],
                environment={**environment, "RTCSEND_CODE": code},
                complaints=self._folder / "receiver.log",
                lines=lines,
            )
            stack.callback(receiver.stop)
            for line in lines_until_closed(lines, [sender, receiver], check=self._check):
                self._on_line(line, sender=sender, receiver=receiver)
            self._raise_errors(sender, receiver)
            return sender, receiver

    def _environment(self) -> dict[str, str]:
        runtime = self._folder / "run"
        runtime.mkdir(mode=0o700)
        kept = {
            key: text
            for key, text in os.environ.items()
            if not key.startswith("RTCSEND_") or key == DATAPATH_VARIABLE
        }
        return {**kept, "RTCSEND_DISCOVERY": "local", "XDG_RUNTIME_DIR": str(runtime)}

    def _wait_for_code(self, sender: Child, lines: Iterator[Line]) -> str:
        for line in lines:
            if line.event is not None and line.event.get("event") == "code":
                return str(line.event["code"])
            self._keep_error(line)
        self._raise_errors(sender)
        raise InternalError("The sending process ended without a code.")

    def _on_line(self, line: Line, *, sender: Child, receiver: Child) -> None:
        self._keep_error(line)
        match line.event:
            case {"event": "connected", "route": str(route)}:
                self._route = route
            case {"event": "progress", "bytes": int(moved), "bytes_per_s": int(rate)} if (
                line.child is receiver
            ):
                if moved and self._setup_seconds is None:
                    self._setup_seconds = line.at - receiver.started_at
                self._show(moved, rate)
            case {"event": "done", "seconds": float(seconds)} if line.child is sender:
                self._seconds = seconds
            case _:
                return

    def _keep_error(self, line: Line) -> None:
        if line.event is not None and line.event.get("event") == "error":
            self._errors.append(line.event)

    def _raise_errors(self, *children: Child) -> None:
        """Raise the error with which the children ended, if they did.

        Raises:
            RtcsendError: The one that came first; "aborted" only when there is no other.
        """
        for child in children:
            child.stop()
        if not any(child.exit_code for child in children):
            return
        for event in sorted(self._errors, key=lambda error: error.get("code") == PeerAborted.slug):
            raise _error_of(event)
        complaints = [child.complaint() for child in children]
        said = "; ".join(filter(None, complaints)) or "it said nothing"
        raise InternalError(f"A process of the demo ended without a reason: {said}.")

    def _write_random(self, path: Path) -> str:
        """Write random bytes; return their digest.

        Raises:
            CannotWrite: The disk does not take them.
        """
        digest = blake3()
        try:
            with path.open("wb") as file:
                for start in range(0, self._size, _BLOCK):
                    self._check()
                    block = os.urandom(min(_BLOCK, self._size - start))
                    digest.update(block)
                    file.write(block)
        except OSError as exc:
            raise CannotWrite(
                f"The demo's file cannot be written: {exc.strerror}.", hint=_OTHER_FOLDER
            ) from exc
        return digest.hexdigest()

    def _digest_of(self, path: Path) -> str:
        digest = blake3()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                self._check()
                digest.update(block)
        return digest.hexdigest()

    def _status(self, text: str) -> None:
        if self._view is not None:
            self._view.show_status(text)
        elif not self._forward:
            say(text)

    def _show(self, moved: int, bytes_per_s: int) -> None:
        if self._forward:
            event = Progress(bytes=moved, total=self._size, bytes_per_s=bytes_per_s)
            with contextlib.suppress(OSError):  # nobody reads it
                write_all(sys.stdout.fileno(), os.fsencode(event.to_json() + "\n"))
        elif self._view is not None:
            self._view.show_progress(
                TransferState(
                    name=_FILE_NAME,
                    bytes=moved,
                    total=self._size,
                    bytes_per_s=bytes_per_s,
                    route=self._route,
                )
            )


def _error_of(event: dict[str, Any]) -> RtcsendError:
    """Return a child's error as our own."""
    classes = {error.slug: error for error in _leaves(RtcsendError)}
    error = classes.get(str(event.get("code")), InternalError)
    return error(str(event.get("message")), hint=str(event.get("hint")))


def _leaves(error: type[RtcsendError]) -> Iterator[type[RtcsendError]]:
    for subclass in error.__subclasses__():
        if "exit_code" in vars(subclass):
            yield subclass
        yield from _leaves(subclass)


@contextlib.contextmanager
def temporary_folder(size: int) -> Iterator[Path]:
    """Make a temporary folder with room for source and copy; remove it at the end.

    Raises:
        CannotWrite: There is not enough space.
    """
    with tempfile.TemporaryDirectory(prefix="rtcsend-demo-", ignore_cleanup_errors=True) as name:
        free = shutil.disk_usage(name).free
        if free < 2 * size + _SPARE:
            raise CannotWrite(
                f"The demo needs {format_size(2 * size)} for the file and its copy, and "
                f"{format_size(free)} are free.",
                hint=_OTHER_FOLDER,
            )
        yield Path(name)
