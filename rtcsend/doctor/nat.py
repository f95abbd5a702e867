"""What kind of NAT is on the way, asked of STUN servers. RFC 5780, and less where it must be.

Every server is asked from one port: where all see it the same, the mapping is
endpoint-independent. The first that has another address (OTHER-ADDRESS) is asked there too,
and asked to answer from there (CHANGE-REQUEST) to a second port, which has sent nothing
there: what comes through tells the filtering. All of it happens side by side.

An answer counts when its transaction is ours and it comes from where it has to come from.

Pure. Place in the flow: driven by :mod:`rtcsend.doctor.checks`, one machine an IP family.
Source: RFC 5780 §4.3 (mapping), §4.4 (filtering); RFC 8489 §6.3.
"""

import enum
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rtcsend.doctor import codec
from rtcsend.doctor.codec import Answer, Endpoint
from rtcsend.doctor.conclusion import Filtering, Mapping
from rtcsend.doctor.probing import Outgoing
from rtcsend.doctor.transaction import UDP, Schedule, Transaction, earliest, schedule_for

MAPPING, FILTERING = 0, 1
"""The places: the port that asks everybody, and the one that only hears."""

MAX_SERVERS: Final = 24  # asked by one machine


class Test(enum.Enum):
    """What a request finds out. Source: RFC 5780 §4.3, §4.4."""

    __test__ = False  # no test of pytest's

    BINDING = "binding"
    OTHER_ADDRESS = "other address"
    OTHER_BOTH = "other address and port"
    FROM_BOTH = "from the other address and port"
    FROM_PORT = "from the other port"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What one server says."""

    mapped: Endpoint
    rtt: float
    """Seconds."""


@dataclass(slots=True, kw_only=True)
class _Asked:
    """A request on its way."""

    test: Test
    server: Endpoint
    to: Endpoint
    expected: Endpoint
    """Where the answer has to come from."""
    transaction: Transaction
    place: int
    mapped: Endpoint | None = None


class NatProbe:
    """Asks STUN servers of one IP family.

    Args:
        entropy: Returns so many random bytes.

    Attributes:
        bindings: What each server has answered.
        ignores_changes: The server answers from the same address, whatever it is asked.
    """

    def __init__(self, *, entropy: Callable[[int], bytes]) -> None:
        self.bindings: dict[Endpoint, Binding] = {}
        self.ignores_changes = False
        self._entropy = entropy
        self._asked: dict[bytes, _Asked] = {}
        self._chosen: Endpoint | None = None  # the server that RFC 5780's tests are made with

    @property
    def done(self) -> bool:
        """Whether everybody that was named until now has answered or been given up."""
        return all(asked.transaction.settled for asked in self._asked.values())

    def add_server(self, server: Endpoint, *, now: float) -> None:
        """Ask a server as well; more than MAX_SERVERS are passed over."""
        known = [one.server for one in self._asked.values() if one.test is Test.BINDING]
        if server not in known and len(known) < MAX_SERVERS:
            self._ask(Test.BINDING, server, to=server, expected=server, now=now, schedule=UDP)

    def settled(self, server: Endpoint) -> bool:
        """Whether a server has answered, or was given up."""
        return any(
            asked.transaction.settled
            for asked in self._asked.values()
            if asked.test is Test.BINDING and asked.server == server
        )

    def receive_untrusted(
        self, data: bytes, *, place: int, source: Endpoint | None, now: float
    ) -> None:
        """Take a datagram; strangers' are passed over."""
        answer = codec.maybe_answer_untrusted(data)
        asked = None if answer is None else self._asked.get(answer.transaction_id)
        if answer is None or asked is None or asked.place != place or asked.transaction.settled:
            return
        if source == asked.expected and answer.error is None and answer.mapped is not None:
            asked.transaction.on_answer(now=now)
            asked.mapped = answer.mapped
            if asked.test is Test.BINDING:
                self._on_binding(asked, answer, now=now)
        elif place == FILTERING and source == asked.to:
            # It cannot do what it is asked (an error), or has not understood it.
            self.ignores_changes = True
            asked.transaction.silent = True

    def to_send(self, *, now: float) -> list[Outgoing]:
        """Return what is to be sent now."""
        due = (
            (asked, asked.transaction.maybe_data(now=now)) for asked in list(self._asked.values())
        )
        return [
            Outgoing(place=asked.place, data=data, to=asked.to)
            for asked, data in due
            if data is not None
        ]

    def get_timer(self) -> float | None:
        """Return when to call :meth:`to_send` next."""
        return earliest(*(asked.transaction.get_timer() for asked in self._asked.values()))

    def mapping(self) -> Mapping:
        """Return what is known of the mapping; whether there is a NAT at all is not asked."""
        one, same_port, both = (
            self._mapped(test) for test in (Test.BINDING, Test.OTHER_ADDRESS, Test.OTHER_BOTH)
        )
        if self._chosen is None or one is None or same_port is None:
            return self._compared()
        if one == same_port:
            return Mapping.INDEPENDENT
        if both is None:
            return Mapping.DEPENDENT
        return Mapping.ADDRESS if same_port == both else Mapping.ADDRESS_AND_PORT

    def filtering(self) -> Filtering:
        """Return what is known of the filtering."""
        if self._chosen is None or self.ignores_changes:
            return Filtering.UNKNOWN
        tests = {asked.test: asked.transaction for asked in self._asked.values()}
        if tests[Test.FROM_BOTH].rtt is not None:
            return Filtering.INDEPENDENT
        settled = tests[Test.FROM_BOTH].settled and tests[Test.FROM_PORT].settled
        if not settled or tests[Test.OTHER_BOTH].rtt is None:
            return Filtering.UNKNOWN  # where nothing comes from, nothing was filtered
        passed = tests[Test.FROM_PORT].rtt is not None
        return Filtering.ADDRESS if passed else Filtering.ADDRESS_AND_PORT

    def _on_binding(self, asked: _Asked, answer: Answer, *, now: float) -> None:
        rtt = asked.transaction.rtt
        assert answer.mapped is not None, "it was looked at"
        assert rtt is not None, "it has just been answered"
        self.bindings[asked.server] = Binding(mapped=answer.mapped, rtt=rtt)
        other = answer.other
        if self._chosen is None and other is not None and _is_another(asked.server, other):
            self._chosen = asked.server
            self._ask_behaviour(asked.server, other, schedule=schedule_for(rtt), now=now)

    def _ask_behaviour(
        self, server: Endpoint, other: Endpoint, *, schedule: Schedule, now: float
    ) -> None:
        elsewhere = (other[0], server[1])
        for test, to, expected in (
            (Test.OTHER_ADDRESS, elsewhere, elsewhere),
            (Test.OTHER_BOTH, other, other),
            (Test.FROM_BOTH, server, other),
            (Test.FROM_PORT, server, (server[0], other[1])),
        ):
            self._ask(test, server, to=to, expected=expected, now=now, schedule=schedule)

    def _ask(
        self,
        test: Test,
        server: Endpoint,
        *,
        to: Endpoint,
        expected: Endpoint,
        now: float,
        schedule: Schedule,
    ) -> None:
        change = _CHANGES.get(test, 0)
        number = self._entropy(codec.TRANSACTION_ID_SIZE)
        self._asked[number] = _Asked(
            test=test,
            server=server,
            to=to,
            expected=expected,
            place=FILTERING if change else MAPPING,
            transaction=Transaction(
                codec.binding_request(number, change=change), now=now, schedule=schedule
            ),
        )

    def _mapped(self, test: Test) -> Endpoint | None:
        """Return what the server of the behaviour tests saw."""
        return next(
            (
                asked.mapped
                for asked in self._asked.values()
                if asked.test is test and asked.server == self._chosen
            ),
            None,
        )

    def _compared(self) -> Mapping:
        """Compare what several servers see, where none of them could be asked for more."""
        seen = {server: binding.mapped for server, binding in self.bindings.items()}
        if len({address for address, _ in seen}) < 2:  # noqa: PLR2004 - addresses to compare
            ports_differ = len(set(seen.values())) > 1
            return Mapping.ADDRESS_AND_PORT if ports_differ else Mapping.UNKNOWN
        return Mapping.INDEPENDENT if len(set(seen.values())) == 1 else Mapping.DEPENDENT


_CHANGES: Final = {Test.FROM_BOTH: codec.CHANGE_BOTH, Test.FROM_PORT: codec.CHANGE_PORT}


def _is_another(server: Endpoint, other: Endpoint) -> bool:
    """Return whether the server has both another address and another port, of the same family.

    Nobody is asked to send to a network that the server is not in: what a stranger names in
    the public net must not lead into ours.
    """
    here, there = ipaddress.ip_address(server[0]), ipaddress.ip_address(other[0])
    return (
        here.version == there.version
        and here != there
        and server[1] != other[1]
        and here.is_global <= there.is_global
        and here.is_loopback == there.is_loopback
    )
