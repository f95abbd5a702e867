"""The two ends of a measurement, each to run in a process of its own, memory to memory.

Two kinds: rtcsend's own peer connection and data path, as the engine puts them together, and
an ``RTCPeerConnection`` of plain aiortc on asyncio's own event loop. Descriptions travel
through a pipe; there is no rendezvous, no file and no digest. Both kinds move messages of
64 KiB over one DataChannel, as many as ``bufferedAmount`` lets; ours are a little shorter, so
that they fill whole packets, as the frames of a transfer are.

The receiver counts from the first message on, for the seconds that it was given, and then
tells the sender through the pipe that it is enough. What has arrived counts, not what was sent.

Place in the flow: run by :mod:`rtcsend.cli.bench_run`.
"""

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rtcsend.cli.memory import tune_memory
from rtcsend.errors import InternalError
from rtcsend.transfer.frames import FRAME_HEADER, payload_filling

if TYPE_CHECKING:
    from aiortc import RTCPeerConnection

    from rtcsend.datapath.channel import Channels
    from rtcsend.pairing.keys import Role
    from rtcsend.peer.connection import PeerConnection

MESSAGE: Final = 65_536  # bytes; what a frame of a transfer holds at most
FRAME: Final = MESSAGE - FRAME_HEADER.size  # bytes of payload
HIGH_WATER: Final = 1 << 20  # bytes of bufferedAmount; the same as rtcsend.datapath.channel has
LOW_WATER: Final = 1 << 19
TURN: Final = 8  # messages after which the event loop has a turn, should nothing have waited
SET_UP_TIMEOUT: Final = 30.0  # seconds for everything besides the measurement

Link = Any
"""A ``multiprocessing.connection.Connection``: generic for mypy only since Python 3.13."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What one end saw: bytes (nothing, for the sender), seconds, and CPU seconds in them."""

    size: int
    seconds: float
    cpu: float


class Meter:
    """Counts what arrives, for some seconds from the first message on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._size = 0
        self._started: float | None = None
        self._cpu = 0.0
        self.moved: Moved | None = None

    def count(self, size: int) -> bool:
        """Count a message; return whether that was enough."""
        now = time.perf_counter()
        if self._started is None:
            self._started, self._cpu = now, time.process_time()
            return False  # its bytes were sent before the clock started
        self._size += size
        elapsed = now - self._started
        if elapsed < self._seconds:
            return False
        if self.moved is None:
            cpu = time.process_time() - self._cpu
            self.moved = Moved(size=self._size, seconds=elapsed, cpu=cpu)
        return True


# Our own


def own_sender(link: Link, _seconds: float, max_packet: int | None = None) -> Moved:
    """Be the sending end on our own data path.

    Args:
        link: To the receiving end.
        max_packet: Bytes of the largest SCTP packet; None: whatever the path takes.
    """
    return _run_own(_send_own(link, max_packet))


def own_receiver(link: Link, seconds: float, max_packet: int | None = None) -> Moved:
    """Be the receiving end on our own data path; see :func:`own_sender`."""
    return _run_own(_receive_own(link, Meter(seconds), max_packet))


def _run_own(work: Coroutine[Any, Any, Moved]) -> Moved:
    from rtcsend.datapath.loop import new_event_loop  # noqa: PLC0415 - only where it is needed

    tune_memory()  # as the commands do
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


async def _send_own(link: Link, max_packet: int | None) -> Moved:
    from rtcsend.pairing.keys import Role  # noqa: PLC0415 - see above

    peer, channels = await _connect_own(Role.SENDER, link, max_packet)
    try:
        return await _feed(
            link,
            channels.send_data,
            size=lambda: (
                FRAME_HEADER.size + payload_filling(channels.packet_payload, largest=FRAME)
            ),
        )
    finally:
        await peer.close()


async def _receive_own(link: Link, meter: Meter, max_packet: int | None) -> Moved:
    from rtcsend.pairing.keys import Role  # noqa: PLC0415 - see above

    peer, channels = await _connect_own(Role.RECEIVER, link, max_packet)
    try:
        while not meter.count(len(await channels.receive())):
            pass
        await _end_sending(link)
    finally:
        await peer.close()
    assert meter.moved is not None, "it was enough"
    return meter.moved


async def _connect_own(
    role: "Role", link: Link, max_packet: int | None
) -> "tuple[PeerConnection, Channels]":
    """Connect, the other side's description and candidates coming through the pipe.

    Raises:
        InternalError: Private names that our data path needs have moved.
        NoRoute: The two processes cannot reach each other.
        TimeoutError: It takes too long.
    """
    from rtcsend.datapath.batched import BatchedPath  # noqa: PLC0415 - see above
    from rtcsend.datapath.channel import Channels  # noqa: PLC0415
    from rtcsend.datapath.choice import missing_names  # noqa: PLC0415
    from rtcsend.options import RoutePolicy  # noqa: PLC0415
    from rtcsend.pairing.keys import Role  # noqa: PLC0415
    from rtcsend.peer.connection import PeerConnection  # noqa: PLC0415

    if missing := missing_names():
        raise InternalError(f"The data path cannot run, since {', '.join(missing)} moved.")
    peer = PeerConnection(
        role,
        ice_servers=(),
        route=RoutePolicy.DIRECT_ONLY,
        make_path=lambda dtls, ice: BatchedPath(dtls, ice, own_peer=True, max_packet=max_packet),
    )
    try:
        channels = Channels(peer.path)
        candidates = [candidate async for candidate in peer.gather()]
        kind = "offer" if role is Role.SENDER else "answer"
        link.send((peer.local_description(kind), candidates))  # type: ignore[arg-type]  # a Literal
        async with asyncio.timeout(SET_UP_TIMEOUT):
            remote, theirs = await _receive_object(link)
            for candidate in (*theirs, None):
                await peer.add_remote_candidate(candidate)
            await peer.connect(remote)
    except BaseException:
        await peer.close()
        raise
    return peer, channels


# Plain aiortc


def aiortc_sender(link: Link, _seconds: float) -> Moved:
    """Be the sending end on plain aiortc."""
    return asyncio.run(_send_aiortc(link))


def aiortc_receiver(link: Link, seconds: float) -> Moved:
    """Be the receiving end on plain aiortc."""
    return asyncio.run(_receive_aiortc(link, Meter(seconds)))


async def _send_aiortc(link: Link) -> Moved:
    from aiortc import RTCSessionDescription  # noqa: PLC0415 - see above

    peer = _aiortc_peer()
    try:
        channel = peer.createDataChannel("data")
        channel.bufferedAmountLowThreshold = LOW_WATER
        opened, drained = asyncio.Event(), asyncio.Event()
        channel.on("open", opened.set)
        channel.on("bufferedamountlow", drained.set)
        await peer.setLocalDescription(await peer.createOffer())
        link.send(peer.localDescription.sdp)
        async with asyncio.timeout(SET_UP_TIMEOUT):
            answer = RTCSessionDescription(await _receive_object(link), "answer")
            await peer.setRemoteDescription(answer)
            await opened.wait()

        async def send(message: bytes) -> None:
            while channel.bufferedAmount > HIGH_WATER:
                drained.clear()
                await drained.wait()
            channel.send(message)

        return await _feed(link, send, size=lambda: MESSAGE)
    finally:
        await peer.close()


async def _receive_aiortc(link: Link, meter: Meter) -> Moved:
    from aiortc import RTCDataChannel, RTCSessionDescription  # noqa: PLC0415 - see above

    peer = _aiortc_peer()
    enough = asyncio.Event()

    def on_message(message: bytes) -> None:
        if meter.count(len(message)):
            enough.set()

    def on_channel(channel: RTCDataChannel) -> None:
        channel.on("message", on_message)

    try:
        peer.on("datachannel", on_channel)
        offer = await _receive_object(link)
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        link.send(peer.localDescription.sdp)
        await enough.wait()
        await _end_sending(link)
    finally:
        await peer.close()
    assert meter.moved is not None, "it was enough"
    return meter.moved


def _aiortc_peer() -> "RTCPeerConnection":
    from aiortc import RTCConfiguration, RTCPeerConnection  # noqa: PLC0415 - see above

    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


# Both


async def _feed(
    link: Link, send: Callable[[bytes], Awaitable[None]], *, size: Callable[[], int]
) -> Moved:
    """Send messages of ``size()`` until the other end says that it is enough, and answer that."""
    whole = os.urandom(MESSAGE)

    async def pump() -> None:
        message = whole
        while True:
            if len(message) != (wanted := size()):
                message = whole[:wanted]
            await send(message)
            if (sent := next(count)) % TURN == 0 and sent:
                await asyncio.sleep(0)

    count = itertools.count()
    started, cpu = time.perf_counter(), time.process_time()
    pumping = asyncio.create_task(pump())
    enough = asyncio.create_task(_receive_object(link))
    await asyncio.wait((pumping, enough), return_when=asyncio.FIRST_COMPLETED)
    moved = Moved(size=0, seconds=time.perf_counter() - started, cpu=time.process_time() - cpu)
    if pumping.done():
        pumping.result()  # it only ends by an error
    pumping.cancel()
    link.send("done")
    return moved


async def _end_sending(link: Link) -> None:
    """Tell the other end that it is enough, and stay connected until it has heard."""
    link.send("enough")
    await _receive_object(link)


async def _receive_object(link: Link) -> Any:
    """Wait for something in the pipe, in a thread that nobody waits for at the end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def deliver(result: object, error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def read() -> None:
        result, error = None, None
        try:
            result = link.recv()
        except (EOFError, OSError):
            error = InternalError("The other process of the measurement is gone.")
        with suppress(RuntimeError):  # the loop is closed: nobody wants it any more
            loop.call_soon_threadsafe(deliver, result, error)

    threading.Thread(target=read, name="rtcsend-bench", daemon=True).start()
    return await future
