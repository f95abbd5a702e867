"""The transmission control block: what an association is made of, and whether it is over.

Pure. It puts the halves together: :mod:`~.handshake`, :mod:`~.inbound` with its
:mod:`~.sack_schedule`, :mod:`~.outbound`, :mod:`~.reset` and :mod:`~.path`. What comes in goes
to them by :mod:`~.incoming`, and what goes out comes from them by :mod:`~.association`.

Source: RFC 9260 §1.2, §14.
"""

from collections import deque
from typing import Final

from rtcsend.datapath.sctp.config import AssociationConfig
from rtcsend.datapath.sctp.events import AssociationEvent, Closed, Established
from rtcsend.datapath.sctp.handshake import PORT, Handshake, HandshakeState
from rtcsend.datapath.sctp.inbound import RECEIVE_BUFFER, Inbound
from rtcsend.datapath.sctp.outbound import Doubt
from rtcsend.datapath.sctp.path import Path
from rtcsend.datapath.sctp.reset import StreamResets
from rtcsend.datapath.sctp.sack_schedule import SackSchedule
from rtcsend.datapath.sctp.wire import HEADER_SIZE, ChunkType, Packer, pack_chunk
from rtcsend.errors import PeerProtocolError

MAX_CONTROL: Final = 256  # control chunks that wait for the next batch of packets

_MIDDLE: Final = bytes((ChunkType.DATA, 0))  # type and flags of a fragment that is no end
MIDDLE_SIZE: Final = HEADER_SIZE + len(_MIDDLE)  # bytes of what begins such a packet
_NEVER: Final = bytes(1 << 15)  # what no packet begins with: a DTLS record holds 2**14 bytes


class TransmissionControlBlock:
    """The parts of one association, from its handshake to its end."""

    def __init__(self, config: AssociationConfig, *, now: float) -> None:
        self.config = config
        self.handshake = Handshake(
            tag=config.tag,
            initial_tsn=config.initial_tsn,
            a_rwnd=RECEIVE_BUFFER,
            cookie=config.cookie,
        )
        self.path = Path(config, now=now)
        self.outbound = self.path.outbound
        self.inbound: Inbound | None = None
        """From when the association is established: also after its end."""
        self.sacks = SackSchedule(own_peer=config.own_peer)
        self.resets = StreamResets(config.initial_tsn)
        self.packer: Packer | None = None
        self.events: deque[AssociationEvent] = deque()
        self.control: list[bytes] = []
        """Control chunks for the next batch of packets."""
        self.plain_header = self.plain_middle = _NEVER
        """What most packets begin with, while data is taken: a header without a checksum."""
        self.maybe_middle = _take_nothing
        self.is_over = False

    @property
    def is_established(self) -> bool:
        """Whether messages go."""
        return self.inbound is not None and not self.is_over

    def maybe_established(self, *, now: float) -> None:
        """Begin to take and to send messages, if the handshake has come so far just now."""
        if self.inbound is not None or self.handshake.state is not HandshakeState.ESTABLISHED:
            return
        peer = self.handshake.peer
        assert peer is not None, "established with somebody"
        self.packer = Packer(source_port=PORT, destination_port=PORT, tag=peer.tag)
        ours = Packer(source_port=PORT, destination_port=PORT, tag=self.config.tag)
        self.plain_header = ours.without_checksum
        self.plain_middle = self.plain_header + _MIDDLE
        self.inbound = Inbound(peer.initial_tsn, max_message_size=self.config.max_message_size)
        self.maybe_middle = self.inbound.maybe_middle
        self.outbound.open(
            self.packer, zero_checksum=self.handshake.zero_checksum, peer_rwnd=peer.a_rwnd
        )
        self.resets.open(
            their_initial_sequence=peer.initial_tsn, is_supported=self.handshake.can_reset_streams
        )
        self.events.append(Established())
        self.control.append(self.path.heartbeat(now=now))

    def answer(self, chunk: bytes) -> None:
        """Answer a chunk; not the thousandth of one batch."""
        if len(self.control) < MAX_CONTROL:
            self.control.append(chunk)

    def resolve(self, doubt: Doubt, *, now: float) -> None:
        """Find out what silence or losses have made doubtful."""
        if doubt & Doubt.PACKET_SIZE:
            self.path.on_black_hole(now=now)
        if doubt & Doubt.ROUND_TRIP:
            self.control.append(self.path.heartbeat(now=now))

    def give_up(self, error: PeerProtocolError) -> None:
        """End the association for what the other side did."""
        self.control = [pack_chunk(ChunkType.ABORT, 0, b"")]
        self.close(error.message, is_breach=True)

    def close(self, reason: str | None, *, is_breach: bool = False) -> None:
        """End the association; what is in ``control`` is still sent."""
        if not self.is_over:
            self.is_over = True
            self.plain_header = self.plain_middle = _NEVER  # not even data is taken any more
            self.events.append(Closed(reason, is_breach))


def _take_nothing(packet: bytes) -> bool:
    return False
