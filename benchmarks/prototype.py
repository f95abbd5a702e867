"""The first sketch of the data path, kept to measure against: not code to learn from.

It showed what can be had above aiortc in pure Python: once aiortc has connected, it takes the
socket and the DTLS connection, and moves packets of 1,200 bytes a batch at a time, with one struct
a chunk and a SACK a batch. The steps are those of the sketch; only names and types are new, and
the two sides wait for each other instead of sleeping. What it lacks is what a path over a
network needs: a receive window, any congestion control but slow start and halving, recovery
from loss beyond the simplest, relays, other systems, any check of what a peer sends.

Its sending half is in :mod:`benchmarks.prototype_sending`, the two ends of a measurement in
:mod:`benchmarks.prototype_ends`. Linux.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

from aiortc import RTCPeerConnection
from google_crc32c import extend
from google_crc32c import value as checksum
from OpenSSL import SSL

from benchmarks.prototype_sending import DATA, DATA_HEAD, HALF, MASK, PAYLOAD, SACK_HEAD, Sending
from rtcsend.datapath.gso import SOL_UDP, UDP_GRO, UDP_SEGMENT

BUFFER = 4 << 20  # bytes of socket buffers
RECORD = 13 + 8 + 16 + 12 + 16 + PAYLOAD  # bytes: DTLS record, nonce, tag, SCTP header, chunk
MAX_GAPS = 100
SACK = 3  # RFC 9260 §3.2


class Prototype:
    """The path of a connection whose channel is open and has carried nothing yet.

    Args:
        peer: Connected.
        on_message: Takes each message.
        on_low: Is called when little is queued.
    """

    def __init__(
        self,
        peer: RTCPeerConnection,
        *,
        on_message: Callable[[bytes], object],
        on_low: Callable[[], object],
    ) -> None:
        self._sctp = cast("Any", peer.sctp)
        dtls = self._sctp.transport
        pair = dtls.transport._connection._nominated[1]
        self._protocol, self._address = pair.protocol, pair.remote_addr
        self._ssl = cast("SSL.Connection", dtls._ssl)
        self._loop = cast("Any", asyncio.get_running_loop())
        self._sock = self._take_socket()
        self._buffer = bytearray(1 << 16)
        self._head = struct.pack(
            "!HHL",
            self._sctp._local_port,
            self._sctp._remote_port,
            self._sctp._remote_verification_tag,
        )
        self._start = checksum(self._head + bytes(4))
        self._on_message = on_message
        self._tasks: set[asyncio.Task[None]] = set()
        self.blocked = False
        self._unsent: list[tuple[bytes, int]] = []
        self.seal = self._ssl.send
        self.sending = Sending(
            self,
            head=self._head,
            loop=self._loop,
            tsn=self._sctp._local_tsn,
            window=self._sctp._cwnd,
            on_low=on_low,
        )
        self._last_tsn = cast("int", self._sctp._last_received_tsn)
        self._ahead: dict[int, tuple[int, bytes]] = {}
        self._fragments: list[bytes] = []
        self._owes_sack = False
        self._loop.add_reader(self._sock.fileno(), self._on_readable)

    def _take_socket(self) -> socket.socket:
        theirs = self._protocol.transport.get_extra_info("socket").fileno()
        self._loop._remove_reader(theirs)
        sock = socket.socket(fileno=os.dup(theirs))
        sock.setblocking(False)
        sock.setsockopt(SOL_UDP, UDP_GRO, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        return sock

    def close(self) -> None:
        self.sending.close()
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()

    # Out

    def flush(self) -> None:
        """Send what was sealed, all records of one size."""
        try:
            sealed = self._ssl.bio_read(1 << 17)
        except SSL.Error:
            return
        self._write(sealed, RECORD)

    def _write(self, sealed: bytes, segment: int) -> None:
        try:
            if len(sealed) > segment:
                control = [(SOL_UDP, UDP_SEGMENT, struct.pack("H", segment))]
                self._sock.sendmsg([sealed], control, 0, self._address)
            else:
                self._sock.sendto(sealed, self._address)
        except BlockingIOError:
            self.blocked = True
            self._unsent.append((sealed, segment))
            self._loop.add_writer(self._sock.fileno(), self._on_writable)

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._sock.fileno())
        self.blocked = False
        unsent, self._unsent = self._unsent, []
        for sealed, segment in unsent:
            self._write(sealed, segment)
        if not self.blocked:
            self.sending.transmit()

    # In

    def _on_readable(self) -> None:
        buffer = self._buffer
        view = memoryview(buffer)
        for _ in range(8):
            try:
                length, control, _, address = self._sock.recvmsg_into([buffer], 64)
            except BlockingIOError:
                break
            size = length
            for _, kind, value in control:
                if kind == UDP_GRO:
                    (size,) = struct.unpack("i", value)
            if 19 < buffer[0] < 64:  # DTLS: RFC 7983 §7
                step = size * max(1, 16_000 // size)
                for at in range(0, length, step):
                    self._ssl.bio_write(bytes(view[at : min(at + step, length)]))
                    self._open()
            else:
                for at in range(0, length, size):
                    self._protocol.datagram_received(
                        bytes(view[at : min(at + size, length)]), address
                    )
        if self._owes_sack:
            self._send_sack()

    def _open(self) -> None:
        receive = self._ssl.recv
        while True:
            try:
                packet = receive(2_000)
            except SSL.Error:
                return
            self._on_packet(packet)

    def _on_packet(self, packet: bytes) -> None:
        if packet[12] == SACK:
            self.sending.on_sack(packet)
        elif packet[12] != DATA:
            task = self._loop.create_task(self._sctp._handle_data(packet))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif (
            extend(checksum(packet[:8] + bytes(4)), packet[12:])
            == struct.unpack_from("<L", packet, 8)[0]
        ):
            self._on_data(packet)

    def _on_data(self, packet: bytes) -> None:
        _, flags, length, tsn, _, _, _ = DATA_HEAD.unpack_from(packet, 12)
        self._owes_sack = True
        expected = (self._last_tsn + 1) & MASK
        if tsn == expected:
            self._last_tsn = tsn
            self._join(flags, packet[28 : 12 + length])
            while self._ahead:
                early = self._ahead.pop((self._last_tsn + 1) & MASK, None)
                if early is None:
                    break
                self._last_tsn = (self._last_tsn + 1) & MASK
                self._join(*early)
        elif (tsn - expected) & MASK < HALF:
            self._ahead[tsn] = flags, packet[28 : 12 + length]

    def _join(self, flags: int, payload: bytes) -> None:
        if flags == 3:
            self._on_message(payload)
            return
        self._fragments.append(payload)
        if flags & 1:
            message = b"".join(self._fragments)
            self._fragments.clear()
            self._on_message(message)

    def _send_sack(self) -> None:
        self._owes_sack = False
        gaps: list[list[int]] = []
        for offset in sorted((tsn - self._last_tsn) & MASK for tsn in self._ahead):
            if gaps and offset == gaps[-1][1] + 1:
                gaps[-1][1] = offset
            else:
                gaps.append([offset, offset])
        gaps = gaps[:MAX_GAPS]
        blocks = b"".join(
            struct.pack("!HH", min(one, 0xFFFF), min(last, 0xFFFF)) for one, last in gaps
        )
        length = SACK_HEAD.size + len(blocks)
        chunk = SACK_HEAD.pack(SACK, 0, length, self._last_tsn, BUFFER, len(gaps), 0) + blocks
        self._ssl.send(self._head + struct.pack("<L", extend(self._start, chunk)) + chunk)
        try:
            sealed = self._ssl.bio_read(1 << 16)
        except SSL.Error:
            return
        self._write(sealed, 1 << 20)
