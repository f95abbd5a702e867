"""The receiving side of a transfer. Sans-I/O.

::

    AWAITING_PROPOSAL ──proposal──▶ DECIDING ──accept()──▶ RECEIVING ──end, all bytes──▶
        VERIFYING ──complete()──▶ COMPLETE ──bye──▶ CLOSED
    DECIDING ──skip()──▶ CLOSED

An ``abort`` from the other side is raised as the error that it stands for, in any state.
Source: docs/transfer-protocol.md.
"""

import enum
from dataclasses import dataclass
from typing import Final

from rtcsend.errors import InternalError, PeerProtocolError
from rtcsend.transfer.frames import parse_frame_untrusted
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

RECEIVE_WINDOW: Final = 16 << 20  # bytes unwritten at most: 160 MB/s at 100 ms, and little memory
WRITTEN_STEP: Final = 1 << 20  # bytes; one acknowledgement a block of the disk


class ReceiverState(enum.Enum):
    """Where the receiving side stands."""

    AWAITING_PROPOSAL = "awaiting proposal"
    DECIDING = "deciding"
    RECEIVING = "receiving"
    VERIFYING = "verifying"
    COMPLETE = "complete"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """The sender offers this."""

    proposal: ProposalMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class AllReceived:
    """Every byte has come; ``digest`` is what the sender says they add up to."""

    digest: str


@dataclass(frozen=True, slots=True)
class SenderKnows:
    """The sender has seen the final acknowledgement."""


ReceiverEvent = Proposed | AllReceived | SenderKnows


class ReceiverMachine(TransferMachine[ReceiverEvent]):
    """Receiving side of one transfer of one file.

    Contract: after each call that changes state, drain :meth:`next_event` and send
    :meth:`messages_to_send`; call :meth:`handle_timer` at :meth:`get_timer`. Write what
    :meth:`receive_frame_untrusted` returns, in order, and report it by :meth:`written`.
    """

    def __init__(self, *, now: float) -> None:
        super().__init__(now=now)
        self._state = ReceiverState.AWAITING_PROPOSAL
        self._entry: ProposedEntry | None = None
        self._received = 0
        self._written = 0
        self._acknowledged = 0
        self._digest: str | None = None

    @property
    def state(self) -> ReceiverState:
        """Where this side stands."""
        return self._state

    @property
    def is_over(self) -> bool:
        """Whether a closed connection is no loss: all is stored, or nothing was wanted."""
        return self._state in (ReceiverState.COMPLETE, ReceiverState.CLOSED)

    def accept(self, *, limit: int | None, now: float) -> None:
        """The user wants it, at ``limit`` bytes per second at most."""
        self._require(ReceiverState.DECIDING)
        self._state = ReceiverState.RECEIVING
        message = AcceptMessage(entries=(0,), window=RECEIVE_WINDOW, limit=limit or 0)
        self._say(message, now=now)

    def skip(self, *, now: float) -> None:
        """The user has it already."""
        self._require(ReceiverState.DECIDING)
        self._state = ReceiverState.CLOSED
        message = AcceptMessage(entries=(), window=RECEIVE_WINDOW, limit=0)
        self._say(message, now=now)

    def written(self, total: int, *, now: float) -> None:
        """``total`` bytes of the file are written; acknowledge them when it is worth it."""
        self._written = total
        if total - self._acknowledged >= WRITTEN_STEP:
            self.acknowledge(now=now)

    def acknowledge(self, *, now: float) -> None:
        """Acknowledge what is written, however little."""
        if self._written > self._acknowledged:
            self._acknowledged = self._written
            message = WrittenMessage(entry=0, bytes=self._written)
            self._say(message, now=now)

    def complete(self, digest: str, *, now: float) -> None:
        """The file is verified, synced and renamed."""
        self._require(ReceiverState.VERIFYING)
        self._state = ReceiverState.COMPLETE
        self._say(CompleteMessage(entry=0, digest=digest), now=now)

    def receive_frame_untrusted(self, message: bytes, *, now: float) -> memoryview:
        """Take a frame; return the next bytes of the file.

        Raises:
            PeerProtocolError: It is malformed, unasked for, out of order, beyond the
                proposed size, or beyond the window.
        """
        frame = parse_frame_untrusted(message)
        self._liveness.heard(now=now)
        if self._state is not ReceiverState.RECEIVING or self._entry is None or frame.entry != 0:
            raise PeerProtocolError("The sender sent data that nobody asked for.")
        if frame.offset != self._received:
            raise PeerProtocolError("The sender sent data for the wrong place.")
        received = self._received + len(frame.payload)
        if received > self._entry.size:
            raise PeerProtocolError("The sender sent more data than it had proposed.")
        if received - self._acknowledged > RECEIVE_WINDOW:
            raise PeerProtocolError("The sender sent more data than the window allows.")
        self._received = received
        self._check_all_received()
        return frame.payload

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
            case ProposalMessage():
                self._on_proposal(message)
            case EndMessage(digest=digest):
                self._on_end(digest)
            case ByeMessage():
                self._on_bye()
            case _:
                raise PeerProtocolError("The sender sent what only a receiver may send.")

    def _require(self, state: ReceiverState) -> None:
        if self._state is not state:
            raise InternalError(f"The receiver is {self._state.value}, not {state.value}.")

    def _on_proposal(self, message: ProposalMessage) -> None:
        if self._state is not ReceiverState.AWAITING_PROPOSAL:
            raise PeerProtocolError("The sender proposed twice.")
        self._state = ReceiverState.DECIDING
        self._entry = message.entries[0]
        self._events.append(Proposed(proposal=message))

    def _on_end(self, digest: str) -> None:
        if self._state is not ReceiverState.RECEIVING or self._digest is not None:
            raise PeerProtocolError("The sender declared the end at the wrong time.")
        self._digest = digest
        self._check_all_received()

    def _check_all_received(self) -> None:
        """See whether the last byte and the end have both come.

        They race each other: control and data are two streams, each ordered by itself.
        """
        if self._entry is None or self._digest is None or self._received < self._entry.size:
            return
        self._state = ReceiverState.VERIFYING
        self._events.append(AllReceived(digest=self._digest))

    def _on_bye(self) -> None:
        if not self.is_over:
            raise PeerProtocolError("The sender left before the end.")
        self._state = ReceiverState.CLOSED
        self._events.append(SenderKnows())
