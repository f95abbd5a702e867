"""The association: packets and time in, packets, messages and the next timer out.

Pure. It puts the halves together: :mod:`~.handshake`, :mod:`~.inbound`, :mod:`~.outbound`,
:mod:`~.pmtud` and a congestion controller; and it keeps the timers.

Contract: after each call that changes state, send :meth:`Association.packets_to_send`, drain
:meth:`Association.next_event`, and call :meth:`Association.handle_timer` at
:meth:`Association.get_timer`. Every message that was handed out is to be reported by
:meth:`Association.taken` when the application has it: until then it counts against the
receive window.

Sources: RFC 9260; RFC 8985 (RACK, tail-loss probes); RFC 8831 §6 (DataChannels).
"""

import math
import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rtcsend.datapath.congestion.base import AckSample, CongestionController
from rtcsend.datapath.congestion.pacer import Pacer
from rtcsend.datapath.congestion.rtt import MinRtt, RttEstimator
from rtcsend.datapath.sctp.handshake import RTO_INITIAL, Handshake, HandshakeState
from rtcsend.datapath.sctp.inbound import RECEIVE_BUFFER, Inbound, Message
from rtcsend.datapath.sctp.outbound import MAX_REORDER_STEPS, Acked, Flight, Outbound, payload_for
from rtcsend.datapath.sctp.pmtud import BASE_PLPMTU, PathMtu
from rtcsend.datapath.sctp.reset import InboundResets, OutboundResets
from rtcsend.datapath.sctp.serial import add, distance
from rtcsend.datapath.sctp.wire import (
    DATA_HEADER,
    DATA_OVERHEAD,
    HEADER_SIZE,
    U32,
    Chunk,
    ChunkType,
    Data,
    Packer,
    Parameter,
    check_packet_untrusted,
    chunks_untrusted,
    pack_chunk,
    pack_parameter,
    parameters_untrusted,
    parse_sack_untrusted,
)
from rtcsend.errors import PeerProtocolError

PORT: Final = 5000  # RFC 8841 §11; both sides have the same, and it means nothing
SACK_DELAY: Final = 0.02  # seconds; RFC 9260 §6.2 allows 0.2 at most
SACK_EVERY: Final = 2  # packets; RFC 9260 §6.2; to a peer of ours, fewer wait for SACK_DELAY
HEARTBEAT_INTERVAL: Final = 3.0  # seconds of silence; RFC 9260 §8.3 has 30, too slow to notice
HEARTBEAT_RETRY: Final = 1.0  # seconds; a few lost packets are not yet a dead path
FAILURE_TIMEOUT: Final = 15.0  # seconds without a word while one is due; RFC 9260 §8.1 counts
UNANSWERED_PROBES: Final = 3  # of a closed window, in a row, until the path is doubted
MAX_CONTROL: Final = 256  # control chunks that wait for the next batch of packets
MAX_BURST: Final = 256  # packets of one call: some batches of segmentation offload
TLP_FACTOR: Final = 2.0  # smoothed RTTs until the tail is probed; RFC 8985 §7.2
BLACK_HOLE_TIMEOUTS: Final = 2  # retransmission timeouts in a row that make us doubt the MTU
OUR_MAX_PACKET: Final = 15_900  # bytes; what a DTLS record holds, and we read
FOREIGN_MAX_PACKET: Final = 1_400  # bytes; aiortc reads records of 1,500, Chrome of 2,048

_DATA_VALUE: Final = struct.Struct("!LHHL")  # TSN, stream, stream sequence number, PPID
_HEARTBEAT: Final = struct.Struct("!Ld")  # size that is probed, 0 for none; when it was sent
_ONLY_ESTABLISHED: Final = (ChunkType.DATA, ChunkType.HEARTBEAT)  # what others never send
_COOKIE_ACK: Final = Chunk(ChunkType.COOKIE_ACK, 0, b"")
_CHUNK_HEADER: Final = 4
_ALIGNMENT: Final = 4  # bytes; RFC 9260 §3.2
_SHORTEST_INTERVAL: Final = 0.99  # of the minimum RTT; shorter rate samples are bursts, not rates


@dataclass(frozen=True, slots=True)
class Established:
    """Messages may go."""


@dataclass(frozen=True, slots=True)
class StreamsReset:
    """The other side has closed channels. Source: RFC 6525 §4.1, RFC 8831 §6.7."""

    streams: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Closed:
    """The association is over. ``reason`` is one sentence, None after our own abort."""

    reason: str | None


AssociationEvent = Established | Message | StreamsReset | Closed


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationConfig:
    """How an association behaves.

    Attributes:
        tag: Our verification tag, random and not zero.
        initial_tsn: Random.
        cookie: Random bytes.
        own_peer: The other side is this very code: it takes large packets, and a SACK a batch.
        max_message_size: Bytes of a message that we take.
        controller: Makes the congestion controller, given ``mss`` and ``now``.
        max_packet: Bytes of the largest packet to send, below what the other side takes.
    """

    tag: int
    initial_tsn: int
    cookie: bytes
    own_peer: bool
    max_message_size: int
    controller: Callable[[int, float], CongestionController]
    max_packet: int = OUR_MAX_PACKET


class Association:
    """One end of an association. See the module's docstring for the contract."""

    def __init__(self, config: AssociationConfig, *, now: float) -> None:
        self._config = config
        self._handshake = Handshake(
            tag=config.tag,
            initial_tsn=config.initial_tsn,
            a_rwnd=RECEIVE_BUFFER,
            cookie=config.cookie,
        )
        self._outbound = Outbound(config.initial_tsn, now=now)
        self._oversize_until = self._outbound.cumulative_tsn
        self._resets = InboundResets()
        self._our_resets = OutboundResets(config.initial_tsn)
        self._inbound: Inbound | None = None
        self._packer: Packer | None = None
        self._peer_rwnd = 0
        maximum = OUR_MAX_PACKET if config.own_peer else FOREIGN_MAX_PACKET
        self._mtu = PathMtu(maximum=min(maximum, config.max_packet), now=now)
        self._payload = payload_for(self._mtu.size)
        self.controller = config.controller(self._payload, now)
        self.rtt = RttEstimator(rto_initial=RTO_INITIAL)
        self.min_rtt = MinRtt()
        self._pacer = Pacer(mss=self._payload, now=now)
        self._round_end = 0
        # Timers: when each is due, None when it is not running.
        self._retransmit_at: float | None = None
        self._probe_at: float | None = None
        self._sack_at: float | None = None
        self._pace_at: float | None = None
        self._heartbeat_at = math.inf
        self._heard_at = now
        self._timeouts = 0
        self._unanswered_timeouts = 0
        self._probes_window = False
        self._heartbeat_unanswered_since: float | None = None
        # Out.
        self._events: deque[AssociationEvent] = deque()
        self._control: list[bytes] = []
        self._again: list[bytes] = []
        self._heard = False
        self._plain_header = b""
        self._is_over = False
        self.malformed = 0
        """Packets dropped because of what was in them."""

    @property
    def queued(self) -> int:
        """Bytes of messages that wait to be sent: ``bufferedAmount``."""
        return self._outbound.queued

    def queued_on(self, stream: int) -> int:
        """Return the bytes of one stream's messages that wait to be sent."""
        return self._outbound.queued_on(stream)

    @property
    def is_established(self) -> bool:
        """Whether messages go."""
        return self._inbound is not None and not self._is_over

    @property
    def needs_fragmentation(self) -> bool:
        """Whether packets may now be larger than the path takes, and IP has to cut them.

        A chunk has its TSN and cannot be made smaller: RFC 9260 §6.9. While this is true, no
        probe of the path's size is sent.
        """
        return distance(self._outbound.cumulative_tsn, self._oversize_until) > 0

    def connect(self, *, now: float) -> None:
        """Begin the handshake."""
        self._handshake.start(now=now)

    def send(self, stream: int, ppid: int, data: bytes) -> None:
        """Queue a message of at least one byte."""
        self._outbound.send(stream, ppid, data)

    def taken(self, size: int, *, now: float) -> None:
        """The application has taken ``size`` bytes of messages."""
        if self._inbound is None:
            return
        was_closed = self._inbound.a_rwnd < RECEIVE_BUFFER // 4
        self._inbound.untaken -= size
        if was_closed and self._inbound.a_rwnd >= RECEIVE_BUFFER // 4:
            self._inbound.sack_due = True
            self._sack_at = now

    def reset(self, stream: int, *, now: float) -> None:
        """End a stream; what waits to be sent on it is dropped. Source: RFC 8831 §6.7.

        Nothing may be sent on it afterwards.
        """
        if self.is_established:
            self._outbound.forget(stream)
            self._our_resets.add(stream, now=now)

    def abort(self) -> None:
        """End at once; the packet to send says so to the other side."""
        if self._packer is not None and not self._is_over:
            self._control.append(pack_chunk(ChunkType.ABORT, 0, b""))
        self._close(None)

    def receive_packets_untrusted(self, packets: Sequence[bytes], *, now: float) -> None:
        """Take a batch of packets. Malformed ones are dropped, and end nothing else."""
        is_foreign = not self._config.own_peer
        for packet in packets:
            try:
                # Most packets are one chunk of data, from a peer that leaves the checksum out.
                if packet[:HEADER_SIZE] != self._plain_header or not self._receive_one_data(packet):
                    self._receive_packet(packet, now=now)
            except PeerProtocolError:
                self.malformed += 1
            if is_foreign:
                self._acknowledge_second()
        if packets:
            self._note_heard(now=now)
            if self._resets.is_pending:
                self._perform_reset()
        self._schedule_sack(now=now)

    def handle_timer(self, *, now: float) -> None:
        """Let time pass."""
        if self._is_over:
            return
        if not self._handshake.handle_timer(now=now):
            self._close("The other side does not answer.")
            return
        if now >= self._heartbeat_at:
            # Time in which we were not run is not the other side's silence.
            self._heard_at += now - self._heartbeat_at
            self._send_heartbeat(now=now)
        if self._retransmit_at is not None and now >= self._retransmit_at:
            self._on_retransmission_timeout(now=now)
        elif self._probe_at is not None and now >= self._probe_at:
            self._send_tail_probe(now=now)
        deadline = self._outbound.reorder_deadline
        if deadline is not None and now >= deadline:
            acked, rtt = Acked(), self.rtt.srtt
            self._outbound.detect_losses(acked, min_rtt=self.min_rtt.value, srtt=rtt, now=now)
            self._react_to_loss(acked, now=now)
        self._check_alive(now=now)

    def get_timer(self) -> float | None:
        """Return when to call :meth:`handle_timer` and :meth:`packets_to_send` next."""
        if self._is_over:
            return None
        times = (
            self._handshake.get_timer(),
            self._retransmit_at,
            self._probe_at,
            self._sack_at,
            self._pace_at,
            self._outbound.reorder_deadline,
            self._mtu_timer(),
            self._reset_timer(),
            self._heartbeat_at if self._inbound is not None else None,
        )
        return min((time for time in times if time is not None), default=None)

    def next_event(self) -> AssociationEvent | None:
        """Return what happened, oldest first; None when there is nothing more."""
        return self._events.popleft() if self._events else None

    def packets_to_send(self, *, now: float) -> list[bytes]:
        """Return the packets to send now, in order; MAX_BURST and some at most.

        Packets of full size stand together, so that they can leave as segments of one buffer.
        """
        packets = [self._handshake_packet(tag, chunk) for tag, chunk in self._handshake_chunks()]
        if self._packer is None:
            return packets
        if self._inbound is not None and not self._is_over:
            if self._sack_at is not None and now >= self._sack_at:
                self._control.append(self._inbound.sack())
                self._sack_at = None
            self._probe_path(now=now)
        packets += self._again
        self._again = []
        if self._control:
            control, self._control = self._control, []
            packets += [self._pack(chunk) for chunk in control]
        if self._inbound is not None and not self._is_over:
            packets += self._data_packets(now=now)
            packets += self._reset_packets(now=now)
        return packets

    # Receiving

    def _receive_packet(self, packet: bytes, *, now: float) -> None:
        if self._is_over:
            return
        is_init = len(packet) > HEADER_SIZE and packet[HEADER_SIZE] == ChunkType.INIT
        tag = 0 if is_init else self._config.tag
        check_packet_untrusted(packet, tag=tag, zero_checksum=True)
        self._heard = True
        has_data = False
        for chunk in chunks_untrusted(packet):
            if self._inbound is None and chunk.type in _ONLY_ESTABLISHED:
                # The COOKIE ACK was lost or overtaken, and this says the same.
                self._receive_handshake(_COOKIE_ACK, now=now)
            if chunk.type == ChunkType.DATA:
                has_data = True
                self._receive_data(chunk)
            else:
                self._receive_control(chunk, now=now)
            if self._is_over or is_init:
                return  # RFC 9260 §6.10: nothing comes with an INIT, whose tag proves nothing
        if has_data and self._inbound is not None:
            self._inbound.packets_unacknowledged += 1

    def _receive_one_data(self, packet: bytes) -> bool:
        """Take a packet that is nothing but one DATA chunk; False when it is something else."""
        size = len(packet)
        if size <= DATA_OVERHEAD or packet[HEADER_SIZE] or self._inbound is None:
            return False
        _, flags, length, tsn, stream, _, ppid = DATA_HEADER.unpack_from(packet, HEADER_SIZE)
        end = HEADER_SIZE + length
        if not DATA_OVERHEAD < end <= size or size - end >= _ALIGNMENT:
            return False
        self._heard = True
        self._inbound.packets_unacknowledged += 1
        self._take((tsn, flags, stream, ppid, packet[DATA_OVERHEAD:end]))
        return True

    def _receive_data(self, chunk: Chunk) -> None:
        value = chunk.value
        if len(value) <= _DATA_VALUE.size or self._inbound is None:
            raise PeerProtocolError("A DATA chunk came empty, or too early.")
        tsn, stream, _sequence, ppid = _DATA_VALUE.unpack_from(value)
        self._take((tsn, chunk.flags, stream, ppid, value[_DATA_VALUE.size :]))

    def _take(self, data: Data) -> None:
        assert self._inbound is not None, "established"
        try:
            self._inbound.receive(data, self._events)
        except PeerProtocolError as exc:
            self._give_up(exc)
            raise

    def _give_up(self, error: PeerProtocolError) -> None:
        """End the association for what the other side did."""
        self._control = [pack_chunk(ChunkType.ABORT, 0, b"")]
        self._close(error.message)

    def _note_heard(self, *, now: float) -> None:
        if self._heard:
            self._heard = False
            self._heard_at = now
            self._heartbeat_at = now + HEARTBEAT_INTERVAL
            self._heartbeat_unanswered_since = None

    def _receive_control(self, chunk: Chunk, *, now: float) -> None:
        match chunk.type:
            case ChunkType.SACK:
                self._receive_sack(chunk, now=now)
            case ChunkType.HEARTBEAT:
                self._answer(pack_chunk(ChunkType.HEARTBEAT_ACK, 0, chunk.value))
            case ChunkType.HEARTBEAT_ACK:
                self._receive_heartbeat_ack(chunk, now=now)
            case ChunkType.ABORT | ChunkType.SHUTDOWN | ChunkType.SHUTDOWN_ACK:
                self._close("The other side has ended the association.")
            case ChunkType.FORWARD_TSN:
                self._receive_forward_tsn(chunk)
            case ChunkType.RE_CONFIG:
                self._receive_reconfig(chunk, now=now)
            case _:
                self._receive_handshake(chunk, now=now)

    def _receive_handshake(self, chunk: Chunk, *, now: float) -> None:
        match chunk.type:
            case ChunkType.INIT:
                self._handshake.receive_init(chunk)
            case ChunkType.INIT_ACK:
                self._handshake.receive_init_ack(chunk, now=now)
            case ChunkType.COOKIE_ECHO:
                self._handshake.receive_cookie_echo(chunk)
            case ChunkType.COOKIE_ACK:
                self._handshake.receive_cookie_ack()
            case _:
                pass  # RFC 9260 §3.2: unknown ones are skipped; DTLS has vouched for the peer
        self._maybe_established(now=now)

    def _maybe_established(self, *, now: float) -> None:
        if self._inbound is not None or self._handshake.state is not HandshakeState.ESTABLISHED:
            return
        peer = self._handshake.peer
        assert peer is not None, "established with somebody"
        self._packer = Packer(source_port=PORT, destination_port=PORT, tag=peer.tag)
        ours = Packer(source_port=PORT, destination_port=PORT, tag=self._config.tag)
        self._plain_header = ours.without_checksum
        self._inbound = Inbound(peer.initial_tsn, max_message_size=self._config.max_message_size)
        self._peer_rwnd = peer.a_rwnd
        self._round_end = 0
        self._events.append(Established())
        self._send_heartbeat(now=now)

    def _receive_forward_tsn(self, chunk: Chunk) -> None:
        if self._inbound is None or len(chunk.value) < U32.size:
            raise PeerProtocolError("A FORWARD-TSN is too short, or came too early.")
        try:
            self._inbound.forward(U32.unpack_from(chunk.value)[0], self._events)
        except PeerProtocolError as exc:
            self._give_up(exc)
            raise

    def _receive_reconfig(self, chunk: Chunk, *, now: float) -> None:
        """Grant every reset, in its time. Source: RFC 6525 §5.2.2."""
        for kind, value in parameters_untrusted(chunk.value):
            if kind == Parameter.OUTGOING_RESET_REQUEST:
                answer = self._resets.receive_request_untrusted(value)
                if answer is not None:
                    self._answer(answer)
            elif kind == Parameter.RECONFIGURATION_RESPONSE:
                self._our_resets.receive_response_untrusted(value, now=now)

    def _perform_reset(self) -> None:
        if self._inbound is None or self._is_over:
            return
        performed = self._resets.perform(self._inbound.cumulative_tsn)
        if performed is not None:
            self._answer(performed[0])
            self._events.append(StreamsReset(performed[1]))

    def _reset_timer(self) -> float | None:
        """Return when to ask for a reset: not before the end of a message that was begun."""
        return None if self._outbound.is_half_sent else self._our_resets.get_timer()

    def _reset_packets(self, *, now: float) -> list[bytes]:
        assert self._handshake.peer is not None, "established with somebody"
        if self._outbound.is_half_sent:
            return []
        last = self._resets.last_sequence
        chunk = self._our_resets.chunk_to_send(
            last_tsn=add(self._outbound.next_tsn, -1),
            # RFC 6525 §4.1: before their first request, the number before it.
            their_sequence=add(self._handshake.peer.initial_tsn, -1) if last is None else last,
            rto=self.rtt.rto,
            now=now,
        )
        return [] if chunk is None else [self._pack(chunk)]

    def _answer(self, chunk: bytes) -> None:
        """Answer a chunk; not the thousandth of one batch."""
        if len(self._control) < MAX_CONTROL:
            self._control.append(chunk)

    # SACKs that we send

    def _schedule_sack(self, *, now: float) -> None:
        """Decide when to acknowledge. Source: RFC 9260 §6.2.

        To a peer of ours once a batch, which a batch of one waits for, unless something is
        missing. To others at the end of each batch: aiortc begins no message before the last
        packet of the one before is acknowledged.
        """
        inbound = self._inbound
        if inbound is None or not inbound.sack_due:
            return
        is_batch = inbound.packets_unacknowledged >= SACK_EVERY
        at_once = is_batch or inbound.has_gaps or not self._config.own_peer
        at = now if at_once else now + SACK_DELAY
        self._sack_at = at if self._sack_at is None else min(at, self._sack_at)

    def _acknowledge_second(self) -> None:
        """Acknowledge every second packet within a batch, to a peer that is not ours.

        aiortc and dcSCTP send four packets a SACK at most: one for a large batch would make
        the next batch small, whatever the congestion window. But while something is missing one
        a batch has to do: dcSCTP counts each that reports a gap, and those that left before its
        retransmission arrived make it retransmit again. Source: RFC 9260 §6.1 D, §6.2, §7.2.4.
        """
        inbound = self._inbound
        if inbound is None or inbound.has_gaps:
            return
        if inbound.packets_unacknowledged >= SACK_EVERY:
            self._answer(inbound.sack())
            self._sack_at = None

    # SACKs that come

    def _receive_sack(self, chunk: Chunk, *, now: float) -> None:
        sack = parse_sack_untrusted(chunk.value)
        outbound = self._outbound
        prior_flight = outbound.flight_size
        acked = outbound.receive_sack(sack, now=now)
        if acked is None:
            return
        self._peer_rwnd = sack.a_rwnd
        self._unanswered_timeouts = 0
        if sack.duplicates:
            outbound.reorder_steps = min(outbound.reorder_steps + 1, MAX_REORDER_STEPS)
        rtt = None
        if acked.rtt_sent_at is not None:
            rtt = now - acked.rtt_sent_at
            self.rtt.on_sample(rtt)
            self.min_rtt.on_sample(rtt, now=now)
        if acked.size:
            outbound.detect_losses(acked, min_rtt=self.min_rtt.value, srtt=self.rtt.srtt, now=now)
            self._react_to_loss(acked, now=now)
            self._react_to_ack(acked, rtt, prior_flight=prior_flight, now=now)
            self._timeouts = 0
        if acked.size or acked.advanced:
            self._arm_retransmission(now=now)

    def _react_to_ack(
        self, acked: Acked, rtt: float | None, *, prior_flight: int, now: float
    ) -> None:
        outbound, newest = self._outbound, acked.newest
        assert newest is not None, "something was acknowledged"
        round_start = newest.delivered >= self._round_end
        if round_start:
            self._round_end = outbound.delivered
        # The slower of sending and acknowledging: draft-ietf-ccwg-bbr §4.1.1.
        interval = max(newest.sent_at - newest.first_sent_at, now - newest.delivered_at)
        rate = 0.0
        if interval > 0 and interval >= self.min_rtt.value * _SHORTEST_INTERVAL:
            rate = (outbound.delivered - newest.delivered) / interval
        self.controller.on_ack(
            AckSample(
                now=now,
                acked=acked.size,
                flight=outbound.flight_size,
                prior_flight=prior_flight,
                rtt=rtt,
                min_rtt=self.min_rtt.value,
                srtt=self.rtt.srtt,
                delivered=outbound.delivered,
                delivery_rate=rate,
                app_limited=newest.app_limited,
                round_start=round_start,
                lost=acked.lost,
            )
        )
        self._pacer.set_rate(self.controller.pacing_rate, now=now)

    def _react_to_loss(self, acked: Acked, *, now: float) -> None:
        if acked.lost:
            self.controller.on_loss(
                now=now,
                lost=acked.lost,
                flight=self._outbound.flight_size,
                sent_at=acked.lost_sent_at,
            )
            self._pacer.set_rate(self.controller.pacing_rate, now=now)
        if acked.stubborn > payload_for(BASE_PLPMTU):
            self._on_black_hole(now=now)

    # Timers

    def _arm_retransmission(self, *, now: float) -> None:
        """RFC 9260 §6.3.2 and RFC 8985 §7.2: probe the tail first, then time out."""
        if not self._outbound.outstanding:
            self._retransmit_at = self._probe_at = None
            return
        self._retransmit_at = now + self.rtt.rto
        self._probe_at = None
        if self.rtt.srtt and self._timeouts == 0:
            probe_at = now + TLP_FACTOR * self.rtt.srtt + SACK_DELAY
            if probe_at < self._retransmit_at:
                self._probe_at = probe_at

    def _send_tail_probe(self, *, now: float) -> None:
        """Provoke a SACK that shows whether the tail was lost. Source: RFC 8985 §7.3."""
        self._probe_at = None
        self._retransmit_at = now + self.rtt.rto
        packet = self._outbound.probe_chunk(flight=self._flight(now))
        if packet is not None:
            self._again.append(packet)

    def _on_retransmission_timeout(self, *, now: float) -> None:
        self._timeouts += 1
        self.rtt.back_off()
        # Where the RTT is longer than the timeout everything is sent twice, and nothing says
        # how long it is (Karn) but this. Once, as its answer ends the back-off.
        if self._timeouts == 1:
            self._send_heartbeat(now=now)
        # A receiver without room drops the probe of its window, and says so: that is neither
        # congestion nor the path (RFC 9260 §6.1 A).
        is_answered = self._unanswered_timeouts < UNANSWERED_PROBES
        self._probes_window = is_answered and self._peer_rwnd < self._payload
        self._unanswered_timeouts += 1
        is_again = self._timeouts >= BLACK_HOLE_TIMEOUTS and not self._probes_window
        if is_again:
            self._on_black_hole(now=now)
        self._outbound.lose_everything(even_acknowledged=is_again)
        if not self._probes_window:
            self.controller.on_rto(now=now)
            self._pacer.set_rate(self.controller.pacing_rate, now=now)
        self._retransmit_at = now + self.rtt.rto
        self._probe_at = None

    def _on_black_hole(self, *, now: float) -> None:
        """Make packets small again; what is outstanding stays as large as it is."""
        if self._mtu.size > BASE_PLPMTU:
            self._oversize_until = add(self._outbound.next_tsn, -1)
        self._mtu.on_black_hole(now=now)
        self._adopt_packet_size(now=now)

    def _send_heartbeat(self, *, now: float) -> None:
        self._heartbeat_at = now + HEARTBEAT_RETRY
        if self._inbound is None:
            return
        if self._heartbeat_unanswered_since is None:
            self._heartbeat_unanswered_since = now
        info = pack_parameter(Parameter.HEARTBEAT_INFO, _HEARTBEAT.pack(0, now))
        self._control.append(pack_chunk(ChunkType.HEARTBEAT, 0, info))

    def _check_alive(self, *, now: float) -> None:
        waiting = self._heartbeat_unanswered_since is not None or self._outbound.outstanding
        if self._inbound is not None and waiting and now - self._heard_at >= FAILURE_TIMEOUT:
            self._close("The other side does not answer any more.")

    # Path MTU

    def _mtu_timer(self) -> float | None:
        if self._inbound is None or self.needs_fragmentation:
            return None
        return self._mtu.get_timer()

    def _probe_path(self, *, now: float) -> None:
        if self.needs_fragmentation:
            return
        size = self._mtu.probe_to_send(now=now, rtt=self.rtt.srtt)
        if size is None:
            return
        info = pack_parameter(Parameter.HEARTBEAT_INFO, _HEARTBEAT.pack(size, now))
        heartbeat = pack_chunk(ChunkType.HEARTBEAT, 0, info)
        padding = size - HEADER_SIZE - len(heartbeat) - _CHUNK_HEADER
        self._control.append(heartbeat + pack_chunk(ChunkType.PAD, 0, bytes(padding)))

    def _receive_heartbeat_ack(self, chunk: Chunk, *, now: float) -> None:
        for kind, value in parameters_untrusted(chunk.value):
            if kind == Parameter.HEARTBEAT_INFO and len(value) == _HEARTBEAT.size:
                size, sent_at = _HEARTBEAT.unpack(value)
                if size:
                    self._mtu.on_probe_acknowledged(size, now=now)
                    self._adopt_packet_size(now=now)
                if 0 <= now - sent_at < FAILURE_TIMEOUT:
                    # It carries its own time, so no retransmission makes it ambiguous.
                    self.rtt.on_sample(now - sent_at)
                    self.min_rtt.on_sample(now - sent_at, now=now)

    def _adopt_packet_size(self, *, now: float) -> None:
        self._payload = payload_for(self._mtu.size)
        self.controller.set_mss(self._payload)
        self._pacer.set_mss(self._payload)
        self._pacer.set_rate(self.controller.pacing_rate, now=now)

    # Sending

    def _flight(self, now: float) -> Flight:
        outbound = self._outbound
        if not outbound.flight_size:
            # draft-ietf-ccwg-bbr §4.1.2.2: a sample begins anew after idle.
            outbound.first_sent_at = outbound.delivered_at = now
        return Flight(
            sent_at=now,
            delivered=outbound.delivered,
            delivered_at=outbound.delivered_at,
            first_sent_at=outbound.first_sent_at,
            app_limited=0 < outbound.app_limited_until >= outbound.delivered,
        )

    def _data_packets(self, *, now: float) -> list[bytes]:
        """Return what congestion control, flow control and pacing allow."""
        outbound = self._outbound
        self._pace_at = None
        if not (outbound.queued or outbound.has_retransmissions):
            return []
        if not outbound.outstanding:
            self.controller.on_idle(now=now)
            self._pacer.set_rate(self.controller.pacing_rate, now=now)
        budget = min(self._pacer.budget(now), MAX_BURST * self._payload)
        if budget <= 0:
            self._pace_at = self._pacer.next_send_time(now)
            return []
        was_outstanding = outbound.outstanding
        flight = self._flight(now)
        before = outbound.flight_size
        packets = self._lost_packets(budget, flight)
        packets += self._new_packets(budget - (outbound.flight_size - before), flight)
        if not packets:
            return []
        self._pacer.on_sent(outbound.flight_size - before, now)
        self.controller.on_sent(now=now, flight=outbound.flight_size)
        if not was_outstanding or self._retransmit_at is None:
            self._arm_retransmission(now=now)
        self._note_app_limit()
        if outbound.flight_size < self.controller.cwnd and (
            outbound.queued or outbound.has_retransmissions
        ):
            self._pace_at = self._pacer.next_send_time(now)
        return packets

    def _lost_packets(self, budget: int, flight: Flight) -> list[bytes]:
        packets: list[bytes] = []
        outbound = self._outbound
        end = min(self.controller.cwnd, outbound.flight_size + budget)
        if self._timeouts and self._probes_window:
            end = min(end, 1)  # one packet alone asks whether there is room now
        while outbound.has_retransmissions and outbound.flight_size < end:
            packet = outbound.retransmission(flight=flight)
            if packet is None:
                break
            packets.append(packet)
        return packets

    def _new_packets(self, budget: int, flight: Flight) -> list[bytes]:
        """Source: RFC 9260 §6.1 A and B: the peer's window, and one packet to probe it."""
        outbound, packer = self._outbound, self._packer
        assert packer is not None, "established"
        # The last chunk may go over the congestion window, but not over the peer's.
        room = self._peer_rwnd - self._payload + 1
        window = min(self.controller.cwnd, room) - outbound.flight_size
        if window <= 0 and not outbound.outstanding:
            window = 1
        allowed = min(budget, window)
        if allowed <= 0 or outbound.has_retransmissions:
            return []
        chunks = outbound.new_chunks(
            allowed, payload=self._payload, header=packer.without_checksum, flight=flight
        )
        if not self._handshake.zero_checksum:
            for chunk in chunks:
                chunk.packet = packer.pack(chunk.packet[HEADER_SIZE:], zero_checksum=False)
        return [chunk.packet for chunk in chunks]

    def _note_app_limit(self) -> None:
        """Samples taken now say how fast the application is, not the path."""
        outbound = self._outbound
        if not outbound.queued and outbound.flight_size < self.controller.cwnd:
            outbound.app_limited_until = outbound.delivered + outbound.flight_size

    def _handshake_chunks(self) -> list[tuple[int, bytes]]:
        return [] if self._is_over else self._handshake.chunks_to_send()

    def _handshake_packet(self, tag: int, chunk: bytes) -> bytes:
        packer = Packer(source_port=PORT, destination_port=PORT, tag=tag)
        return packer.pack(chunk, zero_checksum=False)

    def _pack(self, chunk: bytes) -> bytes:
        assert self._packer is not None, "control chunks come after the handshake"
        return self._packer.pack(chunk, zero_checksum=self._handshake.zero_checksum)

    def _close(self, reason: str | None) -> None:
        if not self._is_over:
            self._is_over = True
            self._plain_header = b""  # not even data is taken any more
            self._events.append(Closed(reason))
