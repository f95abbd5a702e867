"""How a server is set up, checked when it is built.

Pure. Place in the flow: made by :mod:`signal_server.settings` from options, environment and a
file, or by whoever embeds a server.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from rtcsend.errors import UsageError
from signal_server.limits import Limits
from signal_server.messages import (
    MAX_ICE_SERVERS,
    BadMessage,
    IceServer,
    Peer,
    ServerMessage,
    Welcome,
    parse_server_message_untrusted,
    serialize,
)
from signal_server.sources import Network

__all__ = [
    "DEFAULT_PORT",
    "EMBEDDED_NAMEPLATES",
    "SERVER_NAME",
    "Limits",
    "ListenAddress",
    "LogFormat",
    "ServerConfig",
]

DEFAULT_PORT = 8765  # of rtcsend-server, and of a --server that names no port
SERVER_NAME = "rtcsend"  # what the welcome says; no version, which helps attackers only
EMBEDDED_NAMEPLATES = (
    10,
    999,
)  # servers of one LAN do not know each other: 3 digits seldom collide
MAX_PORT = 65_535
DRAIN_SECONDS = 30.0  # two programs pair within a few; people who compare a string take longer
TURN_LIFETIME = 3_600.0  # seconds from the meeting to the allocation, questions to people included
STUN_SCHEME = "stun:"

LogFormat = Literal["text", "json"]


class ListenAddress(NamedTuple):
    """Where to listen besides."""

    host: str
    port: int


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
    store: str = "memory"
    """Where the mailboxes are: in this process, or ``redis://…``."""

    tls_cert: Path | None = None
    """Certificate chain, PEM; None: no TLS, unless ``tls_self_signed``."""
    tls_key: Path | None = None
    """Private key, PEM; None: it is in the file of the certificate."""
    tls_self_signed: bool = False
    """Make a certificate of one's own, and keep it in ``state_dir``."""
    state_dir: Path | None = None
    """None: where the system keeps such things."""
    trusted_proxies: tuple[Network, ...] = ()
    """Whose word counts of where a client comes from."""

    ice_servers: tuple[IceServer, ...] = ()
    """Handed to clients: STUN in the welcome, TURN when the other side is there."""
    turn_urls: tuple[str, ...] = ()
    """TURN servers that know ``turn_secret_file``."""
    turn_secret_file: Path | None = None
    turn_lifetime: float = TURN_LIFETIME
    """Seconds for which a credential can be used to begin an allocation."""

    motd: str | None = None
    """A line for the people at the clients."""
    min_client: str | None = None
    """The oldest version of rtcsend that may come."""
    auth_tokens: tuple[str, ...] = field(default=(), repr=False)
    """Who allocates names one of these, or of ``auth_token_file``; none: everybody may."""
    auth_token_file: Path | None = None

    embedded: bool = False
    """Whether a sender runs it, for one transfer: no metrics, no reports, other nameplates."""
    metrics_listen: ListenAddress | None = None
    """Where ``/metrics`` is; None: beside everything else."""
    log_format: LogFormat = "text"
    log_addresses: bool = False
    drain_seconds: float = DRAIN_SECONDS
    """How long the pairings that run at the end may take."""

    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= MAX_PORT:
            raise UsageError(f"{self.port} is no port.", hint="Give --port from 0 to 65535.")
        if self.tls_key is not None and self.tls_cert is None:
            raise UsageError("There is a --tls-key without a --tls-cert.", hint="Give both.")
        if self.tls_cert is not None and self.tls_self_signed:
            raise UsageError(
                "--tls-cert and --tls-self-signed exclude each other.", hint="Give one of them."
            )
        if bool(self.turn_urls) != (self.turn_secret_file is not None):
            raise UsageError(
                "--turn and --turn-secret-file need each other.",
                hint="Give both, or a TURN server with its own password by --ice.",
            )
        _check_range("--turn-lifetime", self.turn_lifetime, least=60.0, most=30 * 86_400.0)
        _check_range("--drain-seconds", self.drain_seconds, least=0.0, most=86_400.0)
        _check_messages(self)

    @property
    def nameplate_bounds(self) -> tuple[int, int] | None:
        """Smallest and largest nameplate to draw first; None: as short as possible."""
        return EMBEDDED_NAMEPLATES if self.embedded else None

    @property
    def has_tls(self) -> bool:
        """Whether clients come by ``wss://``."""
        return self.tls_cert is not None or self.tls_self_signed

    @property
    def welcome(self) -> Welcome:
        """The first frame of every socket; what costs somebody money is not in it."""
        return Welcome(
            server=SERVER_NAME,
            ice_servers=tuple(server for server in self.ice_servers if _is_stun(server)),
            motd=self.motd,
            min_client=self.min_client,
            reports=not self.embedded,
        )

    @property
    def relays(self) -> tuple[IceServer, ...]:
        """TURN servers with a password of their own, the same for everybody."""
        return tuple(server for server in self.ice_servers if not _is_stun(server))


def _is_stun(server: IceServer) -> bool:
    return all(url.startswith(STUN_SCHEME) for url in server.urls)


def _check_range(option: str, value: float, *, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UsageError(
            f"{option} cannot be {value:g}.", hint=f"Give {least:.0f} to {most:.0f} seconds."
        )


def _check_messages(config: ServerConfig) -> None:
    """Refuse what every client would refuse: a motd or an ICE server that is too long."""
    relays = config.relays
    if config.turn_urls:
        relays += (IceServer(config.turn_urls, "u" * 64, "c" * 28),)
    if len(config.welcome.ice_servers) + len(relays) > MAX_ICE_SERVERS:
        raise UsageError(
            f"There are more than {MAX_ICE_SERVERS} ICE servers.", hint="Give fewer --ice."
        )
    messages: tuple[ServerMessage, ...] = (config.welcome, Peer("joined", relays))
    for message in messages:
        try:
            parse_server_message_untrusted(serialize(message))
        except BadMessage as exc:
            raise UsageError(
                f"Clients would not accept what this server says: {exc}.",
                hint="Give a shorter --motd, fewer and plain --ice and --turn URLs, and a "
                "--min-client like 0.2.0.",
            ) from exc
