"""What comes in: from packets to chunks, and each chunk to the part that it concerns.

Pure. A batch of packets goes in, and the parts that are joined in :mod:`~.tcb` hear of it; what
follows from the batch as a whole (one SACK, one sign of life) is drawn at its end. The packets
that there are by the hundred thousand, one chunk of data each, pass by all that the others need.

Sources: RFC 9260 §6.2, §8.4, §8.5, §9; RFC 8831 §6.
"""

from collections.abc import Sequence
from typing import Final

from rtcsend.datapath.sctp.events import StreamsReset
from rtcsend.datapath.sctp.tcb import MAX_CONTROL, MIDDLE_SIZE, TransmissionControlBlock
from rtcsend.datapath.sctp.wire import (
    DATA_HEADER,
    DATA_OVERHEAD,
    DATA_VALUE,
    FLAG_TAG_REFLECTED,
    HEADER_SIZE,
    U32,
    Chunk,
    ChunkType,
    Data,
    check_packet_untrusted,
    chunks_untrusted,
    is_reflected_abort,
    pack_chunk,
    parse_sack_untrusted,
)
from rtcsend.errors import PeerProtocolError

_ONLY_ESTABLISHED: Final = (ChunkType.DATA, ChunkType.HEARTBEAT)  # what others never send
_COOKIE_ACK: Final = Chunk(ChunkType.COOKIE_ACK, 0, b"")
_ALIGNMENT: Final = 4  # bytes; RFC 9260 §3.2
_ENDED: Final = "The other side has ended the association."


class Incoming:
    """The way of packets into one association."""

    def __init__(self, tcb: TransmissionControlBlock) -> None:
        self._tcb = tcb
        self._heard = False
        self.malformed = 0
        """Packets dropped because of what was in them."""

    def receive_packets_untrusted(self, packets: Sequence[bytes], *, now: float) -> None:
        """Take a batch of packets. Malformed ones are dropped, and end nothing else."""
        for packet in packets:
            self._receive_untrusted(packet, now=now)
        self.end_batch(now=now)

    def receive_equal_untrusted(
        self, packets: bytes | memoryview, size: int, *, now: float
    ) -> None:
        """Take packets of one size, joined, as a part of a batch: see :meth:`end_batch`.

        Args:
            packets: Read before this returns.
            size: Bytes of each, at least 1.
            now: Seconds.
        """
        taken, tcb = 0, self._tcb
        if tcb.config.own_peer and tcb.inbound is not None and not tcb.is_over:
            try:
                taken = tcb.inbound.receive_run(
                    packets, size, header=tcb.plain_header, messages=tcb.events
                )
            except PeerProtocolError as exc:
                tcb.give_up(exc)
                self.malformed += 1
            self._heard = self._heard or taken > 0
        for start in range(taken * size, len(packets), size):
            self._receive_untrusted(bytes(packets[start : start + size]), now=now)

    def end_batch(self, *, now: float) -> None:
        """Draw the conclusions of what came together: to be called after the last of it."""
        tcb = self._tcb
        if self._heard:
            self._heard = False
            tcb.path.on_heard(is_backed_off=tcb.outbound.timer.is_backed_off, now=now)
        if tcb.resets.is_pending:
            self._perform_reset()
        if tcb.inbound is not None:
            tcb.sacks.on_batch(tcb.inbound, srtt=tcb.outbound.rtt.srtt, now=now)

    # Packets

    def _receive_untrusted(self, packet: bytes, *, now: float) -> None:
        tcb = self._tcb
        try:
            # Most packets are one chunk of data, from a peer that leaves the checksum out;
            # and of those, most are the next piece of the middle of a message.
            if packet[:MIDDLE_SIZE] == tcb.plain_middle and tcb.maybe_middle(packet):
                self._heard = True
            elif not packet.startswith(tcb.plain_header) or not self._receive_one_data(packet):
                self._receive_packet(packet, now=now)
        except PeerProtocolError:
            self.malformed += 1
        if not tcb.config.own_peer:
            self._acknowledge_packet()

    def _receive_one_data(self, packet: bytes) -> bool:
        """Take a packet that is nothing but one DATA chunk; False when it is something else."""
        size, inbound = len(packet), self._tcb.inbound
        if size <= DATA_OVERHEAD or packet[HEADER_SIZE] or inbound is None:
            return False
        _, flags, length, tsn, stream, _, ppid = DATA_HEADER.unpack_from(packet, HEADER_SIZE)
        end = HEADER_SIZE + length
        if not DATA_OVERHEAD < end <= size or size - end >= _ALIGNMENT:
            return False
        self._heard = True
        inbound.packets_unacknowledged += 1
        self._take((tsn, flags, stream, ppid, packet[DATA_OVERHEAD:end]))
        return True

    def _receive_packet(self, packet: bytes, *, now: float) -> None:
        tcb = self._tcb
        if tcb.is_over:
            return
        if tcb.handshake.peer is not None and is_reflected_abort(packet):
            check_packet_untrusted(packet, tag=tcb.handshake.peer.tag, zero_checksum=True)
            tcb.close(_ENDED)
            return
        is_init = len(packet) > HEADER_SIZE and packet[HEADER_SIZE] == ChunkType.INIT
        tag = 0 if is_init else tcb.config.tag
        check_packet_untrusted(packet, tag=tag, zero_checksum=True)
        self._heard = True
        has_data = False
        for chunk in chunks_untrusted(packet):
            if tcb.inbound is None and chunk.type in _ONLY_ESTABLISHED:
                # The COOKIE ACK was lost or overtaken, and this says the same.
                self._receive_handshake(_COOKIE_ACK, now=now)
            if chunk.type == ChunkType.DATA:
                has_data = True
                self._receive_data(chunk)
            else:
                self._receive_control(chunk, now=now)
            if tcb.is_over or is_init:
                return  # RFC 9260 §6.10: nothing comes with an INIT, whose tag proves nothing
        if has_data and tcb.inbound is not None:
            tcb.inbound.packets_unacknowledged += 1

    def _acknowledge_packet(self) -> None:
        # A SACK that finds no room is not made: the one at the end of the batch says it all.
        tcb = self._tcb
        if tcb.inbound is None or len(tcb.control) >= MAX_CONTROL:
            return
        if tcb.sacks.on_packet(tcb.inbound):
            tcb.control.append(tcb.inbound.sack())

    # Chunks

    def _receive_data(self, chunk: Chunk) -> None:
        value = chunk.value
        if len(value) <= DATA_VALUE.size or self._tcb.inbound is None:
            raise PeerProtocolError("A DATA chunk came empty, or too early.")
        tsn, stream, _sequence, ppid = DATA_VALUE.unpack_from(value)
        self._take((tsn, chunk.flags, stream, ppid, value[DATA_VALUE.size :]))

    def _take(self, data: Data) -> None:
        tcb = self._tcb
        assert tcb.inbound is not None, "looked at before"
        try:
            tcb.inbound.receive(data, tcb.events)
        except PeerProtocolError as exc:
            tcb.give_up(exc)
            raise

    def _receive_control(self, chunk: Chunk, *, now: float) -> None:
        tcb = self._tcb
        match chunk.type:
            case ChunkType.SACK:
                sack = parse_sack_untrusted(chunk.value)
                tcb.resolve(tcb.outbound.receive_sack(sack, now=now), now=now)
            case ChunkType.HEARTBEAT:
                tcb.answer(pack_chunk(ChunkType.HEARTBEAT_ACK, 0, chunk.value))
            case ChunkType.HEARTBEAT_ACK:
                tcb.path.receive_ack_untrusted(chunk.value, now=now)
            case ChunkType.ABORT if not chunk.flags & FLAG_TAG_REFLECTED:
                tcb.close(_ENDED)
            case ChunkType.SHUTDOWN | ChunkType.SHUTDOWN_ACK:
                self._receive_shutdown(chunk)
            case ChunkType.FORWARD_TSN:
                self._receive_forward_tsn(chunk)
            case ChunkType.RE_CONFIG:
                for answer in tcb.resets.receive_untrusted(chunk.value, now=now):
                    tcb.answer(answer)
            case _:
                self._receive_handshake(chunk, now=now)

    def _receive_handshake(self, chunk: Chunk, *, now: float) -> None:
        self._tcb.handshake.receive_untrusted(chunk, now=now)
        self._tcb.maybe_established(now=now)

    def _receive_forward_tsn(self, chunk: Chunk) -> None:
        tcb = self._tcb
        if tcb.inbound is None or len(chunk.value) < U32.size:
            raise PeerProtocolError("A FORWARD-TSN is too short, or came too early.")
        try:
            tcb.inbound.forward(U32.unpack_from(chunk.value)[0], tcb.events)
        except PeerProtocolError as exc:
            tcb.give_up(exc)
            raise

    def _receive_shutdown(self, chunk: Chunk) -> None:
        """Let the other side go, with the word that it waits for. Source: RFC 9260 §9.2.

        What we have not sent yet is not sent any more. Before the association is established
        there is nothing to shut down: §9.2, §8.5.1 E.
        """
        if self._tcb.inbound is None:
            return
        is_request = chunk.type == ChunkType.SHUTDOWN
        answer = ChunkType.SHUTDOWN_ACK if is_request else ChunkType.SHUTDOWN_COMPLETE
        self._tcb.control = [pack_chunk(answer, 0, b"")]
        self._tcb.close(_ENDED)

    def _perform_reset(self) -> None:
        tcb = self._tcb
        if tcb.inbound is None or tcb.is_over:
            return
        performed = tcb.resets.perform(tcb.inbound.cumulative_tsn)
        if performed is not None:
            tcb.answer(performed[0])
            tcb.events.append(StreamsReset(performed[1]))
