"""MB/s of 1,200-byte datagrams between two processes on loopback: asyncio's transport, ours.

One process sends as fast as it can, one counts what arrives; what is counted is what
arrived, so that a sender which only overruns its receiver gains nothing. The kinds take
turns, and the medians are compared: other work on the machine hits both.

    python -m benchmarks.udp_path [--rounds N] [--seconds S] [--segment BYTES]

It measures UDP alone: no DTLS, no SCTP, no congestion control.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from typing import Any, Final

from rtcsend.datapath.gso import batch_size
from rtcsend.datapath.loop import DatagramBatchingLoop
from rtcsend.datapath.udp import BatchedDatagramTransport

KINDS: Final = {
    "asyncio": "asyncio's own datagram transport",
    "plain": "batched transport, offload off",
    "offload": "batched transport, offload on",
}
FIRST_BYTE: Final = b"\x17"  # DTLS application data, so that the tap gets it
BURST: Final = 54  # datagrams between two turns of the loop; what a batch of 1,200 bytes holds


class Counter(asyncio.DatagramProtocol):
    """The receiving end: counts the bytes of the first ``seconds`` after the first one."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.received = 0
        self.started: float | None = None
        self.rate: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, BatchedDatagramTransport):
            transport.set_tap(self.tap)

    def tap(self, view: memoryview, segment_size: int, addr: tuple[Any, ...]) -> None:
        self._count(len(view))

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._count(len(data))

    def _count(self, size: int) -> None:
        now = time.perf_counter()
        if self.started is None:
            self.started = now
        self.received += size
        elapsed = now - self.started
        if elapsed >= self.seconds and not self.rate.done():
            self.rate.set_result(self.received / elapsed)


def make_loop(kind: str) -> asyncio.AbstractEventLoop:
    """Make the loop of a kind."""
    if kind == "asyncio":
        return asyncio.SelectorEventLoop()
    loop = DatagramBatchingLoop()
    loop.offload = kind == "offload"
    return loop


async def receive(seconds: float) -> None:
    """Print the port, then the MB/s of the first ``seconds`` after the first datagram."""
    transport, counter = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Counter(seconds), local_addr=("127.0.0.1", 0)
    )
    print(transport.get_extra_info("sockname")[1], flush=True)
    print(await counter.rate / 1e6, flush=True)
    transport.close()


async def send(port: int, segment: int, seconds: float) -> None:
    """Send for a little longer than the receiver counts."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    address = ("127.0.0.1", port)
    datagram = FIRST_BYTE * segment
    batch = datagram * (batch_size(segment) // segment)
    end = time.perf_counter() + seconds + 0.3
    while time.perf_counter() < end:
        if isinstance(transport, BatchedDatagramTransport):
            if transport.writable:
                transport.send_segments(batch, segment, address)
        else:
            for _ in range(BURST):
                transport.sendto(datagram, address)
        await asyncio.sleep(0)
    transport.close()


def measure(kind: str, *, segment: int, seconds: float) -> float:
    """Run both processes once; return MB/s (10^6 bytes) received."""
    options = ["--segment", str(segment), "--seconds", str(seconds), "--kind", kind]
    command = [sys.executable, "-m", "benchmarks.udp_path", *options]
    with subprocess.Popen([*command, "--receive"], stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        port = receiver.stdout.readline().strip()
        subprocess.run([*command, "--port", port], check=True)
        return float(receiver.stdout.readline())


def compare(*, rounds: int, segment: int, seconds: float) -> dict[str, float]:
    """Return the median MB/s of each kind."""
    figures: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind, measured in figures.items():
            measured.append(measure(kind, segment=segment, seconds=seconds))
    return {kind: statistics.median(measured) for kind, measured in figures.items()}


def main() -> None:
    """Measure and print, or be one of the two processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--segment", type=int, default=1_200)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.kind is None:
        medians = compare(rounds=args.rounds, segment=args.segment, seconds=args.seconds)
        for kind, figure in medians.items():
            ratio = figure / medians["asyncio"]
            print(f"{KINDS[kind]:36} {figure:8.1f} MB/s   {ratio:5.2f} times")
        return
    with asyncio.Runner(loop_factory=lambda: make_loop(args.kind)) as runner:
        if args.receive:
            runner.run(receive(args.seconds))
        else:
            runner.run(send(args.port, args.segment, args.seconds))


if __name__ == "__main__":
    main()
