"""What the data path is compared with: TCP by asyncio, and sealed datagrams without a protocol.

Ends for :func:`rtcsend.cli.bench_run.measure`: each runs in a process of its own.
The raw limit seals each packet with AES-128-GCM by ``cryptography`` (what a DTLS record costs
at least), joins as many as one segmented ``sendmsg`` takes, and opens each on the other side.
Nothing is acknowledged, ordered or retransmitted: what arrives counts.
"""

import asyncio
import contextlib
import os
import socket
import time
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rtcsend.cli.bench_ends import MESSAGE, Meter, Moved
from rtcsend.datapath.gso import SOL_UDP, UDP_GRO, batch_size, coalesced_size, segment_control

BUFFER = 4 << 20  # bytes of socket buffers
KEY, NONCE = bytes(16), bytes(12)  # a nonce for ever: what is measured is the time
TAG = 16  # bytes
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h; root may pass the limit


def tcp_receiver(address: str, link: Any, seconds: float) -> Moved:
    """Take what comes."""
    return asyncio.run(_receive_tcp(address, link, Meter(seconds)))


async def _receive_tcp(address: str, link: Any, meter: Meter) -> Moved:
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not meter.count(len(await reader.read(4 * MESSAGE))):
            pass
        writer.close()
        done.set()

    server = await asyncio.start_server(serve, address, 0)
    link.send(server.sockets[0].getsockname())
    await done.wait()
    link.send("enough")
    server.close()
    assert meter.moved is not None, "it was enough"
    return meter.moved


def tcp_sender(control: str, link: Any, _seconds: float) -> Moved:
    """Send until the other end closes. ``control`` names the congestion control."""
    return asyncio.run(_send_tcp(control, link))


async def _send_tcp(control: str, link: Any) -> Moved:
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
    sock.connect(link.recv())
    _, writer = await asyncio.open_connection(sock=sock)
    message = os.urandom(MESSAGE)
    started, cpu = time.perf_counter(), time.process_time()
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(message)
            await writer.drain()
    writer.transport.abort()
    return Moved(size=0, seconds=time.perf_counter() - started, cpu=time.process_time() - cpu)


def raw_receiver(address: str, link: Any, seconds: float) -> Moved:
    """Open what comes."""
    meter, cipher = Meter(seconds), AESGCM(KEY)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        sock.setsockopt(SOL_UDP, UDP_GRO, 1)
        sock.bind((address, 0))
        link.send(sock.getsockname())
        buffer = bytearray(1 << 16)
        view = memoryview(buffer)
        while meter.moved is None:
            length, control, _, _ = sock.recvmsg_into([buffer], 64)
            size = coalesced_size(control, received=length)
            for start in range(0, length, size):
                sealed = view[start : min(start + size, length)]
                try:
                    meter.count(len(cipher.decrypt(NONCE, sealed, None)))
                except InvalidTag:  # a bug of the benchmark
                    link.send("broken")
                    raise
        link.send("enough")
    return meter.moved


def raw_sender(payload: int, link: Any, _seconds: float) -> Moved:
    """Seal and send packets of ``payload`` bytes until the other end has enough."""
    cipher, packet = AESGCM(KEY), os.urandom(payload)
    segment = payload + TAG
    count = batch_size(segment) // segment
    control = segment_control(segment)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER)
        sock.connect(link.recv())
        started, cpu = time.perf_counter(), time.process_time()
        while not link.poll():
            sealed = [cipher.encrypt(NONCE, packet, None) for _ in range(count)]
            with contextlib.suppress(ConnectionRefusedError):  # it has enough, and is gone
                sock.sendmsg([b"".join(sealed)], control)
    return Moved(size=0, seconds=time.perf_counter() - started, cpu=time.process_time() - cpu)
