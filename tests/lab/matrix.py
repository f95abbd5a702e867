"""Which route a transfer takes between which networks: what is expected, and what happens.

A row is two networks; each is tried with a STUN server, and with a TURN server besides. A time is
that of the receiver, from loaded modules to the first byte; a round trip is that between the two.
``python -m tests.lab`` prints what happened as a table.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tests.lab.lab import Lab
from tests.lab.nat import Kind
from tests.lab.transfer import Transfer
from tests.lab.turn import Turn, Way

RTT, RATE = 40, 100  # ms, Mbit/s
TURN_WAYS: Final[tuple[Way, ...]] = ("udp", "tcp", "tls-443")
Route = Literal["direct", "relay", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Two networks, and what is expected with STUN, and with TURN besides."""

    sender: Kind
    receiver: Kind
    stun: Route = "direct"
    turn: Route = "direct"
    same_lan: bool = False
    """The receiver is behind the sender's NAT too."""
    dead: bool = False
    """The first STUN and the first TURN server of the list never answer."""
    loss_percent: float = 0

    @property
    def title(self) -> str:
        """What it is called."""
        notes = [
            *(["same LAN"] if self.same_lan else []),
            *(["first servers dead"] if self.dead else []),
            *([f"{self.loss_percent:g} % loss"] if self.loss_percent else []),
        ]
        return ", ".join((f"{self.sender} / {self.receiver}", *notes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """How one transfer went.

    Attributes:
        route: Which way the bytes went in the end.
        reached: How the receiver reached its relay, empty if it used none.
        connected: Seconds from when the receiving command had loaded its modules until it was
            connected, or to its end.
        first_byte: The same until the first byte came: one round trip after the acceptance.
        whole: Seconds from its start to the end of both.
        exit: The receiver's exit code.
    """

    route: Route
    reached: str
    connected: float
    first_byte: float
    whole: float
    exit: int

    @property
    def round_trips(self) -> float:
        """How many of them it took until the first byte."""
        return self.first_byte / (RTT / 1000)


def _rows() -> tuple[Row, ...]:
    direct = (
        Kind.OPEN,
        Kind.FIREWALL,
        Kind.FULL_CONE,
        Kind.RESTRICTED,
        Kind.PORT_RESTRICTED,
    )
    hard, blocked = Kind.SYMMETRIC, Kind.UDP_BLOCKED
    rows = [
        Row(sender=one, receiver=other)
        for number, one in enumerate(direct)
        for other in direct[number:]
    ]
    for kind in (Kind.FULL_CONE, Kind.RESTRICTED):
        rows += [Row(sender=kind, receiver=hard), Row(sender=hard, receiver=kind)]
    for one, other in (
        (Kind.PORT_RESTRICTED, hard),
        (hard, Kind.PORT_RESTRICTED),
        (hard, hard),
        (blocked, Kind.PORT_RESTRICTED),
        (Kind.PORT_RESTRICTED, blocked),
        (blocked, blocked),
    ):
        rows.append(Row(sender=one, receiver=other, stun="none", turn="relay"))
    cone = Kind.PORT_RESTRICTED
    rows += [
        Row(sender=cone, receiver=cone, dead=True),
        Row(sender=hard, receiver=hard, dead=True, stun="none", turn="relay"),
        Row(sender=blocked, receiver=cone, dead=True, stun="none", turn="relay"),
        Row(sender=blocked, receiver=blocked, dead=True, stun="none", turn="relay"),
        Row(sender=cone, receiver=cone, same_lan=True),
        Row(sender=cone, receiver=cone, loss_percent=5),
        Row(sender=hard, receiver=hard, loss_percent=5, stun="none", turn="relay"),
    ]
    return tuple(rows)


ROWS: Final = _rows()


class Matrix:
    """A laboratory with its servers, in which rows are tried.

    Args:
        lab: Entered already.
        folder: For what is sent and arrives.
        size: Bytes of the file.

    Attributes:
        server: The rendezvous.
        turn: The STUN and TURN server.
    """

    def __init__(self, lab: Lab, folder: Path, *, size: int) -> None:
        self._lab, self._folder = lab, folder
        self.server, self.turn = lab.rendezvous(), lab.turn()
        self._source = folder / "matrix.bin"
        with self._source.open("wb") as file:
            file.truncate(size)

    def attempt(self, row: Row, *, with_turn: bool) -> Happened:
        """Try a row once."""
        lab = self._lab
        lab.a.kind, lab.b.kind = row.sender, row.receiver
        lab.links(rtt_ms=RTT, rate_mbit=RATE, loss_percent=2 * row.loss_percent)
        options = ice_options(self.turn, dead=row.dead, with_turn=with_turn)
        transfer = Transfer(
            (lab.alice, lab.carol if row.same_lan else lab.bob),
            server=self.server,
            source=self._source,
            folder=self._folder,
            options=options,
            env=self.turn.environment,
            module="tests.lab.preloaded",
        )
        try:
            return _happened(transfer)
        finally:
            transfer.stop()


def _happened(transfer: Transfer) -> Happened:
    code, whole = transfer.wait()
    receiver = transfer.receiver
    routes = [event for event in receiver.events if event["event"] in ("connected", "route")]
    none: dict[str, Any] = {"route": "none", "relay_protocol": None}
    last = routes[-1] if routes and code == 0 else none
    loaded = receiver.first["loaded"]
    end = transfer.started + whole
    return Happened(
        route=last["route"],
        reached=last["relay_protocol"] or "",
        connected=receiver.first.get("connected", end) - loaded,
        first_byte=receiver.first.get("proposal", end) - loaded + RTT / 1000,
        whole=whole,
        exit=code,
    )


def ice_options(turn: Turn, *, dead: bool, with_turn: bool) -> tuple[str, ...]:
    """Return the ``--ice`` options of both commands."""
    dead_stun, dead_turn = turn.dead_urls()
    urls = [dead_stun] if dead else []
    urls.append(turn.stun_url())
    if with_turn:
        urls += [dead_turn] if dead else []
        urls += [turn.ice_url(way) for way in TURN_WAYS]
    return tuple(text for url in urls for text in ("--ice", url))
