"""The sending half of an association: what may leave now, and what a SACK does to that.

Pure. It ties together the messages that wait (:mod:`~.send_queue`), what is sent
(:mod:`~.outstanding`), losses (:mod:`~.rack`), the timer, the delivery rate, the RTT, a
congestion controller and a pacer; and it obeys the other side's window.

A burst is made on demand, when the association is asked for packets. For each SACK the order
is: what it acknowledges, the RTT, losses, then the congestion controller.

Sources: RFC 9260 §6.1 (windows), §6.2.1, §6.3; RFC 8985 (losses, tail-loss probes).
"""

import enum
import math
from typing import Final

from rtcsend.datapath.congestion.base import AckSample, CongestionController
from rtcsend.datapath.congestion.pacer import Pacer
from rtcsend.datapath.congestion.rtt import MinRtt, RttEstimator
from rtcsend.datapath.sctp.delivery import Delivery, Flight
from rtcsend.datapath.sctp.handshake import RTO_INITIAL
from rtcsend.datapath.sctp.outstanding import Acked, Outstanding
from rtcsend.datapath.sctp.pmtud import BASE_PLPMTU
from rtcsend.datapath.sctp.rack import Lost, Rack
from rtcsend.datapath.sctp.retransmission_timer import Due, RetransmissionTimer
from rtcsend.datapath.sctp.send_queue import Chunk, Run, SendQueue, payload_for
from rtcsend.datapath.sctp.wire import HEADER_SIZE, Packer, Packets, Sack

MAX_BURST: Final = 256  # packets of one call: some batches of segmentation offload
MAX_BURST_SIZE: Final = 640 << 10  # bytes of one call: what is below had room for some more
LIMIT_GAIN: Final = 1.5  # of what the path carries in a round trip: flight_limit leaves that much


class Doubt(enum.Flag):
    """What silence and losses have made doubtful; the association has the means to ask."""

    NONE = 0
    PACKET_SIZE = enum.auto()
    """Packets of this size may not arrive any more."""
    ROUND_TRIP = enum.auto()
    """How long the path is, nothing unambiguous says."""


class Outbound:
    """Sends messages, for as long as they are not acknowledged.

    Args:
        initial_tsn: Of the first chunk.
        controller: Says how much may be in flight, and how fast it may leave.
        now: Seconds.
    """

    def __init__(self, initial_tsn: int, *, controller: CongestionController, now: float) -> None:
        self.queue = SendQueue(initial_tsn)
        self.outstanding = Outstanding(initial_tsn)
        self.rack = Rack(self.outstanding, now=now)
        self.timer = RetransmissionTimer()
        self.controller = controller
        self.rtt = RttEstimator(rto_initial=RTO_INITIAL)
        self.min_rtt = MinRtt()
        self.payload = controller.mss
        """Bytes of user data that a packet holds."""
        self.peer_rwnd = 0
        """Bytes that the other side had room for, when it said so last."""
        self.flight_limit = math.inf
        """Bytes that there is room for on the way; more only where the path has carried more."""
        self._volume = 0.0
        self._path_since = -math.inf
        self._delivery = Delivery(now=now)
        self._pacer = Pacer(mss=self.payload, now=now)
        self._pace_at: float | None = None
        self._probes: list[bytes] = []
        self._packer: Packer | None = None
        self._zero_checksum = False

    def open(self, packer: Packer, *, zero_checksum: bool, peer_rwnd: int) -> None:
        """Begin to send: the handshake is over.

        Args:
            packer: For packets to the other side.
            zero_checksum: They need no checksum.
            peer_rwnd: Bytes that the other side has room for.
        """
        self._packer = packer
        self._zero_checksum = zero_checksum
        self.peer_rwnd = peer_rwnd

    def set_packet_size(self, size: int, *, now: float) -> None:
        """Make packets of ``size`` bytes from now on; what is outstanding stays as it is."""
        self.payload = payload_for(size)
        self.controller.set_mss(self.payload)
        self._pacer.set_mss(self.payload)
        self._pacer.set_rate(self.controller.pacing_rate, now=now)

    def path_changed(self, *, controller: CongestionController, now: float) -> None:
        """Packets go another way from now on, of which nothing is known.

        What is outstanding counts as lost, so that it waits for nothing but the new controller's
        window: no time is lost where the old path is dead, and a flight at most is sent twice
        where it is not. Acknowledgements of the old path say nothing about the new one.
        Source: RFC 9000 §9.4, as SCTP's own paths (RFC 9260 §7.1) are not what changes here.
        """
        self._path_since = now
        self.flight_limit, self._volume = math.inf, 0.0
        self.controller = controller
        self.payload = controller.mss
        self.rtt = RttEstimator(rto_initial=RTO_INITIAL)
        self.min_rtt = MinRtt()
        self.timer = RetransmissionTimer()
        self.rack = Rack(self.outstanding, now=now)
        self.rack.lose_everything(even_acknowledged=False)
        self._delivery = Delivery(now=now)
        self._pacer = Pacer(mss=self.payload, now=now)
        self._probes.clear()
        self._restart_timer(now=now)

    def on_rtt_sample(self, rtt: float, *, now: float) -> None:
        """Take in an unambiguous round-trip time, in seconds."""
        self.rtt.on_sample(rtt)
        self.min_rtt.on_sample(rtt, now=now)
        self.timer.hasten(rto=self.rtt.rto, now=now)

    # Acknowledgement and loss

    def receive_sack(self, sack: Sack, *, now: float) -> Doubt:
        """Take a SACK.

        Raises:
            PeerProtocolError: It acknowledges what was never sent.
        """
        outstanding, rack = self.outstanding, self.rack
        prior_flight = outstanding.flight_size
        acked = outstanding.receive_sack(sack)
        if acked is None:
            return Doubt.NONE
        self.peer_rwnd = sack.a_rwnd
        if acked.reneged:
            rack.send_reneged(acked.reneged)
        self.timer.on_sack(acked=acked.size)
        rack.adapt_window(has_duplicates=sack.duplicates > 0)
        if repaired := rack.repaired(has_duplicates=sack.duplicates > 0):
            self._react_to_loss(repaired, now=now)
        doubt = Doubt.NONE
        if acked.size:
            rtt = None
            sent_at = rack.on_acked(acked, min_rtt=self.min_rtt.value, now=now)
            if sent_at is not None and sent_at >= self._path_since:
                rtt = now - sent_at
                self.on_rtt_sample(rtt, now=now)
            lost = rack.detect(min_rtt=self.min_rtt.value, srtt=self.rtt.srtt, now=now)
            doubt = self._react_to_loss(lost, now=now)
            self._react_to_ack(acked, rtt, lost=lost.size, prior_flight=prior_flight, now=now)
        if acked.size or acked.advanced:
            self._restart_timer(now=now)
        return doubt

    def _react_to_ack(
        self, acked: Acked, rtt: float | None, *, lost: int, prior_flight: int, now: float
    ) -> None:
        newest, delivery = acked.newest, self._delivery
        assert newest is not None, "something was acknowledged"
        if self.rack.newest_sent_at < self._path_since:
            return  # nothing that this path carried has arrived yet
        delivery.on_delivered(acked.size, newest, now=now)
        min_rtt = self.min_rtt.value
        rate = delivery.rate(newest, min_rtt=min_rtt, now=now)
        if rtt is not None:
            self._volume = rate * min_rtt
        self.controller.on_ack(
            AckSample(
                now=now,
                acked=acked.size,
                flight=self.outstanding.flight_size,
                prior_flight=prior_flight,
                rtt=rtt,
                min_rtt=min_rtt,
                srtt=self.rtt.srtt,
                delivered=delivery.delivered,
                delivery_rate=rate,
                app_limited=newest.app_limited,
                round_start=delivery.is_round_start(newest),
                lost=lost,
            )
        )
        self._pacer.set_rate(self.controller.pacing_rate, now=now)

    def _react_to_loss(self, lost: Lost, *, now: float) -> Doubt:
        if lost.size:
            flight = self.outstanding.flight_size
            self.controller.on_loss(now=now, lost=lost.size, flight=flight, sent_at=lost.sent_at)
            self._pacer.set_rate(self.controller.pacing_rate, now=now)
        is_large = lost.stubborn >= payload_for(BASE_PLPMTU)
        return Doubt.PACKET_SIZE if is_large else Doubt.NONE

    # Time

    def get_timer(self) -> float | None:
        """Return when to call :meth:`handle_timer`, and to ask for a burst."""
        times = (self.timer.get_timer(), self._pace_at, self.rack.reorder_deadline)
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, *, now: float) -> Doubt:
        """Let time pass."""
        doubt = Doubt.NONE
        match self.timer.take_due(rto=self.rtt.rto, now=now):
            case Due.PROBE:
                self._send_probe(now=now)
            case Due.TIMEOUT:
                doubt = self._on_timeout(now=now)
            case Due.NOTHING:
                pass
        deadline = self.rack.reorder_deadline
        if deadline is not None and now >= deadline:
            lost = self.rack.detect(min_rtt=self.min_rtt.value, srtt=self.rtt.srtt, now=now)
            doubt |= self._react_to_loss(lost, now=now)
        return doubt

    def _restart_timer(self, *, now: float) -> None:
        if self.outstanding:
            self.timer.restart(rto=self.rtt.rto, srtt=self.rtt.srtt, now=now)
        else:
            self.timer.stop()

    def _send_probe(self, *, now: float) -> None:
        """Provoke a SACK that shows whether the tail was lost. Source: RFC 8985 §7.3."""
        packet = self.rack.probe(flight=self._begin_burst(now=now))
        if packet is not None:
            self._probes.append(packet)

    def _on_timeout(self, *, now: float) -> Doubt:
        timer = self.timer
        self.rtt.back_off()
        timer.on_timeout(is_window_closed=self.peer_rwnd < self.payload)
        self.rack.lose_everything(even_acknowledged=timer.is_black_hole)
        if not timer.probes_window:
            self.controller.on_rto(now=now)
            self._pacer.set_rate(self.controller.pacing_rate, now=now)
        timer.restart(rto=self.rtt.rto, srtt=self.rtt.srtt, now=now)
        # Where the RTT is longer than the timeout everything is sent twice, and nothing says
        # how long it is (Karn) but a heartbeat. Once, as its answer ends the back-off.
        doubt = Doubt.ROUND_TRIP if timer.timeouts == 1 else Doubt.NONE
        return doubt | Doubt.PACKET_SIZE if timer.is_black_hole else doubt

    # Sending

    def burst(self, *, now: float) -> list[Packets]:
        """Return the packets that congestion control, flow control and pacing allow now."""
        packets = [(packet, len(packet)) for packet in self._probes]
        self._probes.clear()
        self._pace_at = None
        if not (self.queue.size or self.rack.has_retransmissions):
            return packets
        outstanding, pacer = self.outstanding, self._pacer
        was_idle = not outstanding
        if was_idle:
            self.controller.on_idle(now=now)
            pacer.set_rate(self.controller.pacing_rate, now=now)
        budget = min(pacer.budget(now), MAX_BURST * self.payload, MAX_BURST_SIZE)
        if budget <= 0:
            self._pace_at = pacer.next_send_time(now)
            return packets
        flight, before = self._begin_burst(now=now), outstanding.flight_size
        made = self._lost_packets(budget, flight)
        made += self._new_packets(budget - (outstanding.flight_size - before), flight)
        if made:
            self._on_sent(outstanding.flight_size - before, was_idle=was_idle, now=now)
        return packets + made

    def _begin_burst(self, *, now: float) -> Flight:
        return self._delivery.begin_burst(is_idle=not self.outstanding, now=now)

    def _on_sent(self, size: int, *, was_idle: bool, now: float) -> None:
        flight_size, cwnd = self.outstanding.flight_size, self.controller.cwnd
        self._pacer.on_sent(size, now)
        self.controller.on_sent(now=now, flight=flight_size)
        if was_idle or not self.timer.is_running:
            self._restart_timer(now=now)
        else:
            self.timer.restart_probe(srtt=self.rtt.srtt, now=now)
        if flight_size < cwnd:
            if not self.queue.size:
                self._delivery.note_app_limit(flight_size=flight_size)
            if self.queue.size or self.rack.has_retransmissions:
                self._pace_at = self._pacer.next_send_time(now)

    def _window(self) -> int:
        cwnd = self.controller.cwnd
        limit = max(self.flight_limit, LIMIT_GAIN * self._volume)
        return cwnd if cwnd <= limit else int(limit)

    def _lost_packets(self, budget: int, flight: Flight) -> list[Packets]:
        packets: list[Packets] = []
        outstanding, rack = self.outstanding, self.rack
        end = min(self._window(), outstanding.flight_size + budget)
        if self.timer.timeouts and self.timer.probes_window:
            end = min(end, 1)  # one packet alone asks whether there is room now
        while rack.has_retransmissions and outstanding.flight_size < end:
            packet = rack.retransmission(flight=flight)
            if packet is None:
                break
            packets.append((packet, len(packet)))
        return packets

    def _new_packets(self, budget: int, flight: Flight) -> list[Packets]:
        """Source: RFC 9260 §6.1 A and B: the peer's window, and one packet to probe it."""
        outstanding, packer = self.outstanding, self._packer
        assert packer is not None, "established"
        # The last chunk may go over the congestion window, but not over the peer's.
        room = self.peer_rwnd - self.payload + 1
        window = min(self._window(), room) - outstanding.flight_size
        if window <= 0 and not outstanding:
            window = 1
        allowed = min(budget, window)
        if allowed <= 0 or self.rack.has_retransmissions:
            return []
        before = self.queue.size
        chunks = self.queue.cut(
            allowed,
            payload=self.payload,
            header=packer.without_checksum,
            flight=flight,
            runs=self._zero_checksum,
        )
        outstanding.add(chunks, size=before - self.queue.size)
        self._ask_for_sack(chunks)
        if not self._zero_checksum:
            for chunk in chunks:
                assert isinstance(chunk, Chunk), "no runs were asked for"
                chunk.packet = packer.pack(chunk.packet[HEADER_SIZE:], zero_checksum=False)
        return [chunk.packets() for chunk in chunks]

    def _ask_for_sack(self, chunks: list[Chunk | Run]) -> None:
        """Ask for a SACK without delay where nothing follows that would bring one.

        That is the last chunk of all, and one that is alone in flight. Source: RFC 7053 §4.
        """
        if chunks and (not self.queue.size or self.outstanding.flight_size == chunks[-1].size):
            chunks[-1].ask_for_sack()
