"""Two ends of :mod:`benchmarks.prototype`, for :func:`rtcsend.cli.bench_run.measure`."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from benchmarks.prototype import Prototype
from rtcsend.cli.bench_ends import MESSAGE, Meter, Moved

HIGH_WATER = 2 << 20  # bytes that are queued


def prototype_sender(link: Any, _seconds: float) -> Moved:
    """Send until the other end has enough."""
    return asyncio.run(_send(link))


def prototype_receiver(link: Any, seconds: float) -> Moved:
    """Take what comes."""
    return asyncio.run(_receive(link, Meter(seconds)))


async def _send(link: Any) -> Moved:
    peer, channel = _peer()
    await peer.setLocalDescription(await peer.createOffer())
    link.send(peer.localDescription.sdp)
    answer = await asyncio.to_thread(link.recv)
    await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    low = asyncio.Event()
    path = await _taken_over(peer, channel, link, on_message=lambda _: None, on_low=low.set)
    message = os.urandom(MESSAGE)
    enough = asyncio.create_task(asyncio.to_thread(link.recv))
    started, cpu = time.perf_counter(), time.process_time()
    while not enough.done():
        if path.sending.queued > HIGH_WATER:
            low.clear()
            await low.wait()
        path.sending.send(message)
    moved = Moved(size=0, seconds=time.perf_counter() - started, cpu=time.process_time() - cpu)
    path.close()
    link.send("done")
    await peer.close()
    return moved


async def _receive(link: Any, meter: Meter) -> Moved:
    peer, channel = _peer()
    offer = await asyncio.to_thread(link.recv)
    await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await peer.setLocalDescription(await peer.createAnswer())
    link.send(peer.localDescription.sdp)
    enough = asyncio.Event()

    def on_message(message: bytes) -> None:
        if meter.count(len(message)):
            enough.set()

    path = await _taken_over(peer, channel, link, on_message=on_message, on_low=lambda: None)
    await enough.wait()
    link.send("enough")
    await asyncio.to_thread(link.recv)
    path.close()
    await peer.close()
    assert meter.moved is not None, "it was enough"
    return meter.moved


def _peer() -> tuple[RTCPeerConnection, RTCDataChannel]:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    return peer, peer.createDataChannel("data", negotiated=True, id=0)


async def _taken_over(
    peer: RTCPeerConnection,
    channel: RTCDataChannel,
    link: Any,
    *,
    on_message: Callable[[bytes], object],
    on_low: Callable[[], object],
) -> Prototype:
    """Return the path, when both sides have one."""
    opened = asyncio.Event()
    channel.on("open", opened.set)
    if channel.readyState != "open":
        await opened.wait()
    link.send("open")
    await asyncio.to_thread(link.recv)
    path = Prototype(peer, on_message=on_message, on_low=on_low)
    link.send("taken over")
    await asyncio.to_thread(link.recv)
    return path
