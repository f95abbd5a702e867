"""aiortc alone: one DataChannel between two processes, bytes from memory to nowhere.

What rtcsend is compared with: no file, no digest, no window of written bytes. Messages of
64 KiB, as many as ``bufferedAmount`` lets. Run by :mod:`benchmarks.throughput`::

    python -m benchmarks.plain_aiortc SIZE

Prints an event ``done`` with the seconds from the first message to the receiver's answer.
"""

import asyncio
import json
import multiprocessing
import os
import sys
import time
from typing import TYPE_CHECKING

from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

MESSAGE = 64 * 1024  # bytes
HIGH_WATER = 1 << 20  # bytes of bufferedAmount
LOW_WATER = 1 << 19


async def send(pipe: "Connection[str, str]", size: int) -> float:
    """Send ``size`` bytes; return how many seconds it took until all had come."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    channel = peer.createDataChannel("data")
    channel.bufferedAmountLowThreshold = LOW_WATER
    opened, drained, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()
    channel.on("open", opened.set)
    channel.on("bufferedamountlow", drained.set)
    channel.on("message", lambda _message: answered.set())
    await peer.setLocalDescription(await peer.createOffer())
    pipe.send(peer.localDescription.sdp)
    answer = await asyncio.to_thread(pipe.recv)
    await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await opened.wait()
    message = os.urandom(MESSAGE)
    started = time.monotonic()
    for start in range(0, size, MESSAGE):
        while channel.bufferedAmount > HIGH_WATER:
            drained.clear()
            await drained.wait()
        channel.send(message[: size - start])
    await answered.wait()
    seconds = time.monotonic() - started
    pipe.send("close")
    await peer.close()
    return seconds


async def receive(pipe: "Connection[str, str]", size: int) -> None:
    """Take ``size`` bytes, and say so."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    count = 0

    def on_channel(channel: RTCDataChannel) -> None:
        def on_message(message: bytes) -> None:
            nonlocal count
            count += len(message)
            if count == size:
                channel.send("all")

        channel.on("message", on_message)

    peer.on("datachannel", on_channel)
    offer = await asyncio.to_thread(pipe.recv)
    await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await peer.setLocalDescription(await peer.createAnswer())
    pipe.send(peer.localDescription.sdp)
    await asyncio.to_thread(pipe.recv)
    await peer.close()


def run_receiver(pipe: "Connection[str, str]", size: int) -> None:
    """Be the other process."""
    asyncio.run(receive(pipe, size))


def main(size: int) -> None:
    """Measure once."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run_receiver, args=(theirs, size))
    process.start()
    seconds = asyncio.run(send(ours, size))
    process.join()
    print(json.dumps({"event": "done", "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
