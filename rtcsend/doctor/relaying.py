"""One TURN server by one way: an allocation, and a burst to a second one beside it.

    this machine ══ place 0 ══ [allocation] ── relayed addresses ── [allocation] ══ place 1

Both allocations are ours and on the same server, so that nobody else gets a packet and no NAT
stands in between; what is measured is the slower of the two ways to the server.

Pure. Place in the flow: driven by :mod:`rtcsend.doctor.checks`. Source: RFC 8656 §12.
"""

from collections.abc import Callable

from rtcsend.datapath.turn_frames import channel_data, maybe_channel_data_untrusted
from rtcsend.doctor.allocation import CHANNEL, Allocation, Refusal, Step
from rtcsend.doctor.burst import PACKET, Burst, Speed
from rtcsend.doctor.codec import Endpoint
from rtcsend.doctor.probing import Outgoing
from rtcsend.doctor.servers import Server
from rtcsend.doctor.transaction import STREAM, UDP, earliest


class RelayProbe:
    """Asks one TURN server.

    Args:
        server: Whom, with the credential.
        entropy: Returns so many random bytes.
        now: Seconds.
    """

    def __init__(self, server: Server, *, entropy: Callable[[int], bytes], now: float) -> None:
        self._server, self._entropy = server, entropy
        self._ends = [self._allocation(now=now)]
        self._burst: Burst | None = None

    @property
    def first(self) -> Allocation:
        """The allocation that is asked for at once."""
        return self._ends[0]

    @property
    def refusal(self) -> Refusal | None:
        """Why the burst cannot be."""
        return next((end.refusal for end in self._ends if end.refusal is not None), None)

    @property
    def asked(self) -> bool:
        """Whether the first allocation was granted or refused."""
        return self.first.step is not Step.ASKING

    @property
    def measured(self) -> bool:
        """Whether the burst is over, or cannot be."""
        return self.refusal is not None or (self._burst is not None and self._burst.done)

    @property
    def done(self) -> bool:
        """Whether nothing is left on the server."""
        return all(end.step is Step.OVER for end in self._ends)

    def measure(self, *, now: float) -> None:
        """Begin with the second allocation, at place 1; the first has been granted."""
        self._ends.append(self._allocation(now=now))

    def finish(self, *, now: float) -> None:
        """Give everything back."""
        for end in self._ends:
            end.release(now=now)

    def speed(self) -> Speed | None:
        """Return what was measured; None when nothing was."""
        return None if self._burst is None else self._burst.result()

    def receive_untrusted(
        self, data: bytes, *, place: int, source: Endpoint | None, now: float
    ) -> None:
        """Take a message of the server; ``source`` is its address, or None on a connection."""
        if place >= len(self._ends):
            return
        framed = maybe_channel_data_untrusted(data)
        if framed is None:
            self._ends[place].receive_untrusted(data, now=now)
        elif place == 1 and framed[0] == CHANNEL and self._burst is not None:
            self._burst.receive_untrusted(framed[1], now=now)
        self._go_on(now=now)

    def to_send(self, *, now: float) -> list[Outgoing]:
        """Return what is to be sent now."""
        messages = [
            Outgoing(place=place, data=data)
            for place, end in enumerate(self._ends)
            for data in end.messages_to_send(now=now)
        ]
        if self._burst is None or self.first.step is not Step.BOUND:
            return messages
        padded = self._server.transport != "udp"
        packets = self._burst.packets_to_send(now=now)
        return messages + [
            Outgoing(place=0, data=channel_data(packet, PACKET, CHANNEL, padded=padded))
            for packet in packets
        ]

    def get_timer(self) -> float | None:
        """Return when to call :meth:`to_send` next."""
        burst = None if self._burst is None else self._burst.get_timer()
        return earliest(burst, *(end.get_timer() for end in self._ends))

    def _go_on(self, *, now: float) -> None:
        """Bind each end to the other, and then begin the burst."""
        if len(self._ends) < 2:  # noqa: PLR2004 - the ends of a burst
            return
        steps = [end.step for end in self._ends]
        if steps == [Step.ALLOCATED, Step.ALLOCATED] and self.refusal is None:
            one, other = self._ends
            assert one.granted is not None, "it is ALLOCATED"
            assert other.granted is not None, "it is ALLOCATED"
            one.bind(other.granted.relayed, now=now)
            other.bind(one.granted.relayed, now=now)
        elif steps == [Step.BOUND, Step.BOUND] and self._burst is None:
            self._burst = Burst(entropy=self._entropy, now=now)

    def _allocation(self, *, now: float) -> Allocation:
        return Allocation(
            username=self._server.username,
            password=self._server.credential,
            schedule=UDP if self._server.transport == "udp" else STREAM,
            entropy=self._entropy,
            now=now,
        )
