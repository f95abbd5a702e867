"""The association: packets and time in, packets, messages and the next timer out.

Pure. What it is made of is in :mod:`~.tcb`, and what becomes of each packet that comes in
:mod:`~.incoming`; here is what its user calls, what goes out, and when.

Contract: after each call that changes state, send :meth:`Association.packets_to_send`, drain
:meth:`Association.next_event`, and call :meth:`Association.handle_timer` at
:meth:`Association.get_timer`. Every message that was handed out is to be reported by
:meth:`Association.taken` when the application has it: until then it counts against the
receive window.

Sources: RFC 9260; RFC 8831 §6 (DataChannels).
"""

from collections.abc import Sequence

from rtcsend.datapath.sctp.config import OUR_MAX_PACKET, AssociationConfig
from rtcsend.datapath.sctp.events import AssociationEvent, Closed, Established, StreamsReset
from rtcsend.datapath.sctp.heartbeat import FAILURE_TIMEOUT
from rtcsend.datapath.sctp.inbound import RECEIVE_BUFFER
from rtcsend.datapath.sctp.incoming import Incoming
from rtcsend.datapath.sctp.serial import add
from rtcsend.datapath.sctp.tcb import TransmissionControlBlock
from rtcsend.datapath.sctp.wire import ChunkType, Init, Packets, pack_chunk

__all__ = [
    "FAILURE_TIMEOUT",
    "OUR_MAX_PACKET",
    "Association",
    "AssociationConfig",
    "AssociationEvent",
    "Closed",
    "Established",
    "StreamsReset",
]


class Association:
    """One end of an association. See the module's docstring for the contract."""

    def __init__(self, config: AssociationConfig, *, now: float) -> None:
        self._tcb = TransmissionControlBlock(config, now=now)
        self._path = self._tcb.path
        self._outbound = self._tcb.outbound
        self._incoming = Incoming(self._tcb)

    @property
    def malformed(self) -> int:
        """Packets dropped because of what was in them."""
        return self._incoming.malformed

    @property
    def queued(self) -> int:
        """Bytes of messages that wait to be sent: ``bufferedAmount``."""
        return self._outbound.queue.size

    def queued_on(self, stream: int) -> int:
        """Return the bytes of one stream's messages that wait to be sent."""
        return self._outbound.queue.size_of(stream)

    @property
    def payload(self) -> int:
        """Bytes of user data that a full packet carries, as large as the path takes by now."""
        return self._outbound.payload

    @property
    def is_established(self) -> bool:
        """Whether messages go."""
        return self._tcb.is_established

    @property
    def needs_fragmentation(self) -> bool:
        """Whether packets may now be larger than the path takes, and IP has to cut them."""
        return self._path.needs_fragmentation

    def connect(self, *, now: float, introduced: Init | None = None) -> None:
        """Begin the handshake.

        Args:
            now: Seconds.
            introduced: The other side's INIT, if it was told beforehand, as ours was to it: then
                there is no handshake, and messages go at once.
        """
        if introduced is None:
            self._tcb.handshake.start(now=now)
        else:
            self._tcb.handshake.skip(introduced)
            self._tcb.maybe_established(now=now)

    def send(self, stream: int, ppid: int, data: bytes) -> None:
        """Queue a message of at least one byte."""
        self._outbound.queue.add(stream, ppid, data)

    def taken(self, size: int, *, now: float) -> bool:
        """The application has taken messages of ``size`` bytes in all.

        Returns:
            Whether there is something to send: the other side is told that there is room again.
        """
        tcb = self._tcb
        if tcb.inbound is None:
            return False
        was_closed = tcb.inbound.a_rwnd < RECEIVE_BUFFER // 4
        tcb.inbound.taken(size)
        is_open = tcb.inbound.a_rwnd >= RECEIVE_BUFFER // 4
        if was_closed and is_open:
            tcb.sacks.on_window_opened(tcb.inbound, now=now)
        return was_closed and is_open

    def reset(self, stream: int, *, now: float) -> None:
        """End a stream; what waits to be sent on it is dropped. Source: RFC 8831 §6.7.

        Nothing may be sent on it afterwards.
        """
        if self.is_established:
            self._outbound.queue.forget(stream)
            self._tcb.resets.ask_for(stream, now=now)

    def abort(self) -> None:
        """End at once; the packet to send says so to the other side."""
        tcb = self._tcb
        if tcb.packer is not None and not tcb.is_over:
            tcb.control.append(pack_chunk(ChunkType.ABORT, 0, b""))
        tcb.close(None)

    def expect_reordering(self, *, expected: bool) -> None:
        """Packets take several ways at once from now on, so that they overtake one another.

        Until :meth:`path_changed`, or until it is said that they do not any more.
        """
        self._outbound.rack.expect_reordering(expected=expected)

    def bound_flight(self, limit: float) -> None:
        """What is below drops what it does not hold, and it is known how much that is.

        Until :meth:`path_changed`, or until it is said anew.

        Args:
            limit: Bytes; infinite for no bound.
        """
        self._outbound.flight_limit = limit

    def path_changed(self, *, now: float) -> None:
        """Packets go another way from now on: another pair of candidates was selected.

        The round trip, the rate and the packet size are those of an unknown path again, and
        are asked for at once. What was under way is sent again, as far as it is not acknowledged
        in the meantime. Source: RFC 9000 §9.4; RFC 8899 §5.2.
        """
        self._path.changed(now=now)
        if self.is_established:
            self._path.on_heard(now=now)  # connectivity checks have had an answer
            self._tcb.control.append(self._path.heartbeat(now=now))

    def receive_packets_untrusted(self, packets: Sequence[bytes], *, now: float) -> None:
        """Take a batch of packets. Malformed ones are dropped, and end nothing else."""
        self._incoming.receive_packets_untrusted(packets, now=now)

    def receive_equal_untrusted(
        self, packets: bytes | memoryview, size: int, *, now: float
    ) -> None:
        """Take packets of ``size`` bytes each, joined, as a part of a batch.

        See :meth:`~rtcsend.datapath.sctp.incoming.Incoming.receive_equal_untrusted`.
        """
        self._incoming.receive_equal_untrusted(packets, size, now=now)

    def end_batch(self, *, now: float) -> None:
        """Draw the conclusions of what came together: to be called after the last of it."""
        self._incoming.end_batch(now=now)

    def handle_timer(self, *, now: float) -> None:
        """Let time pass."""
        tcb = self._tcb
        if tcb.is_over:
            return
        if not tcb.handshake.handle_timer(now=now):
            tcb.close("The other side does not answer.")
            return
        if tcb.inbound is None:
            return
        if (heartbeat := self._path.heartbeat_due(now=now)) is not None:
            tcb.control.append(heartbeat)
        tcb.resolve(self._outbound.handle_timer(now=now), now=now)
        if self._path.is_dead(now=now):
            tcb.close("The other side does not answer any more.")

    def get_timer(self) -> float | None:
        """Return when to call :meth:`handle_timer` and :meth:`packets_to_send` next."""
        tcb = self._tcb
        if tcb.is_over:
            return None
        times = (
            tcb.handshake.get_timer(),
            self._outbound.get_timer(),
            tcb.sacks.get_timer(),
            self._reset_timer(),
            self._path.get_timer() if tcb.inbound is not None else None,
        )
        return min((time for time in times if time is not None), default=None)

    def next_event(self) -> AssociationEvent | None:
        """Return what happened, oldest first; None when there is nothing more."""
        return self._tcb.events.popleft() if self._tcb.events else None

    def packets_to_send(self, *, now: float) -> list[bytes]:
        """Return the packets to send now, in order, one by one: see :meth:`batches_to_send`."""
        return [
            data[start : start + size]
            for data, size in self.batches_to_send(now=now)
            for start in range(0, len(data), size)
        ]

    def batches_to_send(self, *, now: float) -> list[Packets]:
        """Return the packets to send now, in order: MAX_BURST, MAX_BURST_SIZE and some at most.

        Packets of full size stand together, so that they can leave as segments of one buffer.
        """
        tcb = self._tcb
        packets = [] if tcb.is_over else tcb.handshake.packets_to_send()
        if tcb.packer is None:
            return packets
        inbound = None if tcb.is_over else tcb.inbound
        if inbound is not None:
            if tcb.sacks.take_due(now=now):
                tcb.control.append(inbound.sack())
            if (probe := self._path.probe_due(now=now)) is not None:
                tcb.control.append(probe)
        if tcb.control:
            control, tcb.control = tcb.control, []
            packets += [self._pack(chunk) for chunk in control]
        if inbound is not None:
            packets += self._outbound.burst(now=now)
            packets += self._reset_packets(now=now)
        return packets

    def _reset_timer(self) -> float | None:
        """Return when to ask for a reset: not before the end of a message that was begun."""
        return None if self._outbound.queue.is_half_sent else self._tcb.resets.get_timer()

    def _reset_packets(self, *, now: float) -> list[Packets]:
        queue = self._outbound.queue
        if queue.is_half_sent:
            return []
        last_tsn, rto = add(queue.next_tsn, -1), self._outbound.rtt.rto
        chunk = self._tcb.resets.chunk_to_send(last_tsn=last_tsn, rto=rto, now=now)
        return [] if chunk is None else [self._pack(chunk)]

    def _pack(self, chunk: bytes) -> Packets:
        packer, handshake = self._tcb.packer, self._tcb.handshake
        assert packer is not None, "control chunks come after the handshake"
        packet = packer.pack(chunk, zero_checksum=handshake.zero_checksum)
        return packet, len(packet)
