"""Every message of the rendezvous protocol, version 1, as a value.

What it does: the one place that knows what can be said, for the client and the server
alike (:mod:`signal_server.messages` passes it on).
What it does not: know how that looks in a frame (:mod:`rtcsend.rendezvous.frames`), nor when
a message may come; the two machines do that (:mod:`rtcsend.rendezvous.machine`,
:mod:`signal_server.mailbox`).

Pure. Source: docs/rendezvous-protocol.md, "Messages".
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from rtcsend.rendezvous.wire import (
    MAX_FRAME,
    BadMessage,
    decode_base64url,
    encode_base64url,
)

__all__ = [
    "MAX_BODY",
    "MAX_FRAME",
    "NOTE_LENGTH",
    "PROTOCOL",
    "Allocate",
    "Allocated",
    "BadMessage",
    "Claim",
    "Claimed",
    "ClientMessage",
    "ErrorCode",
    "ErrorMessage",
    "IceServer",
    "Meet",
    "Message",
    "Peer",
    "PeerState",
    "Release",
    "Report",
    "ReportedRoute",
    "Resume",
    "Resumed",
    "ServerMessage",
    "Welcome",
    "is_mailbox",
    "is_nameplate",
]

PROTOCOL = 1  # the only version there is; a client refuses a server that names another
MAX_BODY = 48_000  # bytes; 64,000 characters of base64url and the object around fit a frame
MAX_BODY_TEXT = 64_000  # characters; base64url of MAX_BODY bytes
MAX_DISPLAY = 1_000  # characters of text that is meant for people (motd, error message)
MAX_ICE_SERVERS = 20  # more make every connection slower, since each one is asked
MAX_ICE_URLS = 8  # of one server: a few transports and ports
MAX_ICE_TEXT = 512  # characters of an ICE URL, user name or credential; RFC 8489 section 14.3
MAX_AUTH = 512  # characters of a token that a server may ask for; as of other credentials
SIDE_BYTES = 16  # entropy of a side and of a token: 128 bits cannot be guessed

NOTE_LENGTH = 38  # characters of base64url; 28 bytes, see rtcsend.pairing.doors
NAMEPLATE = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)  # decimal, no leading zero, 9 digits
MAILBOX = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)  # unguessable, drawn by the clients
SIDE = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)  # 16 bytes
TOKEN = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)  # 16 bytes here; others may use more
AUTH = re.compile(r"[!-~]{1,512}", re.ASCII)  # printable, no space: it fits a header, a variable
VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){0,3}", re.ASCII)  # PEP 440, the release alone
ICE_URL = re.compile(r"(stun|turn|turns):[!-~]+", re.ASCII)  # printable, no space

ErrorCode = Literal[
    "not-found",
    "crowded",
    "rate-limited",
    "bad-message",
    "too-large",
    "expired",
    "full",
    "unauthorized",
    "refused",
]
"""``refused`` stands for every code that this program does not know."""
PeerState = Literal["joined", "away", "back", "left"]
ReportedRoute = Literal["direct", "relayed", "failed"]


def is_nameplate(text: str) -> bool:
    """Return whether ``text`` can be a nameplate: 1 to 9 digits, no leading zero."""
    return NAMEPLATE.fullmatch(text) is not None


def is_mailbox(text: str) -> bool:
    """Return whether ``text`` can name a mailbox to meet in: 16 to 64 base64url characters."""
    return MAILBOX.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server, as RTCIceServer of WebRTC has it.

    The credential is a secret: it is left out of ``repr``, and so of logs.
    """

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocate:
    """Client: take a nameplate, a free one or the one named."""

    nameplate: str | None = None
    side: str | None = field(default=None, repr=False)
    received: int = 0
    auth: str | None = field(default=None, repr=False)
    """The token that some servers ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Client: join the nameplate that the other side allocated."""

    nameplate: str
    side: str | None = field(default=None, repr=False)
    received: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Meet:
    """Client: come to a mailbox whose name both sides derived; whoever comes first opens it."""

    mailbox: str = field(repr=False)
    side: str | None = field(default=None, repr=False)
    received: int = 0
    permit: str | None = field(default=None, repr=False)
    """What came with the presence of the other side, where the server gives nameplates only to
    the holders of a token."""
    auth: str | None = field(default=None, repr=False)
    """That token, from a side that has it, and no permit or an old one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Client: re-attach after a dropped socket; exactly one of the two names is set."""

    token: str = field(repr=False)
    nameplate: str | None = None
    mailbox: str | None = field(default=None, repr=False)
    received: int = 0


class Message:
    """Both: one message to or from the other side, opaque to the server.

    It is kept as it travels, so that a server which passes it on decodes nothing.

    Args:
        body: At most MAX_BODY bytes; a secret between the two sides, left out of ``repr``.

    Attributes:
        text: The body in canonical base64url.
        size: Of the body, in bytes.
    """

    __slots__ = ("size", "text")

    def __init__(self, body: bytes) -> None:
        self.text = encode_base64url(body)
        self.size = len(body)

    @classmethod
    def of_text(cls, text: str) -> "Message":
        """Return the message of a body in canonical base64url."""
        message = cls.__new__(cls)
        message.text = text
        message.size = len(text) * 3 // 4
        return message

    @property
    def body(self) -> bytes:
        """What the other side says."""
        return decode_base64url(self.text)

    def __eq__(self, other: object) -> bool:
        """Return whether it says the same."""
        return isinstance(other, Message) and self.text == other.text

    def __hash__(self) -> int:
        """Return a hash of what it says."""
        return hash(self.text)

    def __repr__(self) -> str:
        """Return its size, and nothing of what it says."""
        return f"Message({self.size} bytes)"


@dataclass(frozen=True, slots=True)
class Release:
    """Client: done; the mailbox ends for both."""


@dataclass(frozen=True, slots=True)
class Report:
    """Client: how the two sides were connected; sent only to a server that wants it."""

    route: ReportedRoute


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """Server: the first frame."""

    server: str
    ice_servers: tuple[IceServer, ...] = ()
    motd: str | None = None
    """For people; from outside, so escape it before it goes to a terminal."""
    protocol: int = PROTOCOL
    min_client: str | None = None
    """The oldest version of rtcsend that this server takes; other clients ignore it."""
    reports: bool = False
    """Whether it takes :class:`Report`; servers from before that do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocated:
    """Server: the answer to :class:`Allocate`."""

    nameplate: str
    token: str = field(repr=False)
    received: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """Server: the answer to :class:`Claim` and :class:`Meet`."""

    token: str = field(repr=False)
    received: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """Server: the answer to :class:`Resume`; ``received`` counts what it has from this side."""

    received: int = 0


@dataclass(frozen=True, slots=True)
class Peer:
    """Server: presence of the other side."""

    state: PeerState
    ice_servers: tuple[IceServer, ...] = ()
    """TURN servers for this client, beside those of the welcome: when the other side is there."""
    permit: str | None = field(default=None, repr=False)
    """For :class:`Meet`, from servers that ask for one there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorMessage:
    """Server: something was refused."""

    code: ErrorCode
    message: str
    retry_after: int | None = None
    """Seconds after which it may be tried again; None: trying again does not help, or who knows."""


ClientMessage = Allocate | Claim | Meet | Resume | Message | Release | Report
ServerMessage = Welcome | Allocated | Claimed | Resumed | Message | Peer | ErrorMessage
