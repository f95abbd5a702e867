"""How large a packet the way to a STUN server takes: requests of many sizes at once.

They are padded and must not be cut on the way; the largest that is answered is what the path
takes at least. The answers are small, so that only one direction is measured. Where none is
answered nobody knows: the server may dislike padding.

Pure. Place in the flow: driven by :mod:`rtcsend.doctor.checks`. Source: RFC 8899 §3, §5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rtcsend.doctor import codec
from rtcsend.doctor.codec import Endpoint
from rtcsend.doctor.probing import Outgoing
from rtcsend.doctor.transaction import Transaction, earliest, schedule_for

SIZES: Final = (1_200, 1_280, 1_320, 1_360, 1_400, 1_420, 1_440, 1_460, 1_472, 1_480, 1_492, 1_500)
"""IP packets: the least that WebRTC takes for granted, IPv6's minimum, tunnels inside one
another, WireGuard over IPv6 and IPv4, PPPoE (1,492), Ethernet. Multiples of 4, as STUN is."""

_HEADERS: Final = {4: 28, 6: 48}  # bytes of IP and UDP


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What was found."""

    bytes: int
    """The largest IP packet that is known to pass."""
    next: int | None
    """The next larger one that was tried, and did not pass; None: the largest has passed."""


class MtuProbe:
    """Asks one server with requests of all SIZES.

    Args:
        server: Whom.
        rtt: Seconds that its answer takes.
        now: Seconds.
        entropy: Returns so many random bytes.
    """

    def __init__(
        self, server: Endpoint, *, rtt: float, now: float, entropy: Callable[[int], bytes]
    ) -> None:
        self._server = server
        self._asked: dict[bytes, tuple[int, Transaction]] = {}
        headers = _HEADERS[6 if ":" in server[0] else 4]
        for size in SIZES:
            number = entropy(codec.TRANSACTION_ID_SIZE)
            data = codec.binding_request(number, size=size - headers)
            self._asked[number] = size, Transaction(data, now=now, schedule=schedule_for(rtt))

    @property
    def done(self) -> bool:
        """Whether all were answered or given up; what is smaller than an answered one passes."""
        largest = max(
            (size for size, one in self._asked.values() if one.rtt is not None), default=0
        )
        return all(one.settled or size < largest for size, one in self._asked.values())

    def receive_untrusted(
        self, data: bytes, *, place: int, source: Endpoint | None, now: float
    ) -> None:
        """Take a datagram; an error is an answer as well."""
        answer = codec.maybe_answer_untrusted(data)
        if answer is not None and answer.transaction_id in self._asked and source == self._server:
            self._asked[answer.transaction_id][1].on_answer(now=now)

    def to_send(self, *, now: float) -> list[Outgoing]:
        """Return what is to be sent now."""
        due = [one.maybe_data(now=now) for _, one in self._asked.values()]
        return [Outgoing(place=0, data=data, to=self._server) for data in due if data is not None]

    def get_timer(self) -> float | None:
        """Return when to call :meth:`to_send` next."""
        return earliest(*(one.get_timer() for _, one in self._asked.values()))

    def result(self) -> Size | None:
        """Return what the path takes; None when nobody can tell."""
        passed = [size for size, one in self._asked.values() if one.rtt is not None]
        if not passed:
            return None
        largest = max(passed)
        return Size(bytes=largest, next=min((s for s in SIZES if s > largest), default=None))
