"""How a server is set up, checked when it is built.

Pure. Place in the flow: made by :mod:`signal_server.cli`, or by whoever embeds a server.
"""

from dataclasses import dataclass, field

from rtcsend.errors import UsageError
from signal_server.limits import Limits
from signal_server.messages import (
    MAX_ICE_SERVERS,
    BadMessage,
    IceServer,
    Welcome,
    parse_server_message_untrusted,
    serialize,
)

__all__ = ["DEFAULT_PORT", "EMBEDDED_NAMEPLATES", "SERVER_NAME", "Limits", "ServerConfig"]

DEFAULT_PORT = 8765  # of rtcsend-server, and of a --server that names no port
SERVER_NAME = "rtcsend"  # what the welcome says; no version, which helps attackers only
EMBEDDED_NAMEPLATES = (
    10,
    999,
)  # servers of one LAN do not know each other: 3 digits seldom collide
MAX_PORT = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Everything about one server.

    Raises:
        UsageError: A value that cannot work (on construction).
    """

    host: str | None = None
    """Address or name to listen on; None: all interfaces, IPv6 and IPv4."""
    port: int = DEFAULT_PORT
    """0: a free one."""
    ice_servers: tuple[IceServer, ...] = ()
    """Handed to every client, credentials included."""
    motd: str | None = None
    """A line for the people at the clients."""
    embedded: bool = False
    """Whether it is one of perhaps several on a LAN: see ``nameplate_bounds``."""
    limits: Limits = field(default_factory=Limits)
    max_queued_bytes: int = 4 * 2**20
    """Bytes of frames that wait for a slow reader before its socket is closed; a full mailbox,
    which comes at once when a side resumes, must fit."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= MAX_PORT:
            raise UsageError(f"{self.port} is no port.", hint="Give --port from 0 to 65535.")
        if len(self.ice_servers) > MAX_ICE_SERVERS:
            raise UsageError(
                f"There are more than {MAX_ICE_SERVERS} ICE servers.", hint="Give fewer --ice."
            )
        _check_welcome(self.welcome)

    @property
    def nameplate_bounds(self) -> tuple[int, int] | None:
        """Smallest and largest nameplate to draw first; None: as short as possible."""
        return EMBEDDED_NAMEPLATES if self.embedded else None

    @property
    def welcome(self) -> Welcome:
        """The first frame of every socket."""
        return Welcome(server=SERVER_NAME, ice_servers=self.ice_servers, motd=self.motd)


def _check_welcome(welcome: Welcome) -> None:
    """Refuse what every client would refuse: a motd or an ICE server that is too long."""
    try:
        parse_server_message_untrusted(serialize(welcome))
    except BadMessage as exc:
        raise UsageError(
            f"Clients would not accept this server's welcome: {exc}.",
            hint="Give a shorter --motd and plain --ice URLs.",
        ) from exc
