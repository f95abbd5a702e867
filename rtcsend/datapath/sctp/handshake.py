"""Setting the association up: INIT, INIT ACK, COOKIE ECHO, COOKIE ACK.

Pure. Both ends of a WebRTC connection initiate (RFC 8841 §9.3), so the two handshakes cross,
always; RFC 9260 §5.2 says how they become one: each answers the other's INIT with its own
tag and TSN, and whichever cookie comes home first establishes both.

The cookie is not signed: DTLS has authenticated the one peer that there is, and its state is
held here anyway. Where both sides were told the other's INIT beforehand
(:mod:`~.introduction`), nothing of all this is sent.
"""

import enum
from typing import Final

from rtcsend.datapath.sctp.wire import (
    U32,
    ZERO_CHECKSUM_DTLS,
    Chunk,
    ChunkType,
    Init,
    Packer,
    Packets,
    Parameter,
    pack_chunk,
    pack_init,
    parse_init_untrusted,
)
from rtcsend.errors import PeerProtocolError

PORT: Final = 5000  # RFC 8841 §11; both sides have the same, and it means nothing
RTO_INITIAL: Final = 0.4  # seconds; RFC 9260 §16 says 1 s, for paths nobody has used: ICE just has
RTO_MAX: Final = 5.0  # seconds; the connection's own deadline comes sooner than more back-off
MAX_COOKIE: Final = 4096  # bytes of the other side's that are sent back
STREAMS: Final = 1024  # each way; two are used
MAX_RETRANSMISSIONS: Final = 8  # RFC 9260 §16: Max.Init.Retransmits


class HandshakeState(enum.Enum):
    """Where the handshake stands. Source: RFC 9260 §4."""

    CLOSED = "closed"
    COOKIE_WAIT = "cookie wait"
    COOKIE_ECHOED = "cookie echoed"
    ESTABLISHED = "established"


class Handshake:
    """One side of the crossing handshakes.

    Args:
        tag: Our verification tag, random and not zero.
        initial_tsn: Of our first chunk, random.
        a_rwnd: Bytes of our receive buffer.
        cookie: Random bytes that only the other side will send back.
    """

    def __init__(self, *, tag: int, initial_tsn: int, a_rwnd: int, cookie: bytes) -> None:
        self.state = HandshakeState.CLOSED
        self._cookie = cookie
        self._ours = own_init(tag=tag, initial_tsn=initial_tsn, a_rwnd=a_rwnd)
        self.peer: Init | None = None
        self.zero_checksum = False
        """Whether the other side accepts packets without a checksum."""
        self.can_reset_streams = False
        """Whether the other side answers requests to reset streams (RFC 6525 §3.1)."""
        self._their_cookie = b""
        self._deadline: float | None = None
        self._rto = RTO_INITIAL
        self._retransmissions = 0
        self._outbound: list[tuple[int, bytes]] = []

    def start(self, *, now: float) -> None:
        """Send our INIT, unless the other side was so early that all is done."""
        if self.state is not HandshakeState.CLOSED:
            return
        self.state = HandshakeState.COOKIE_WAIT
        self._send_again(now=now)

    def skip(self, theirs: Init) -> None:
        """Be established, since both sides know the other's INIT already."""
        self._adopt(theirs)
        self._establish()

    def receive_untrusted(self, chunk: Chunk, *, now: float) -> None:
        """Take a chunk of the handshake; unknown ones are skipped. Source: RFC 9260 §3.2.

        Raises:
            PeerProtocolError: It is malformed, or an INIT ACK without a cookie.
        """
        match chunk.type:
            case ChunkType.INIT:
                self._receive_init(chunk)
            case ChunkType.INIT_ACK:
                self._receive_init_ack(chunk, now=now)
            case ChunkType.COOKIE_ECHO:
                self._receive_cookie_echo(chunk)
            case ChunkType.COOKIE_ACK:
                self._receive_cookie_ack()
            case _:
                pass  # DTLS has vouched for the peer

    def _receive_init(self, chunk: Chunk) -> None:
        """Answer the other side's INIT. Source: RFC 9260 §5.2.1."""
        theirs = parse_init_untrusted(chunk.value)
        if self.state is HandshakeState.ESTABLISHED:
            return  # a restart inside one DTLS connection is not a thing
        self._adopt(theirs)
        parameters = (*self._ours.parameters, (Parameter.STATE_COOKIE, self._cookie))
        answer = self._ours._replace(parameters=parameters)
        self._answer(theirs.tag, pack_init(ChunkType.INIT_ACK, answer))

    def _receive_init_ack(self, chunk: Chunk, *, now: float) -> None:
        """Send the cookie home."""
        if self.state is not HandshakeState.COOKIE_WAIT:
            return
        theirs = parse_init_untrusted(chunk.value)
        cookie = dict(theirs.parameters).get(Parameter.STATE_COOKIE, b"")
        if not 0 < len(cookie) <= MAX_COOKIE:
            raise PeerProtocolError("The other side's INIT ACK has no usable cookie.")
        self._adopt(theirs)
        self._their_cookie = cookie
        self.state = HandshakeState.COOKIE_ECHOED
        self._retransmissions = 0
        self._rto = RTO_INITIAL
        self._send_again(now=now)

    def _receive_cookie_echo(self, chunk: Chunk) -> None:
        """Our cookie came home: established, and the other side is told.

        Source: RFC 9260 §5.2.4, table 12, actions B and D: tags are as both know them.
        """
        if chunk.value != self._cookie or self.peer is None:
            return
        self._answer(self.peer.tag, pack_chunk(ChunkType.COOKIE_ACK, 0, b""))
        self._establish()

    def _receive_cookie_ack(self) -> None:
        """The other side has our echo: established."""
        if self.state is HandshakeState.COOKIE_ECHOED:
            self._establish()

    def packets_to_send(self) -> list[Packets]:
        """Return the packets to send now: each chunk in one of its own, with a checksum."""
        chunks, self._outbound = self._outbound, []
        packets = [_packer(tag).pack(chunk, zero_checksum=False) for tag, chunk in chunks]
        return [(packet, len(packet)) for packet in packets]

    def get_timer(self) -> float | None:
        """Return when to call :meth:`handle_timer`."""
        return self._deadline

    def handle_timer(self, *, now: float) -> bool:
        """Send again what was not answered; return False when it is hopeless."""
        if self._deadline is None or now < self._deadline:
            return True
        if self._retransmissions >= MAX_RETRANSMISSIONS:
            return False
        self._retransmissions += 1
        self._rto = min(self._rto * 2, RTO_MAX)
        self._send_again(now=now)
        return True

    def _answer(self, tag: int, chunk: bytes) -> None:
        """Answer; but a question that is asked a hundred times in one batch only once."""
        if (tag, chunk) not in self._outbound:
            self._outbound.append((tag, chunk))

    def _send_again(self, *, now: float) -> None:
        if self.state is HandshakeState.COOKIE_WAIT:
            self._outbound.append((0, pack_init(ChunkType.INIT, self._ours)))
        else:
            assert self.peer is not None, "a cookie came with an INIT ACK"
            echo = pack_chunk(ChunkType.COOKIE_ECHO, 0, self._their_cookie)
            self._outbound.append((self.peer.tag, echo))
        self._deadline = now + self._rto

    def _adopt(self, theirs: Init) -> None:
        if self.peer is not None and theirs.tag != self.peer.tag:
            raise PeerProtocolError("The other side started two associations.")
        self.peer = theirs
        parameters = dict(theirs.parameters)
        method = parameters.get(Parameter.ZERO_CHECKSUM, b"")
        self.zero_checksum = method == U32.pack(ZERO_CHECKSUM_DTLS)
        extensions = parameters.get(Parameter.SUPPORTED_EXTENSIONS, b"")
        self.can_reset_streams = ChunkType.RE_CONFIG in extensions

    def _establish(self) -> None:
        self.state = HandshakeState.ESTABLISHED
        self._deadline = None


_OUR_PARAMETERS: Final = (
    (Parameter.ZERO_CHECKSUM, U32.pack(ZERO_CHECKSUM_DTLS)),
    (Parameter.SUPPORTED_EXTENSIONS, bytes([ChunkType.RE_CONFIG, ChunkType.FORWARD_TSN])),
    (Parameter.FORWARD_TSN_SUPPORTED, b""),
)


def own_init(*, tag: int, initial_tsn: int, a_rwnd: int) -> Init:
    """Return what our INIT says."""
    return Init(tag, a_rwnd, STREAMS, STREAMS, initial_tsn, _OUR_PARAMETERS)


def _packer(tag: int) -> Packer:
    return Packer(source_port=PORT, destination_port=PORT, tag=tag)
