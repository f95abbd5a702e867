"""Which route a transfer takes between which networks: what is expected, and what happens.

A row is two networks; each is tried with a STUN server, and with a TURN server besides. A time is
that of the receiver, from loaded modules to the first byte of the file, as its trace has it; a
round trip is that between the two. ``python -m tests.lab`` prints what happened as a table.
"""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tests.e2e.processes import random_file
from tests.lab.lab import SECOND, Lab
from tests.lab.nat import PROXY_PORT, Kind
from tests.lab.site import Families
from tests.lab.transfer import ROOT, Transfer
from tests.lab.turn import Turn, Way

RTT, RATE = 40, 100  # ms, Mbit/s
TURN_WAYS: Final[tuple[Way, ...]] = ("udp", "tcp", "tls-443")
Route = Literal["direct", "relay", "none"]

REACHED: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.UDP_BLOCKED: ("tcp", "tls"),
    Kind.TLS_ONLY: ("tls",),
    Kind.PROXY_ONLY: ("tcp", "tls"),
}
"""By what a host behind one of these reaches its relay."""

# What the matrix is to pass; seconds, and round trips to the first byte.
GIVEN_UP: Final = 15.0  # until it is said that there is no route
ROUND_TRIPS: Final[Mapping[Route, int]] = {"direct": 12, "relay": 16, "none": 0}
LOSSY: Final = 5.0  # with 5 % loss
BLOCKED: Final = 2.0  # where UDP is blocked: the head start of a ladder is twice 0.25 s
DEAD: Final = 1.0  # more, where the first servers are dead


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
    families: tuple[Families, Families] = ("IPv4", "IPv4")

    @property
    def title(self) -> str:
        """What it is called."""
        notes = [
            *(["same LAN"] if self.same_lan else []),
            *(["first servers dead"] if self.dead else []),
            *([f"{self.loss_percent:g} % loss"] if self.loss_percent else []),
            *([" to ".join(self.families)] if set(self.families) != {"IPv4"} else []),
        ]
        return ", ".join((f"{self.sender} / {self.receiver}", *notes))

    def goal(self, route: Route) -> float:
        """Return the seconds that it may take: to the first byte, or to the end without one."""
        if route == "none":
            return GIVEN_UP
        if self.loss_percent:
            return LOSSY
        if {self.sender, self.receiver} & REACHED.keys():
            return BLOCKED
        return ROUND_TRIPS[route] * RTT / 1000 + (DEAD if self.dead else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """How one transfer went.

    Attributes:
        route: Which way the bytes went in the end.
        reached: How sender and receiver reached their relays, empty where one used none.
        connected: Seconds from when the receiving command had loaded its modules until it was
            connected, or to its end.
        first_byte: The same until the first frame of the file came, or to its end.
        whole: Seconds from its start to the end of both.
        exit: The receiver's exit code.
    """

    route: Route
    reached: tuple[str, str]
    connected: float
    first_byte: float
    whole: float
    exit: int

    @property
    def round_trips(self) -> float:
        """How many of them it took until the first byte."""
        return self.first_byte / (RTT / 1000)

    def is_expected(self, row: Row, route: Route) -> bool:
        """Return whether it went the right way, and reached its relays by what gets through."""
        if route == "none":
            return (self.route, self.exit) == (route, 30)
        kinds = (row.sender, row.receiver)
        return (self.route, self.exit) == (route, 0) and all(
            how in REACHED.get(kind, (how,)) for kind, how in zip(kinds, self.reached, strict=True)
        )


def _rows() -> tuple[Row, ...]:
    direct = (
        Kind.OPEN,
        Kind.FIREWALL,
        Kind.FULL_CONE,
        Kind.RESTRICTED,
        Kind.PORT_RESTRICTED,
    )
    hard, blocked, cone = Kind.SYMMETRIC, Kind.UDP_BLOCKED, Kind.PORT_RESTRICTED
    rows = [
        Row(sender=one, receiver=other)
        for number, one in enumerate(direct)
        for other in direct[number:]
    ]
    for kind in (Kind.FULL_CONE, Kind.RESTRICTED):
        rows += [Row(sender=kind, receiver=hard), Row(sender=hard, receiver=kind)]
    rows += [
        Row(sender=one, receiver=other, stun="none", turn="relay")
        for one, other in (
            (cone, hard),
            (hard, cone),
            (hard, hard),
            (blocked, cone),
            (cone, blocked),
            (blocked, blocked),
            (Kind.TLS_ONLY, cone),
            (cone, Kind.TLS_ONLY),
            (Kind.TLS_ONLY, Kind.TLS_ONLY),
            (Kind.PROXY_ONLY, cone),
            (cone, Kind.PROXY_ONLY),
        )
    ]
    return (*rows, *_special_rows(hard=hard, blocked=blocked, cone=cone))


def _special_rows(*, hard: Kind, blocked: Kind, cone: Kind) -> tuple[Row, ...]:
    wall = Kind.FIREWALL
    return (
        Row(sender=cone, receiver=cone, dead=True),
        Row(sender=hard, receiver=hard, dead=True, stun="none", turn="relay"),
        Row(sender=blocked, receiver=cone, dead=True, stun="none", turn="relay"),
        Row(sender=blocked, receiver=blocked, dead=True, stun="none", turn="relay"),
        Row(sender=cone, receiver=cone, same_lan=True),
        Row(sender=cone, receiver=cone, loss_percent=5),
        Row(sender=hard, receiver=hard, loss_percent=5, stun="none", turn="relay"),
        Row(sender=wall, receiver=wall, families=("IPv6", "IPv6")),
        Row(sender=hard, receiver=hard, families=("dual-stack", "dual-stack")),
        Row(sender=wall, receiver=hard, families=("IPv6", "dual-stack")),
        Row(
            sender=wall,
            receiver=cone,
            families=("IPv6", "IPv4"),
            stun="none",
            turn="relay",
        ),
        Row(
            sender=cone,
            receiver=wall,
            families=("IPv4", "IPv6"),
            stun="none",
            turn="relay",
        ),
    )


ROWS: Final = _rows()


class Matrix:
    """A laboratory with its servers, in which rows are tried.

    Args:
        lab: Entered already, with IPv6 for the rows that need it.
        folder: For what is sent and arrives.
        size: Bytes of the file.

    Attributes:
        server: The rendezvous.
        turn: The STUN and TURN server.
    """

    def __init__(self, lab: Lab, folder: Path, *, size: int) -> None:
        self._lab, self._folder = lab, folder
        self.server, self.turn = lab.rendezvous(), lab.turn()
        self._proxy: str | None = None
        self._source = random_file(folder / "matrix.bin", size)  # nothing that compresses

    def attempt(self, row: Row, *, with_turn: bool) -> Happened:
        """Try a row once."""
        lab = self._lab
        lab.a.kind, lab.b.kind = row.sender, row.receiver
        lab.a.families, lab.b.families = row.families
        lab.links(rtt_ms=RTT, rate_mbit=RATE, loss_percent=2 * row.loss_percent)
        by_name = set(row.families) != {"IPv4"} or Kind.PROXY_ONLY in (row.sender, row.receiver)
        transfer = Transfer(
            (lab.alice, lab.carol if row.same_lan else lab.bob),
            server=self.server.replace(SECOND, "rendezvous.lab.test") if by_name else self.server,
            source=self._source,
            folder=self._folder,
            options=ice_options(self.turn, dead=row.dead, with_turn=with_turn, by_name=by_name),
            env=self.turn.environment,
            envs=(self._way_out(row.sender), self._way_out(row.receiver)),
            module="tests.lab.preloaded",
        )
        try:
            return _happened(transfer)
        finally:
            transfer.stop()

    def _way_out(self, kind: Kind) -> dict[str, str]:
        if kind is not Kind.PROXY_ONLY:
            return {}
        self._proxy = self._proxy or start_proxy(self._lab)
        return {"HTTPS_PROXY": self._proxy}


def start_proxy(lab: Lab) -> str:
    """Start an HTTP proxy on srv; return its URL."""
    command = (sys.executable, "-m", "tests.fakes.connect_proxy", SECOND, str(PROXY_PORT))
    proxy = lab.srv.popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert proxy.stdout is not None, "it was started with a pipe"
    assert proxy.stdout.readline() == b"ready\n"
    return f"http://{SECOND}:{PROXY_PORT}"


def _happened(transfer: Transfer) -> Happened:
    code, whole = transfer.wait()
    receiver = transfer.receiver
    none: dict[str, Any] = {"route": "none", "relay_protocol": None}
    last = [
        next((e for e in reversed(side.events) if e["event"] in ("connected", "route")), none)
        for side in (transfer.sender, receiver)
    ]
    loaded = receiver.first["loaded"]
    end = receiver.first.get("error", transfer.started + whole)
    first_byte = transfer.steps()["first-byte"] if "progress" in receiver.first else end
    return Happened(
        route=last[1]["route"] if code == 0 else "none",
        reached=(last[0]["relay_protocol"] or "", last[1]["relay_protocol"] or ""),
        connected=receiver.first.get("connected", end) - loaded,
        first_byte=first_byte - loaded,
        whole=whole,
        exit=code,
    )


def ice_options(
    turn: Turn, *, dead: bool, with_turn: bool, by_name: bool = False
) -> tuple[str, ...]:
    """Return the ``--ice`` options of both commands."""
    dead_stun, dead_turn = turn.dead_urls()
    host = "turn.lab.test" if by_name else None
    urls = [dead_stun] if dead else []
    urls.append(turn.stun_url(host=host))
    if with_turn:
        urls += [dead_turn] if dead else []
        urls += [turn.ice_url(way, host=host) for way in TURN_WAYS]
    return tuple(text for url in urls for text in ("--ice", url))
