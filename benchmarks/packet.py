"""Where each microsecond of a packet goes: both ends in one process, without a network.

A burst of packets is made, sealed, opened and taken, again and again, and of each step the
quickest burst counts. Other work on the machine cannot make one quicker, so this means
something also where the rates of :mod:`benchmarks.datapath` do not. What is left out is what
the system does: UDP, waking up, the disk.

    python -m benchmarks.packet [--packet 1432] [--packet 15900] [--megabytes 200]
"""

import argparse
import contextlib
import os
import time
from typing import Final

from aiortc.rtcdtlstransport import RTCCertificate
from OpenSSL import SSL

from benchmarks.machine import this_machine
from rtcsend.cli.memory import tune_memory
from rtcsend.datapath.batches import batches
from rtcsend.datapath.congestion.base import AckSample, CongestionController
from rtcsend.datapath.records import Records
from rtcsend.datapath.sctp.association import Association, AssociationConfig
from rtcsend.datapath.sctp.inbound import Message
from rtcsend.transfer.frames import FRAME_HEADER, payload_filling

STEPS: Final = ("made and grouped", "sealed", "opened", "taken, messages joined")
AROUND: Final = 37  # bytes of a DTLS record besides its packet
CIPHER: Final = b"ECDHE-ECDSA-AES128-GCM-SHA256"  # what aiortc agrees on with itself
BURST: Final = 64  # packets; what the pacer lets go at once on a fast path
MAX_FRAME: Final = 65_536  # bytes
READ: Final = 65_536  # bytes
TICK: Final = 0.0002  # seconds between two bursts, of a clock that is handed in
SETTLING: Final = 400  # bursts until the packets' size is found


class Steady(CongestionController):
    """The same flight always."""

    def __init__(self, *, mss: int, now: float) -> None:
        super().__init__(mss=mss, now=now)
        self.set_mss(mss)

    def set_mss(self, mss: int) -> None:
        self.cwnd = BURST * mss

    def on_ack(self, sample: AckSample) -> None: ...
    def on_loss(self, *, now: float, lost: int, flight: int, sent_at: float) -> None: ...
    def on_rto(self, *, now: float) -> None: ...
    def on_sent(self, *, now: float, flight: int) -> None: ...
    def on_idle(self, *, now: float) -> None: ...


class Ends:
    """Two associations over DTLS, and a clock.

    Args:
        packet: Bytes of the largest SCTP packet.
    """

    def __init__(self, packet: int) -> None:
        self.records = [Records(connection) for connection in _connections()]
        self.associations = [_association(tag, packet) for tag in (1, 2)]
        self.now = 0.0
        for association in self.associations:
            association.connect(now=self.now)
        for _ in range(SETTLING):
            self.now += TICK
            for association in self.associations:
                association.handle_timer(now=self.now)
            self.move(0)
            self.move(1)
        for association in self.associations:
            while association.next_event() is not None:
                pass

    def move(self, sender: int) -> tuple[int, list[float]]:
        """Send what one end has to; return how many packets, and the seconds of each step."""
        times, clock = [0.0] * len(STEPS), time.perf_counter
        started = clock()
        packets = self.associations[sender].batches_to_send(now=self.now)
        groups = list(batches(packets, around=AROUND))
        times[0] = clock() - started
        count = 0
        for parts, size in groups:
            started = clock()
            sealed = self.records[sender].seal(parts, size)
            times[1] += clock() - started
            each = sum(stop - start for _, start, stop in parts) // size
            count += each
            buffer = memoryview(bytearray(sealed))
            started = clock()
            runs = self.records[1 - sender].open(buffer, len(sealed) // each)
            opened = clock()
            for joined, length in runs:
                self.associations[1 - sender].receive_equal_untrusted(joined, length, now=self.now)
            times[2] += opened - started
            times[3] += clock() - opened
        started = clock()
        self.associations[1 - sender].end_batch(now=self.now)
        times[3] += clock() - started
        return count, times


def measure(packet: int, size: int) -> tuple[int, list[float]]:
    """Move ``size`` bytes; return the bytes that a packet carries, and the µs of each step."""
    ends = Ends(packet)
    sender, receiver = ends.associations
    frame = os.urandom(
        FRAME_HEADER.size + payload_filling(sender.payload, largest=MAX_FRAME - FRAME_HEADER.size)
    )
    quickest, moved = [float("inf")] * len(STEPS), 0
    while moved < size:
        while sender.queued < BURST * sender.payload:
            sender.send(1, 53, frame)
        ends.now += TICK
        sender.handle_timer(now=ends.now)
        count, times = ends.move(0)
        while (event := receiver.next_event()) is not None:
            if isinstance(event, Message):
                moved += len(event.data)
                receiver.taken(len(event.data), now=ends.now)
        ends.move(1)
        if count >= BURST // 2:
            each = [taken / count * 1e6 for taken in times]
            quickest = list(map(min, quickest, each))
    return sender.payload, quickest


def _connections() -> list[SSL.Connection]:
    """Return both ends of a DTLS connection after its handshake, in memory."""
    certificate = RTCCertificate.generateCertificate()
    context = SSL.Context(SSL.DTLS_METHOD)
    context.use_certificate(certificate._cert)
    context.use_privatekey(certificate._key)
    context.set_cipher_list(CIPHER)
    pair = [SSL.Connection(context) for _ in range(2)]
    pair[0].set_accept_state()
    pair[1].set_connect_state()
    done = [False, False]
    while not all(done):
        for index, connection in enumerate(pair):
            with contextlib.suppress(SSL.WantReadError):
                connection.do_handshake()
                done[index] = True
            with contextlib.suppress(SSL.WantReadError):
                pair[1 - index].bio_write(connection.bio_read(READ))
    return pair


def _association(tag: int, packet: int) -> Association:
    config = AssociationConfig(
        tag=tag,
        initial_tsn=tag,
        cookie=bytes(16),
        own_peer=True,
        max_message_size=4 * MAX_FRAME,
        controller=lambda mss, now: Steady(mss=mss, now=now),
        max_packet=packet,
    )
    return Association(config, now=0.0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packet", type=int, action="append", help="bytes; may be repeated")
    parser.add_argument("--megabytes", type=int, default=200)
    args = parser.parse_args()
    tune_memory()  # as the commands do
    print(this_machine())
    for packet in args.packet or (1_432, 15_900):
        payload, quickest = measure(packet, args.megabytes * 10**6)
        total = sum(quickest)
        print(f"\n{payload} bytes a packet: {total:.2f} µs, {total / payload * 1e3:.2f} s/GB")
        for title, microseconds in zip(STEPS, quickest, strict=True):
            print(f"  {microseconds:6.2f} µs  {title}")


if __name__ == "__main__":
    main()
