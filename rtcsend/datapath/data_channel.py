"""DataChannels: which there are, how a message says what it is, and one of them on our own path.

Pure. A message is a text or bytes by its PPID, and an empty one is sent as one byte, since SCTP
has none. :class:`BatchedChannel` has the names of the W3C, as far as they are used here, as
aiortc's channels do on the plain path.

Place in the flow: between :mod:`rtcsend.datapath.channel` and an association; made by
:mod:`rtcsend.datapath.batched`. Source: RFC 8831 §6.6, §8; W3C WebRTC §6.2.
"""

from typing import TYPE_CHECKING, Final

from pyee import EventEmitter

from rtcsend.datapath.sctp.inbound import Message

if TYPE_CHECKING:
    from rtcsend.datapath.batched import BatchedPath

CONTROL_CHANNEL: Final = 0  # both channels are agreed on beforehand: open with the association
DATA_CHANNEL: Final = 1
PPID_STRING: Final = 51  # RFC 8831 §8, all of these
PPID_BINARY: Final = 53
PPID_STRING_EMPTY: Final = 56
PPID_BINARY_EMPTY: Final = 57
MAX_MESSAGE_SIZE: Final = 262_144  # bytes; what aiortc takes, and Chromium sends at most


class BatchedChannel(EventEmitter):
    """One DataChannel, with the names of the W3C as far as they are used here."""

    def __init__(self, path: "BatchedPath", stream: int) -> None:
        super().__init__()
        self._path = path
        self._stream = stream
        self.readyState = "connecting"
        self.bufferedAmountLowThreshold = 0
        self._was_high = False

    @property
    def bufferedAmount(self) -> int:  # noqa: N802 - the W3C's name
        """Bytes that are queued and not yet sent. Source: W3C WebRTC §6.2."""
        return self._path.association.queued_on(self._stream)

    def send(self, message: str | bytes) -> None:
        """Queue a message. Source: RFC 8831 §6.6, on empty ones too."""
        if isinstance(message, str):
            ppid, data = (PPID_STRING, message.encode()) if message else (PPID_STRING_EMPTY, b"\0")
        else:
            ppid, data = (PPID_BINARY, message) if message else (PPID_BINARY_EMPTY, b"\0")
        self._path.association.send(self._stream, ppid, data)
        self._was_high = self.bufferedAmount > self.bufferedAmountLowThreshold
        self._path.wake()

    def deliver(self, message: Message) -> None:
        """Hand a message to whoever listens."""
        if message.ppid == PPID_BINARY:
            self.emit("message", message.data)  # taken when the application says so
            return
        self._path.taken(len(message.data))
        if message.ppid == PPID_STRING:
            self.emit("message", message.data.decode("utf-8", "replace"))
        elif message.ppid == PPID_BINARY_EMPTY:
            self.emit("message", b"")
        elif message.ppid == PPID_STRING_EMPTY:
            self.emit("message", "")

    def on_sent(self) -> None:
        """Say that the queue has become short, if it was long."""
        if self._was_high and self.bufferedAmount <= self.bufferedAmountLowThreshold:
            self._was_high = False
            self.emit("bufferedamountlow")

    def set_state(self, state: str) -> None:
        """Open or close."""
        if self.readyState in (state, "closed"):
            return
        self.readyState = state
        self.emit("open" if state == "open" else "close")
