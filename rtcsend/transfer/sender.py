"""The sending side of a transfer. Sans-I/O.

::

    PROPOSED ──accept──▶ SENDING ──end()──▶ ENDED ──complete──▶ COMPLETE
        └──accept of nothing (skipped)──────────────────────────────▲

An ``abort`` from the other side is raised as the error that it stands for, in any state.
Source: docs/transfer-protocol.md.
"""

import enum
from dataclasses import dataclass

from rtcsend.errors import DigestMismatch, InternalError, PeerProtocolError
from rtcsend.transfer.frames import serialize_frame
from rtcsend.transfer.machine import TransferMachine
from rtcsend.transfer.messages import (
    AbortMessage,
    AcceptMessage,
    ByeMessage,
    CompleteMessage,
    EndMessage,
    PingMessage,
    ProposalMessage,
    ProposedEntry,
    WrittenMessage,
    parse_control_untrusted,
)


class SenderState(enum.Enum):
    """Where the sending side stands."""

    PROPOSED = "proposed"
    SENDING = "sending"
    ENDED = "ended"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The receiver wants it; ``limit`` in bytes per second, 0 for none."""

    limit: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """The receiver has it already, and wants nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The receiver has written this many bytes."""

    bytes: int


@dataclass(frozen=True, slots=True)
class Completed:
    """The receiver has verified, synced and renamed the file."""


SenderEvent = Accepted | Skipped | Written | Completed


class SenderMachine(TransferMachine[SenderEvent]):
    """Sending side of one transfer of one file.

    Contract: after each call that changes state, drain :meth:`next_event` and send
    :meth:`messages_to_send`; call :meth:`handle_timer` at :meth:`get_timer`. While
    :attr:`sendable` allows, turn the file's bytes into frames by :meth:`frame`, in order;
    after the last one call :meth:`end`.
    """

    def __init__(self, entry: ProposedEntry, *, sender: str, now: float) -> None:
        super().__init__(now=now)
        self._entry = entry
        self._state = SenderState.PROPOSED
        self._window = 0
        self._sent = 0
        self._written = 0
        self._digest = ""
        self._say(ProposalMessage(entries=(entry,), sender=sender), now=now)

    @property
    def state(self) -> SenderState:
        """Where this side stands."""
        return self._state

    @property
    def sendable(self) -> int:
        """Bytes that may be sent now: what the window leaves, within the file."""
        if self._state is not SenderState.SENDING:
            return 0
        in_flight = self._sent - self._written
        return min(self._window - in_flight, self._entry.size - self._sent)

    def frame(self, payload: memoryview, *, now: float) -> bytes:
        """Return the frame for the next ``payload`` of the file, of at most ``sendable`` bytes."""
        if len(payload) > self.sendable:
            raise InternalError("A frame was made that the window does not allow.")
        frame = serialize_frame(entry=0, offset=self._sent, payload=payload)
        self._sent += len(payload)
        self._liveness.said(now=now)
        return frame

    def end(self, digest: str, *, now: float) -> None:
        """Everything is sent; ``digest`` is the BLAKE3 of it, in hexadecimal."""
        if self._state is not SenderState.SENDING or self._sent != self._entry.size:
            raise InternalError("The end was declared before everything was sent.")
        self._digest = digest
        self._state = SenderState.ENDED
        self._say(EndMessage(entry=0, digest=digest), now=now)

    def bye(self, *, now: float) -> None:
        """Tell the receiver that its final acknowledgement has arrived."""
        self._say(ByeMessage(), now=now)

    def receive_control_untrusted(self, text: str, *, now: float) -> None:
        """Take a control message.

        Raises:
            PeerProtocolError: It is malformed, or not allowed now.
            RtcsendError: It is an abort: the error with which this side ends.
        """
        message = parse_control_untrusted(text)
        self._liveness.heard(now=now)
        match message:
            case PingMessage():
                pass
            case AbortMessage(error=error):
                raise error
            case AcceptMessage():
                self._on_accept(message)
            case WrittenMessage(bytes=written):
                self._on_written(written)
            case CompleteMessage(digest=digest):
                self._on_complete(digest)
            case _:
                raise PeerProtocolError("The receiver sent what only a sender may send.")

    def _on_accept(self, message: AcceptMessage) -> None:
        if self._state is not SenderState.PROPOSED:
            raise PeerProtocolError("The receiver accepted twice.")
        if not message.entries:
            self._state = SenderState.COMPLETE
            self._events.append(Skipped())
            return
        self._state = SenderState.SENDING
        self._window = message.window
        self._events.append(Accepted(limit=message.limit))

    def _on_written(self, written: int) -> None:
        if self._state not in (SenderState.SENDING, SenderState.ENDED):
            raise PeerProtocolError("The receiver acknowledged data at the wrong time.")
        if not self._written <= written <= self._sent:
            raise PeerProtocolError("The receiver acknowledged what it cannot have written.")
        self._written = written
        self._events.append(Written(bytes=written))

    def _on_complete(self, digest: str) -> None:
        if self._state is not SenderState.ENDED:
            raise PeerProtocolError("The receiver called it complete before the end.")
        if digest != self._digest:
            raise DigestMismatch("The receiver has a file with another digest.")
        self._written = self._sent
        self._state = SenderState.COMPLETE
        self._events.append(Completed())
