"""A NAT, a network and STUN servers, as functions on virtual time: no socket, no clock.

The NAT is of any kind that RFC 4787 knows; the way loses what it is told to lose.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterable
from collections.abc import Mapping as Attributes

from aioice import stun

from rtcsend.doctor.codec import Endpoint
from rtcsend.doctor.conclusion import Filtering, Mapping
from rtcsend.doctor.probing import Machine

DELAY = 0.02  # seconds one way
PUBLIC = "198.51.100.7"
SERVER, OTHER = ("203.0.113.10", 3478), ("203.0.113.11", 3479)
Lose = Callable[[bytes], bool]
"""Whether a datagram is lost."""


def drawn(seed: int = 1) -> Callable[[int], bytes]:
    """Return entropy that is the same each time."""
    return random.Random(seed).randbytes


class Nat:
    """Ports of places (0, 1, …) as the world sees them, and who may send to them."""

    def __init__(self, mapping: Mapping, filtering: Filtering) -> None:
        self._mapping, self._filtering = mapping, filtering
        self._ports: dict[tuple[int, object], int] = {}
        self._sent: dict[int, set[Endpoint]] = {}

    def out(self, place: int, to: Endpoint) -> Endpoint:
        key: object = {
            Mapping.INDEPENDENT: None,
            Mapping.ADDRESS: to[0],
            Mapping.ADDRESS_AND_PORT: to,
        }[self._mapping]
        port = self._ports.setdefault((place, key), 40_000 + len(self._ports))
        self._sent.setdefault(port, set()).add(to)
        return PUBLIC, port

    def into(self, port: int, source: Endpoint) -> int | None:
        """Return the place that gets it."""
        sent = self._sent.get(port, set())
        passes = {
            Filtering.INDEPENDENT: bool(sent),
            Filtering.ADDRESS: source[0] in {address for address, _ in sent},
            Filtering.ADDRESS_AND_PORT: source in sent,
        }[self._filtering]
        return next((p for (p, _), one in self._ports.items() if one == port and passes), None)


Answers = list[tuple[Endpoint, bytes]]
Serve = Callable[[bytes, Endpoint, Endpoint], Answers]
"""From a datagram, where it came from and where to, to what is sent, and where from."""


def rfc5780(data: bytes, source: Endpoint, to: Endpoint) -> Answers:
    """Answer as a server does that has two addresses with two ports each."""
    addresses, ports = (SERVER[0], OTHER[0]), (SERVER[1], OTHER[1])
    if to[0] not in addresses or to[1] not in ports:
        return []
    request = stun.parse_message(data)
    change = request.attributes.get("CHANGE-REQUEST", 0)
    address = addresses[addresses.index(to[0]) ^ bool(change & 4)]
    port = ports[ports.index(to[1]) ^ bool(change & 2)]
    other = addresses[1 - addresses.index(to[0])], ports[1 - ports.index(to[1])]
    return [((address, port), answer(request, source, {"OTHER-ADDRESS": other}))]


def plain(data: bytes, source: Endpoint, to: Endpoint) -> Answers:
    """Answer as a server does that has one address."""
    return [(to, answer(stun.parse_message(data), source, {}))]


def dead(data: bytes, source: Endpoint, to: Endpoint) -> Answers:
    """Never answer."""
    return []


def answer(request: stun.Message, source: Endpoint, more: Attributes[str, object]) -> bytes:
    """Return a server's success."""
    attributes = {"XOR-MAPPED-ADDRESS": source, **more}
    return bytes(
        stun.Message(
            request.message_method, stun.Class.RESPONSE, request.transaction_id, attributes
        )
    )


def never(data: bytes) -> bool:
    return False


def unlucky(seed: int) -> Lose:
    """Lose up to three of the packets of each transaction: there are four attempts."""
    chance = random.Random(seed)
    left: dict[bytes, int] = {}

    def lose(data: bytes) -> bool:
        number = data[8:20]
        left[number] = left.get(number, chance.randint(0, 3)) - 1
        return left[number] >= 0

    return lose


class World:
    """Runs a machine behind a NAT until it wants nothing more."""

    def __init__(self, machine: Machine, nat: Nat, serve: Serve, *, lose: Lose = never) -> None:
        self._machine, self._nat, self._serve, self._lose = machine, nat, serve, lose
        self._numbers = itertools.count()
        self._coming: list[tuple[float, int, int, Endpoint, bytes]] = []
        self.now = 0.0
        self.sent: list[tuple[float, Endpoint]] = []

    def run(self, *, end: float = 60.0) -> None:
        """Run to the end of the machine's timers."""
        while self.now < end:
            self._send()
            timer = self._machine.get_timer()
            coming = self._coming[0][0] if self._coming else None
            moments = [moment for moment in (timer, coming) if moment is not None]
            if not moments:
                return
            self.now = max(self.now, min(moments))
            while self._coming and self._coming[0][0] <= self.now:
                _, _, port, source, data = heapq.heappop(self._coming)
                place = self._nat.into(port, source)
                if place is not None:
                    self._machine.receive_untrusted(data, place=place, source=source, now=self.now)
        raise AssertionError("it never ends")

    def _send(self) -> None:
        for out in self._machine.to_send(now=self.now):
            assert out.to is not None
            self.sent.append((self.now, out.to))
            seen = self._nat.out(out.place, out.to)
            if self._lose(out.data):
                continue
            self._queue(seen[1], self._serve(out.data, seen, out.to))

    def _queue(self, port: int, answers: Iterable[tuple[Endpoint, bytes]]) -> None:
        for source, data in answers:
            number = next(self._numbers)
            if not self._lose(data):
                heapq.heappush(self._coming, (self.now + 2 * DELAY, number, port, source, data))
