"""What a transfer tells its user, as frozen dataclasses.

The same objects are yielded by the Python API, drawn by the progress display and printed
by ``--json`` (one object a line, docs/cli.md). No event holds a secret, except that
:class:`CodeReady` holds the code itself, whose purpose is to be shown.

Strings that come from the other side (names, the sender's host name) are passed on as
they came: whoever shows them on a terminal must escape them
(:func:`rtcsend.cli.terminal.escape`).
"""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import ClassVar, Literal

JSON_VERSION = 1
"""The ``v`` of every line that ``--json`` prints; raised when a field changes its meaning."""

RelayProtocol = Literal["udp", "tcp", "tls"]
"""How a TURN server is reached; from there to the other side it is always UDP."""

MAX_LISTED_ENTRIES = 100
"""How many entries a :class:`Proposal` lists; the counts are always of all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events share: a name, and a JSON form."""

    name: ClassVar[str] = "event"
    not_in_json: ClassVar[tuple[str, ...]] = ()
    """Fields that mean nothing outside of this process."""
    receiver: int | None = None
    """Which of several receivers it is about, counted from 1 in the order in which they came; None:
    there is only one, or it is about all of them."""
    visit: int | None = None
    """Which visit of a known machine it is about, counted from 1; None: only one is waited for."""

    def to_json(self) -> str:
        """Return the event as one line of JSON, without a line end."""
        fields = dataclasses.asdict(self)
        for name in ("receiver", "visit"):
            if fields[name] is None:
                del fields[name]
        for name in self.not_in_json:
            del fields[name]
        return json.dumps({"v": JSON_VERSION, "event": self.name, **fields})


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeReady(Event):
    """The sender has a code: show it to the person who types it on the other machine."""

    name: ClassVar[str] = "code"
    code: str
    server: str
    """URL of the rendezvous, as the receiver's ``--server`` takes it."""
    embedded: bool
    """True when this process itself runs the rendezvous."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Event):
    """This side waits for machines that it knows, without a code."""

    name: ClassVar[str] = "waiting"
    machines: tuple[str, ...]
    """What this side calls them; one, if it sends."""
    server: str | None
    """URL of the rendezvous; None: they find each other on this machine, or in the LAN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal(Event):
    """A machine came, and was not let in; others are waited for."""

    name: ClassVar[str] = "refusal"
    machine: str
    reason: str
    """One sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(Event):
    """No other receiver can come for a while; those that have come notice nothing."""

    name: ClassVar[str] = "closed"
    reason: str
    """One sentence."""
    seconds: int
    """How long, until it is open again, or tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired(Event):
    """Both sides have proven that they know the code, or that they have the keys."""

    name: ClassVar[str] = "paired"
    verification: str
    """A short string, the same on both sides, which no one in the middle can make equal."""
    machine: str | None = None
    """What this side calls the other one, if it is known; None: it came by a code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known(Event):
    """Two machines know each other from now on, by ``rtcsend pair``."""

    name: ClassVar[str] = "known"
    machine: str
    """What this side calls the other one."""
    fingerprint: str
    """Of the other one's key: 32 hexadecimal digits in fours."""
    own_fingerprint: str
    """Of this machine's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Event):
    """How the bytes go; what :class:`Connected` and :class:`RouteChanged` share."""

    route: Literal["direct", "relay"]
    local: str
    """Type of the local candidate of the selected pair: host, srflx, prflx or relay."""
    remote: str
    protocol: str
    """Transport of the selected pair: ``udp``, also when a relay is reached by TCP or TLS."""
    rtt_ms: float | None
    """Round-trip time as the connectivity check measured it, in milliseconds."""
    relay_protocol: RelayProtocol | None = None
    """How this side reaches its relay; None: it uses none, only the other side may."""
    vpn: bool = False
    """One of the two machines sends by the interface of a VPN, as that one's name tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(Route):
    """The DataChannels are open; ``route`` says how the bytes go."""

    name: ClassVar[str] = "connected"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteChanged(Route):
    """A better way was found, and the bytes go it from now on; nothing was interrupted."""

    name: ClassVar[str] = "route"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing in a proposal."""

    path: str
    """Where it goes, with ``/`` between components: made safe already."""
    kind: Literal["file", "directory", "link", "stream", "text"]
    bytes: int | None
    """Of a file or text; None: of a stream, since nobody knows before its end."""
    odd: tuple[str, ...] = ()
    """What to look at twice: ``renamed``, ``executable``, ``hidden``, ``dash``; of a link,
    ``to`` and where it points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal(Event):
    """What the sender offers, before anything is accepted."""

    name: ClassVar[str] = "proposal"
    files: int
    bytes: int | None
    """Of all files; None: of a stream."""
    entries: tuple[Entry, ...]
    """The first MAX_LISTED_ENTRIES of them."""
    sender: str
    """Host name that the sender gives itself; a hint for people, proven by nothing."""
    tops: tuple[str, ...] = ()
    """The first MAX_LISTED_ENTRIES names at the top; the other entries are in these folders."""
    directories: int = 0
    links: int = 0
    executables: int = 0
    """Files that are programs."""
    renamed: int = 0
    """Entries whose names had to be made safe, or told apart."""
    existing: int = 0
    """Files and links that are there already."""
    existing_paths: tuple[str, ...] = ()
    """The first of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanning(Event):
    """The sender looks for what is to be sent; at most ten times a second."""

    name: ClassVar[str] = "scanning"
    entries: int
    """Files and folders found so far."""
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut(Event):
    """Something that is not sent."""

    name: ClassVar[str] = "left-out"
    path: str
    reason: str
    """A few words; empty in the last one of more than are listed, whose path is empty too."""
    more: int = 0
    """How many others are not listed; in the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """How far it is: bytes that the receiver has written, on both sides."""

    name: ClassVar[str] = "progress"
    bytes: int
    total: int | None
    """None: of a stream, since nobody knows before its end."""
    bytes_per_s: int
    """Rate over the last few seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnecting(Event):
    """The path to the other side is lost: this side tries to meet it again."""

    name: ClassVar[str] = "reconnecting"
    reason: str
    """One sentence: what was lost, or why the attempt before failed."""
    attempt: int
    """Counted from 1, anew after each loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Event):
    """It goes on where it was: after a reconnection, or from what an earlier run has left."""

    name: ClassVar[str] = "resumed"
    bytes: int
    """Bytes that need not travel, or not again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checking(Event):
    """What an earlier run has left is read and compared; at most ten times a second."""

    name: ClassVar[str] = "checking"
    bytes: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalled(Event):
    """Nothing moves, since ``seconds``; repeated until something does. Progress ends it."""

    name: ClassVar[str] = "stalled"
    seconds: int
    reason: str
    """One sentence: what is wrong, as far as this side can tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Event):
    """The receiver has verified, synced and renamed, and the sender knows."""

    name: ClassVar[str] = "done"
    not_in_json: ClassVar[tuple[str, ...]] = ("ended_at",)
    files: int
    bytes: int
    moved: int
    """Bytes of them that travelled; the rest an earlier run had left."""
    seconds: float
    """From the first byte to the final acknowledgement."""
    blake3: str
    """Hexadecimal digest of the one file, or of the list of all (docs/cli.md); empty when nothing
    was transferred (skipped)."""
    paths: tuple[str, ...]
    """Receiver: where everything is. Sender: what was sent. What is in folders is not listed."""
    wire: int = 0
    """Bytes that these took on their way: less where they were compressed, more where some had to
    travel again."""
    text: str | None = None
    """Receiver: the text that was sent, as it was sent; None: none was, or it is in a file."""
    ended_at: float = field(default=0.0, compare=False, repr=False)
    """When ``seconds`` were over, by the clock of the event loop: the good-bye comes after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(Event):
    """The end of a transfer that failed: the same as the exit code and standard error."""

    name: ClassVar[str] = "error"
    code: str
    exit: int
    message: str
    hint: str
