"""What a user can ask of a transfer, checked once, and passed on unchanged.

The command line and the Python API both build these; nothing below knows where they
came from.
"""

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rtcsend.errors import UsageError
from rtcsend.events import Event, Proposal

DEFAULT_TIMEOUT = 3600.0  # seconds to wait for a person on the other side; an hour is a long lunch
MIN_LIMIT = 1_000  # bytes per second; slower is no limit but standing still
MAX_RECEIVERS = 64  # of one sender at a time; each takes a socket, a connection and some memory
DEFAULT_WORDS = 2  # 2 of 2,048 words are 22 bits, of which an attacker gets one guess


class RoutePolicy(enum.Enum):
    """Which candidate pairs may be used."""

    ANY = "any"
    RELAY_ONLY = "relay-only"
    DIRECT_ONLY = "direct-only"


class Conflict(enum.Enum):
    """What to do when the target exists."""

    ASK = "ask"
    """Ask on a terminal; without one it is :class:`~rtcsend.errors.TargetExists`."""
    OVERWRITE = "overwrite"
    RENAME = "rename"
    SKIP = "skip"


class Links(enum.Enum):
    """What to do about symbolic links in a folder that is sent."""

    KEEP = "keep"
    """Send them as links; one that points out of what is sent is an error."""
    FOLLOW = "follow"
    """Send what they point to in their place."""
    SKIP = "skip"
    """Leave them out."""


class Compress(enum.Enum):
    """Whether what is sent is compressed on its way."""

    AUTO = "auto"
    """Where that makes it faster."""
    NEVER = "never"
    ALWAYS = "always"
    """Whatever becomes smaller, however fast the path is."""


DATAPATH_VARIABLE = "RTCSEND_DATAPATH"
"""Environment variable: ``stock``, or nothing; see :mod:`rtcsend.datapath.choice`."""
STOCK = "stock"
"""The value of it that runs on plain aiortc."""
DISCOVERY_VARIABLE = "RTCSEND_DISCOVERY"
"""Environment variable: ``local``, or nothing; see :mod:`rtcsend.rendezvous.lan`."""
LOCAL_ONLY = "local"
"""The value of it with which the LAN is left alone."""

STDOUT = Path("-")
"""What stands for standard output where a path is expected."""

STDIN = Path("-")
"""What stands for standard input there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonOptions:
    """What both sides take."""

    server: str | None = None
    """WebSocket URL of the rendezvous; None: embedded (sender), discovered (receiver)."""
    ice: tuple[str, ...] = ()
    """STUN and TURN URLs, see :mod:`rtcsend.peer.ice_servers`."""
    route: RoutePolicy = RoutePolicy.ANY
    timeout: float = DEFAULT_TIMEOUT
    """Seconds to wait for the other side, in all."""
    verify: bool = False
    """Compare the verification string before anything is sent."""
    on_digest: "DigestCallback | None" = None
    """Told each file of several, as it is read (sender) or written (receiver, not verified yet)."""
    limit: int | None = None
    """Bytes per second at most, MIN_LIMIT or more; None: as fast as the path allows."""

    def __post_init__(self) -> None:
        """Refuse what no transfer could keep to."""
        if self.limit is not None and self.limit < MIN_LIMIT:
            raise UsageError(
                f"A limit of {self.limit} bytes per second is too low.",
                hint=f"The lowest is {MIN_LIMIT}: 1k.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOptions(CommonOptions):
    """What to send, and how."""

    paths: tuple[Path, ...]
    """Files and folders; or STDIN or a named pipe, alone: a stream; none with a text."""
    text: str | None = None
    """A message, instead of paths."""
    name: str | None = None
    """What to call a stream or a text; None: as it is called anyhow."""
    links: Links = Links.KEEP
    exclude: tuple[str, ...] = ()
    """Patterns as in a .gitignore file of each folder; what they match is left out."""
    gitignore: bool = False
    """Leave out what the .gitignore files in the folders say."""
    skip_unreadable: bool = False
    """Leave out what cannot be read, instead of ending."""
    compress: Compress = Compress.AUTO
    code: str | None = None
    """A code of the user's own; None: a new one is drawn."""
    to: str | None = None
    """The known machine that is to get it, without a code; None: whoever has the code."""
    words: int = DEFAULT_WORDS
    receivers: int = 1
    """How many get it, with one code; for ever: how many at a time."""
    forever: bool = False
    """Send to whoever comes, until stopped."""
    token: str | None = field(default=None, repr=False)
    """What a rendezvous server may ask of those who want a code; a secret."""

    def __post_init__(self) -> None:
        """Refuse what could not be kept to for several receivers.

        Raises:
            UsageError: There are too many of them, or what is sent is there for one alone.
        """
        CommonOptions.__post_init__(self)
        if self.to is not None and (self.code is not None or self.is_for_several):
            raise UsageError(
                "A known machine needs no code, and is one receiver.",
                hint="Leave out --code, --receivers and --forever, or --to.",
            )
        if not 1 <= self.receivers <= MAX_RECEIVERS:
            raise UsageError(
                f"{self.receivers} receivers are not possible.",
                hint=f"Give a number from 1 to {MAX_RECEIVERS}.",
            )
        if self.limit is not None and self.limit < MIN_LIMIT * self.receivers:
            raise UsageError(
                f"A limit of {self.limit} bytes per second is too low for {self.receivers} "
                "receivers together.",
                hint=f"The lowest for so many is {MIN_LIMIT * self.receivers}.",
            )

    @property
    def is_for_several(self) -> bool:
        """Whether more than one receiver may come."""
        return self.receivers > 1 or self.forever


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveOptions(CommonOptions):
    """What to receive, and where to put it."""

    code: str = ""
    """Empty: known machines send."""
    from_machines: tuple[str, ...] = ()
    """Those that may send without a code; none named: all of them."""
    patience: float | None = None
    """Seconds to wait for a known machine; None: as for any other side."""
    token: str | None = field(default=None, repr=False)
    """What a rendezvous server may ask of known machines; a secret."""
    output: Path | None = None
    """A folder (existing), the file to write, or STDOUT; None: the current folder."""
    conflict: Conflict = Conflict.ASK
    preserve: bool = False
    """Give files the permissions that they have at the sender, whatever the umask says."""
    max_size: int | None = None
    """Bytes; larger proposals are declined without asking."""
    max_files: int | None = None
    """Proposals of more files are declined without asking."""
    show_text: "ShowText | None" = field(default=None, compare=False)
    """Shows a text that comes, when there is no output; the event at the end has it as well."""
    accept_glob: tuple[str, ...] = ()
    """Patterns of names or paths to accept; a proposal with a file that matches none is declined
    without asking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions(CommonOptions):
    """Which machine to get to know, and how."""

    name: str
    """What this side calls the other one from now on."""
    code: str | None = None
    """What the other side shows; None: this side shows one."""
    may_replace: bool = False
    """Know it in the place of the one of that name."""
    words: int = DEFAULT_WORDS
    token: str | None = field(default=None, repr=False)
    """What a rendezvous server may ask of those who want a code; a secret."""


class Questions(Protocol):
    """Whoever answers for the user: a terminal, a script's options, or a test.

    Each method may take as long as a person takes; it is cancelled when the transfer ends
    in the meantime.
    """

    async def accept(self, proposal: Proposal) -> bool:
        """Return whether the receiver wants what is proposed."""
        ...

    async def conflict(self, name: str) -> Conflict:
        """Return what to do about an existing target; ``ASK`` means: no answer, an error."""
        ...

    async def verification_matches(self, verification: str) -> bool:
        """Return whether the two people see the same string (asked of the sender)."""
        ...


Emit = Callable[[Event], None]
"""Where events go. Called on the event loop; must not block."""

DigestCallback = Callable[[str, str], None]
"""Takes the BLAKE3 of a file, in hexadecimal, and its path at the sender, in the order of sending;
in a thread. A single file is not told of: its digest is that of :class:`~rtcsend.events.Done`."""

ShowText = Callable[[str], Awaitable[None]]
"""Shows a text that is verified; the sender hears of success when it has returned."""

AcceptCallback = Callable[[Proposal], bool | Awaitable[bool]]
