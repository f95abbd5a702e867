"""The association: packets and time in, packets, messages and the next timer out.

Pure. It puts the halves together: :mod:`~.handshake`, :mod:`~.inbound` with its
:mod:`~.sack_schedule`, :mod:`~.outbound`, :mod:`~.reset` and :mod:`~.path`; it gives each chunk
to the one that it concerns, and knows when it is over.

Contract: after each call that changes state, send :meth:`Association.packets_to_send`, drain
:meth:`Association.next_event`, and call :meth:`Association.handle_timer` at
:meth:`Association.get_timer`. Every message that was handed out is to be reported by
:meth:`Association.taken` when the application has it: until then it counts against the
receive window.

Sources: RFC 9260; RFC 8831 §6 (DataChannels).
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from rtcsend.datapath.sctp.config import OUR_MAX_PACKET, AssociationConfig
from rtcsend.datapath.sctp.events import AssociationEvent, Closed, Established, StreamsReset
from rtcsend.datapath.sctp.handshake import PORT, Handshake, HandshakeState
from rtcsend.datapath.sctp.heartbeat import FAILURE_TIMEOUT
from rtcsend.datapath.sctp.inbound import RECEIVE_BUFFER, Inbound
from rtcsend.datapath.sctp.outbound import Doubt
from rtcsend.datapath.sctp.path import Path
from rtcsend.datapath.sctp.reset import StreamResets
from rtcsend.datapath.sctp.sack_schedule import SackSchedule
from rtcsend.datapath.sctp.serial import add
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
    Init,
    Packer,
    Packets,
    check_packet_untrusted,
    chunks_untrusted,
    is_reflected_abort,
    pack_chunk,
    parse_sack_untrusted,
)
from rtcsend.errors import PeerProtocolError

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

MAX_CONTROL: Final = 256  # control chunks that wait for the next batch of packets

_ONLY_ESTABLISHED: Final = (ChunkType.DATA, ChunkType.HEARTBEAT)  # what others never send
_COOKIE_ACK: Final = Chunk(ChunkType.COOKIE_ACK, 0, b"")
_MIDDLE: Final = bytes((ChunkType.DATA, 0))  # type and flags of a fragment that is no end
_MIDDLE_SIZE: Final = HEADER_SIZE + len(_MIDDLE)
_NEVER: Final = bytes(1 << 15)  # what no packet begins with: a DTLS record holds 2**14 bytes
_ALIGNMENT: Final = 4  # bytes; RFC 9260 §3.2
_ENDED: Final = "The other side has ended the association."


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
        self._path = Path(config, now=now)
        self._outbound = self._path.outbound
        self._inbound: Inbound | None = None
        self._sacks = SackSchedule(own_peer=config.own_peer)
        self._resets = StreamResets(config.initial_tsn)
        self._packer: Packer | None = None
        self._events: deque[AssociationEvent] = deque()
        self._control: list[bytes] = []
        self._heard = False
        self._plain_header = self._plain_middle = _NEVER
        self._maybe_middle: Callable[[bytes], bool] = lambda _packet: False
        self._is_over = False
        self.malformed = 0
        """Packets dropped because of what was in them."""

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
        return self._inbound is not None and not self._is_over

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
            self._handshake.start(now=now)
        else:
            self._handshake.skip(introduced)
            self._maybe_established(now=now)

    def send(self, stream: int, ppid: int, data: bytes) -> None:
        """Queue a message of at least one byte."""
        self._outbound.queue.add(stream, ppid, data)

    def taken(self, size: int, *, now: float) -> bool:
        """The application has taken messages of ``size`` bytes in all.

        Returns:
            Whether there is something to send: the other side is told that there is room again.
        """
        if self._inbound is None:
            return False
        was_closed = self._inbound.a_rwnd < RECEIVE_BUFFER // 4
        self._inbound.taken(size)
        is_open = self._inbound.a_rwnd >= RECEIVE_BUFFER // 4
        if was_closed and is_open:
            self._sacks.on_window_opened(self._inbound, now=now)
        return was_closed and is_open

    def reset(self, stream: int, *, now: float) -> None:
        """End a stream; what waits to be sent on it is dropped. Source: RFC 8831 §6.7.

        Nothing may be sent on it afterwards.
        """
        if self.is_established:
            self._outbound.queue.forget(stream)
            self._resets.ask_for(stream, now=now)

    def abort(self) -> None:
        """End at once; the packet to send says so to the other side."""
        if self._packer is not None and not self._is_over:
            self._control.append(pack_chunk(ChunkType.ABORT, 0, b""))
        self._close(None)

    def expect_reordering(self, *, expected: bool) -> None:
        """Packets take several ways at once from now on, so that they overtake one another.

        Until :meth:`path_changed`, or until it is said that they do not any more.
        """
        self._outbound.rack.expect_reordering(expected=expected)

    def path_changed(self, *, now: float) -> None:
        """Packets go another way from now on: another pair of candidates was selected.

        The round trip, the rate and the packet size are those of an unknown path again, and
        are asked for at once. What was under way is sent again, as far as it is not acknowledged
        in the meantime. Source: RFC 9000 §9.4; RFC 8899 §5.2.
        """
        self._path.changed(now=now)
        if self.is_established:
            self._path.on_heard(now=now)  # connectivity checks have had an answer
            self._control.append(self._path.heartbeat(now=now))

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
        taken = 0
        if self._config.own_peer and self._inbound is not None and not self._is_over:
            try:
                taken = self._inbound.receive_run(
                    packets, size, header=self._plain_header, messages=self._events
                )
            except PeerProtocolError as exc:
                self._give_up(exc)
                self.malformed += 1
            self._heard = self._heard or taken > 0
        for start in range(taken * size, len(packets), size):
            self._receive_untrusted(bytes(packets[start : start + size]), now=now)

    def _receive_untrusted(self, packet: bytes, *, now: float) -> None:
        try:
            # Most packets are one chunk of data, from a peer that leaves the checksum out;
            # and of those, most are the next piece of the middle of a message.
            if packet[:_MIDDLE_SIZE] == self._plain_middle and self._maybe_middle(packet):
                self._heard = True
            elif not packet.startswith(self._plain_header) or not self._receive_one_data(packet):
                self._receive_packet(packet, now=now)
        except PeerProtocolError:
            self.malformed += 1
        if not self._config.own_peer:
            self._acknowledge_packet()

    def end_batch(self, *, now: float) -> None:
        """Draw the conclusions of what came together: to be called after the last of it."""
        if self._heard:
            self._heard = False
            is_backed_off = self._outbound.timer.is_backed_off
            self._path.on_heard(is_backed_off=is_backed_off, now=now)
        if self._resets.is_pending:
            self._perform_reset()
        if self._inbound is not None:
            self._sacks.on_batch(self._inbound, srtt=self._outbound.rtt.srtt, now=now)

    def handle_timer(self, *, now: float) -> None:
        """Let time pass."""
        if self._is_over:
            return
        if not self._handshake.handle_timer(now=now):
            self._close("The other side does not answer.")
            return
        if self._inbound is None:
            return
        if (heartbeat := self._path.heartbeat_due(now=now)) is not None:
            self._control.append(heartbeat)
        self._resolve(self._outbound.handle_timer(now=now), now=now)
        if self._path.is_dead(now=now):
            self._close("The other side does not answer any more.")

    def get_timer(self) -> float | None:
        """Return when to call :meth:`handle_timer` and :meth:`packets_to_send` next."""
        if self._is_over:
            return None
        times = (
            self._handshake.get_timer(),
            self._outbound.get_timer(),
            self._sacks.get_timer(),
            self._reset_timer(),
            self._path.get_timer() if self._inbound is not None else None,
        )
        return min((time for time in times if time is not None), default=None)

    def next_event(self) -> AssociationEvent | None:
        """Return what happened, oldest first; None when there is nothing more."""
        return self._events.popleft() if self._events else None

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
        packets = [] if self._is_over else self._handshake.packets_to_send()
        if self._packer is None:
            return packets
        inbound = None if self._is_over else self._inbound
        if inbound is not None:
            if self._sacks.take_due(now=now):
                self._control.append(inbound.sack())
            if (probe := self._path.probe_due(now=now)) is not None:
                self._control.append(probe)
        if self._control:
            control, self._control = self._control, []
            packets += [self._pack(chunk) for chunk in control]
        if inbound is not None:
            packets += self._outbound.burst(now=now)
            packets += self._reset_packets(now=now)
        return packets

    # Receiving

    def _receive_one_data(self, packet: bytes) -> bool:
        """Take a packet that is nothing but one DATA chunk; False when it is something else."""
        size, inbound = len(packet), self._inbound
        if size <= DATA_OVERHEAD or packet[HEADER_SIZE] or inbound is None:
            return False
        _, flags, length, tsn, stream, _, ppid = DATA_HEADER.unpack_from(packet, HEADER_SIZE)
        end = HEADER_SIZE + length
        if not DATA_OVERHEAD < end <= size or size - end >= _ALIGNMENT:
            return False
        self._heard = True
        inbound.packets_unacknowledged += 1
        try:
            inbound.receive((tsn, flags, stream, ppid, packet[DATA_OVERHEAD:end]), self._events)
        except PeerProtocolError as exc:
            self._give_up(exc)
            raise
        return True

    def _receive_packet(self, packet: bytes, *, now: float) -> None:
        if self._is_over:
            return
        if self._handshake.peer is not None and is_reflected_abort(packet):
            check_packet_untrusted(packet, tag=self._handshake.peer.tag, zero_checksum=True)
            self._close(_ENDED)
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

    def _receive_data(self, chunk: Chunk) -> None:
        value = chunk.value
        if len(value) <= DATA_VALUE.size or self._inbound is None:
            raise PeerProtocolError("A DATA chunk came empty, or too early.")
        tsn, stream, _sequence, ppid = DATA_VALUE.unpack_from(value)
        data: Data = (tsn, chunk.flags, stream, ppid, value[DATA_VALUE.size :])
        try:
            self._inbound.receive(data, self._events)
        except PeerProtocolError as exc:
            self._give_up(exc)
            raise

    def _receive_control(self, chunk: Chunk, *, now: float) -> None:
        match chunk.type:
            case ChunkType.SACK:
                sack = parse_sack_untrusted(chunk.value)
                self._resolve(self._outbound.receive_sack(sack, now=now), now=now)
            case ChunkType.HEARTBEAT:
                self._answer(pack_chunk(ChunkType.HEARTBEAT_ACK, 0, chunk.value))
            case ChunkType.HEARTBEAT_ACK:
                self._path.receive_ack_untrusted(chunk.value, now=now)
            case ChunkType.ABORT if not chunk.flags & FLAG_TAG_REFLECTED:
                self._close(_ENDED)
            case ChunkType.SHUTDOWN | ChunkType.SHUTDOWN_ACK:
                self._receive_shutdown(chunk)
            case ChunkType.FORWARD_TSN:
                self._receive_forward_tsn(chunk)
            case ChunkType.RE_CONFIG:
                for answer in self._resets.receive_untrusted(chunk.value, now=now):
                    self._answer(answer)
            case _:
                self._receive_handshake(chunk, now=now)

    def _receive_handshake(self, chunk: Chunk, *, now: float) -> None:
        self._handshake.receive_untrusted(chunk, now=now)
        self._maybe_established(now=now)

    def _maybe_established(self, *, now: float) -> None:
        if self._inbound is not None or self._handshake.state is not HandshakeState.ESTABLISHED:
            return
        peer = self._handshake.peer
        assert peer is not None, "established with somebody"
        self._packer = Packer(source_port=PORT, destination_port=PORT, tag=peer.tag)
        ours = Packer(source_port=PORT, destination_port=PORT, tag=self._config.tag)
        self._plain_header = ours.without_checksum
        self._plain_middle = self._plain_header + _MIDDLE
        self._inbound = Inbound(peer.initial_tsn, max_message_size=self._config.max_message_size)
        self._maybe_middle = self._inbound.maybe_middle
        self._outbound.open(
            self._packer, zero_checksum=self._handshake.zero_checksum, peer_rwnd=peer.a_rwnd
        )
        self._resets.open(
            their_initial_sequence=peer.initial_tsn, is_supported=self._handshake.can_reset_streams
        )
        self._events.append(Established())
        self._control.append(self._path.heartbeat(now=now))

    def _receive_forward_tsn(self, chunk: Chunk) -> None:
        if self._inbound is None or len(chunk.value) < U32.size:
            raise PeerProtocolError("A FORWARD-TSN is too short, or came too early.")
        try:
            self._inbound.forward(U32.unpack_from(chunk.value)[0], self._events)
        except PeerProtocolError as exc:
            self._give_up(exc)
            raise

    def _acknowledge_packet(self) -> None:
        # A SACK that finds no room is not made: the one at the end of the batch says it all.
        if self._inbound is None or len(self._control) >= MAX_CONTROL:
            return
        if self._sacks.on_packet(self._inbound):
            self._control.append(self._inbound.sack())

    def _answer(self, chunk: bytes) -> None:
        """Answer a chunk; not the thousandth of one batch."""
        if len(self._control) < MAX_CONTROL:
            self._control.append(chunk)

    # Closing channels

    def _perform_reset(self) -> None:
        if self._inbound is None or self._is_over:
            return
        performed = self._resets.perform(self._inbound.cumulative_tsn)
        if performed is not None:
            self._answer(performed[0])
            self._events.append(StreamsReset(performed[1]))

    def _reset_timer(self) -> float | None:
        """Return when to ask for a reset: not before the end of a message that was begun."""
        return None if self._outbound.queue.is_half_sent else self._resets.get_timer()

    def _reset_packets(self, *, now: float) -> list[Packets]:
        queue = self._outbound.queue
        if queue.is_half_sent:
            return []
        last_tsn, rto = add(queue.next_tsn, -1), self._outbound.rtt.rto
        chunk = self._resets.chunk_to_send(last_tsn=last_tsn, rto=rto, now=now)
        return [] if chunk is None else [self._pack(chunk)]

    # Out, and the end

    def _resolve(self, doubt: Doubt, *, now: float) -> None:
        """Find out what silence or losses have made doubtful."""
        if doubt & Doubt.PACKET_SIZE:
            self._path.on_black_hole(now=now)
        if doubt & Doubt.ROUND_TRIP:
            self._control.append(self._path.heartbeat(now=now))

    def _pack(self, chunk: bytes) -> Packets:
        assert self._packer is not None, "control chunks come after the handshake"
        packet = self._packer.pack(chunk, zero_checksum=self._handshake.zero_checksum)
        return packet, len(packet)

    def _receive_shutdown(self, chunk: Chunk) -> None:
        """Let the other side go, with the word that it waits for. Source: RFC 9260 §9.2.

        What we have not sent yet is not sent any more. Before the association is established
        there is nothing to shut down: §9.2, §8.5.1 E.
        """
        if self._inbound is None:
            return
        is_request = chunk.type == ChunkType.SHUTDOWN
        answer = ChunkType.SHUTDOWN_ACK if is_request else ChunkType.SHUTDOWN_COMPLETE
        self._control = [pack_chunk(answer, 0, b"")]
        self._close(_ENDED)

    def _give_up(self, error: PeerProtocolError) -> None:
        """End the association for what the other side did."""
        self._control = [pack_chunk(ChunkType.ABORT, 0, b"")]
        self._close(error.message, is_breach=True)

    def _close(self, reason: str | None, *, is_breach: bool = False) -> None:
        if not self._is_over:
            self._is_over = True
            self._plain_header = self._plain_middle = _NEVER  # not even data is taken any more
            self._events.append(Closed(reason, is_breach))
