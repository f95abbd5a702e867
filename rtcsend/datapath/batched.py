"""The project's own data path: our SCTP association over aiortc's ICE and DTLS, in batches.

A shell. It feeds :class:`~rtcsend.datapath.sctp.association.Association` with what comes out
of DTLS, seals what it gives, and arms one timer. Below it is whatever ICE has selected, by way
of a :class:`~rtcsend.datapath.carrier.Carrier`: over UDP or a relay many packets leave and
arrive together; on another event loop each goes by itself.

aiortc has done the handshake and checked the fingerprint before this begins; its own DTLS
pump then idles, and ends when the sockets do. What that has read in the moment between, the
other side's first words, it hands over.
"""

import asyncio
import logging
import math
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from rtcsend.datapath.batches import batches
from rtcsend.datapath.carrier import LANE_FLIGHT, Carrier
from rtcsend.datapath.congestion.bbr import Bbr
from rtcsend.datapath.data_channel import (
    CONTROL_CHANNEL,
    DATA_CHANNEL,
    MAX_MESSAGE_SIZE,
    BatchedChannel,
)
from rtcsend.datapath.dcep import DATA_CHANNEL_ACK, PPID_DCEP, Answer, Openings
from rtcsend.datapath.gso import DTLS_FIRST_BYTES
from rtcsend.datapath.records import MAX_INPUT, Records
from rtcsend.datapath.sctp.association import (
    OUR_MAX_PACKET,
    Association,
    AssociationConfig,
    Closed,
    Established,
    StreamsReset,
)
from rtcsend.datapath.sctp.inbound import Message
from rtcsend.datapath.sctp.introduction import Identity, parse_introduction_untrusted
from rtcsend.errors import InternalError, NoRoute, PeerProtocolError
from rtcsend.trace import Step, note

if TYPE_CHECKING:
    from aiortc import RTCDtlsTransport

    from rtcsend.peer.description import Description
    from rtcsend.peer.ice import IceConnection

MAX_ROUNDS: Final = 4  # bursts of one turn of the event loop; then others have theirs
MAX_EARLY: Final = 32  # packets that come before the path is opened; the other side repeats more
FULL_INTERVAL: Final = 0.1  # seconds; how often time passes while there is no room below

logger = logging.getLogger("rtcsend.datapath")


class BatchedPath:
    """One association over one DTLS connection.

    Args:
        dtls: Connected.
        ice: What it goes over.
        own_peer: The other side runs this very code.
        identity: What the other side was told of this association; None: nothing.
        max_packet: Bytes of the largest SCTP packet to send; None: whatever the path takes.
    """

    def __init__(
        self,
        dtls: "RTCDtlsTransport",
        ice: "IceConnection",
        *,
        own_peer: bool,
        identity: Identity | None = None,
        max_packet: int | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._ice = ice
        self._dtls = dtls
        self._records: Records | None = None
        self.breach: PeerProtocolError | None = None
        self.heard_at = now = self._loop.time()
        self._is_introduced = identity is not None
        identity = identity or random_identity()
        config = AssociationConfig(
            tag=identity.tag,
            initial_tsn=identity.initial_tsn,
            cookie=os.urandom(32),
            own_peer=own_peer,
            max_message_size=MAX_MESSAGE_SIZE,
            controller=lambda mss, now: Bbr(mss=mss, now=now),
            max_packet=OUR_MAX_PACKET if max_packet is None else max_packet,
        )
        self.association = Association(config, now=now)
        self.channels = {
            stream: BatchedChannel(self, stream) for stream in (CONTROL_CHANNEL, DATA_CHANNEL)
        }
        self._openings = Openings(self.channels)
        self._carrier = Carrier(ice, lanes=own_peer)
        self._fragments = False
        self._width = 1
        self._around = 0  # bytes of a record that are not its packet's
        self._received = False
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None
        self._closed = False
        self._opened = asyncio.Event()
        self._early: list[bytes] | None = []
        dtls._register_data_receiver(self)
        self._payload = self.association.payload  # as it was last told

    @property
    def packet_payload(self) -> int:
        """Bytes of a message that one packet carries at present."""
        return self.association.payload

    @property
    def control(self) -> BatchedChannel:
        """The channel for control messages."""
        return self.channels[CONTROL_CHANNEL]

    @property
    def data(self) -> BatchedChannel:
        """The channel for frames."""
        return self.channels[DATA_CHANNEL]

    async def open(self, remote: "Description") -> None:
        """Begin the association, and return when both channels are open.

        The other side's max-message-size is kept by whoever makes the frames.

        Raises:
            NoRoute: The association ended before it began.
            PeerProtocolError: The other side introduced itself by something else than an INIT.
        """
        connection = self._dtls._ssl
        if connection is None:
            raise InternalError("The data path was opened before DTLS was connected.")
        introduced = None
        if self._is_introduced and remote.sctp_init is not None:
            introduced = parse_introduction_untrusted(remote.sctp_init)
        self._records = Records(connection)
        self._ice.on_datagram = self._on_datagram
        self._carrier.open(
            take=self._on_datagrams, on_batch_end=self._on_batch_end, on_writable=self.wake
        )
        self.association.connect(now=self._loop.time(), introduced=introduced)
        early, self._early = self._early, None
        self.association.receive_packets_untrusted(early or [], now=self._loop.time())
        self._pump()
        await self._opened.wait()
        if self._closed:
            raise NoRoute("The connection broke while it was set up.")

    async def close(self) -> None:
        """End the association, and tell the other side. Safe at any time, twice too."""
        if self._closed or self._records is None:
            return
        self.association.abort()
        self._send()
        self._end()

    def taken(self, size: int) -> None:
        """The application has taken so many bytes of messages."""
        if self.association.taken(size, now=self._loop.time()):
            self.wake()  # the other side may be waiting for room

    def path_changed(self) -> None:
        """Packets go another way from now on: ICE has selected another pair."""
        if not self._closed and self._records is not None:
            self.association.path_changed(now=self._loop.time())
            self._width = 1
            self.wake()

    def wake(self) -> None:
        """Something is to be sent: do it in this turn of the loop, once."""
        if self._soon is None and not self._closed and self._records is not None:
            self._soon = self._loop.call_soon(self._on_soon)

    # In

    def _on_datagrams(self, view: memoryview, size: int, _address: object) -> None:
        if self._records is None:
            return
        now, step = self._loop.time(), max(1, MAX_INPUT // size) * size
        for start in range(0, len(view), step):
            for packets, each in self._records.open(view[start : start + step], size):
                self.association.receive_equal_untrusted(packets, each, now=now)
                self._received = True
        # The other side may have missed the end of the handshake: OpenSSL repeats it, and it
        # must not stand between the records that are sealed next.
        if flight := self._records.pending():
            self._carrier.send(flight, len(flight))

    def _on_batch_end(self) -> None:
        if self._received:
            self._received = False
            self.heard_at = self._loop.time()
            self.association.end_batch(now=self.heard_at)
        self._pump()

    def _on_datagram(self, data: bytes) -> None:
        """Take what is no STUN, by itself: from another event loop, or from anybody at all."""
        if data[:1] and data[0] in DTLS_FIRST_BYTES:  # RFC 7983 §7: else it is dropped
            self._on_datagrams(memoryview(data), len(data), None)
            self.wake()

    async def _handle_data(self, packet: bytes) -> None:
        """Take a packet that aiortc's pump has read, before this path has taken over."""
        if self._early is None:
            self.association.receive_packets_untrusted([packet], now=self._loop.time())
            self._received = True
            self.wake()
        elif len(self._early) < MAX_EARLY:
            self._early.append(packet)

    def _on_soon(self) -> None:
        self._soon = None
        self._on_batch_end()

    def _on_timer(self) -> None:
        self._timer = None
        self.association.handle_timer(now=self._loop.time())
        self._pump()

    # Out

    def _pump(self) -> None:
        """Deliver, send, and arm the timer: after everything that changed something."""
        self._deliver()
        if self._payload != self.association.payload:
            self._payload = self.association.payload
            note(Step.PATH_MTU, bytes=self._payload)
        if not self._closed:
            self._arm(is_full=not self._send())
        for channel in self.channels.values():
            channel.on_sent()
        if self._records is not None and self._records.closed:
            self._end()

    def _send(self) -> bool:
        """Send what may go, while there is room for it below; False when there is none."""
        assert self._records is not None, "started"
        if (width := self._carrier.width()) != self._width:
            self._width = width
            self.association.expect_reordering(expected=width > 1)
            self.association.bound_flight(width * LANE_FLIGHT if width > 1 else math.inf)
        for _ in range(MAX_ROUNDS):
            if not self._carrier.room():
                return False  # on_writable will wake us
            packets = self.association.batches_to_send(now=self._loop.time())
            if not packets:
                return True
            if self._fragments is not self.association.needs_fragmentation:
                self._fragments = not self._fragments
                self._carrier.allow_fragmentation(allowed=self._fragments)
            for parts, size in batches(packets, around=self._around):
                if sealed := self._records.seal(parts, size):
                    count = sum(stop - start for _, start, stop in parts) // size
                    self._around = len(sealed) // count - size
                    self._carrier.send(sealed, size + self._around)
        self.wake()
        return True

    def _arm(self, *, is_full: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self.association.get_timer()
        if at is not None:
            # What is due, and has no room to leave, stays due: it must not be asked for again
            # and again. Silence is noticed all the same.
            at = max(at, self._loop.time() + FULL_INTERVAL) if is_full else at
            self._timer = self._loop.call_at(at, self._on_timer)

    def _deliver(self) -> None:
        while (event := self.association.next_event()) is not None:
            match event:
                case Message(stream=stream, ppid=ppid, data=data) if ppid == PPID_DCEP:
                    self.taken(len(data))
                    self._answer(stream, self._openings.receive_untrusted(stream, data))
                case Message(stream=stream, data=data):
                    channel = self.channels.get(stream)
                    if channel is None:
                        self.taken(len(data))
                    else:
                        channel.deliver(event)
                case Established():
                    self._opened.set()
                    for channel in self.channels.values():
                        channel.set_state("open")
                case StreamsReset(streams=streams):
                    self._reset(streams or tuple(self.channels))
                case Closed(reason=reason, is_breach=is_breach):
                    self.breach = PeerProtocolError(str(reason)) if is_breach else None
                    if not self._closed:
                        self._send()  # the last word: an ABORT, or what answers a SHUTDOWN
                    self._end()

    def _answer(self, stream: int, answer: Answer) -> None:
        if answer is Answer.ACKNOWLEDGE and self.channels[stream].readyState == "open":
            self.association.send(stream, PPID_DCEP, DATA_CHANNEL_ACK)
        elif answer is Answer.CLOSE:
            self.association.reset(stream, now=self._loop.time())

    def _reset(self, streams: Iterable[int]) -> None:
        for stream in streams:
            if stream in self.channels:
                # RFC 8831 §6.7: it is closed for them when it is in our direction.
                self.association.reset(stream, now=self._loop.time())
                self.channels[stream].set_state("closed")

    def _end(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._opened.set()
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()
        self._ice.on_datagram = None
        self._carrier.close()
        for channel in self.channels.values():
            channel.set_state("closed")


def random_identity() -> Identity:
    """Return one that nobody can guess."""
    return Identity(
        tag=int.from_bytes(os.urandom(4), "big") or 1,
        initial_tsn=int.from_bytes(os.urandom(4), "big") >> 1,  # aiortc sorts TSNs as integers
    )
