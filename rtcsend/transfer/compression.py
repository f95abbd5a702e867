"""Frames made smaller on their way, where that makes a transfer faster. zstd, RFC 8878.

Each frame is packed by itself, at the last moment before the channel and the first one after it. So
everything else (blocks, digests, windows, resuming, progress) counts plain bytes, nothing is
kept from one frame to the next, and what a packed frame becomes is known to be a frame.

When it is worth it: while it takes a small share of the time. On a slow path the sender mostly
waits, and packs meanwhile; on one that is faster than the packing it would be the other way round,
so there frames go as they are, until the path is seen to be much slower than that. Whether content
shrinks is tried on single frames, ever more seldom while it does not: zstd gives random bytes up
at 2 GB/s. It runs where the frame is at hand: one takes it 0.1 to 0.2 ms, about what it takes to
hand it to a thread and back.

Pure; the clock is handed in. Place in the flow: between :mod:`rtcsend.transfer.sending` and the
frames; the receiving machine unpacks. Source: docs/transfer-protocol.md §4.
"""

import importlib
import sys
from collections.abc import Callable
from typing import Any, Final

from rtcsend.errors import PeerProtocolError
from rtcsend.options import Compress
from rtcsend.transfer.frames import MAX_PAYLOAD
from rtcsend.transfer.rate import METER_WINDOW, RateMeter

LEVEL: Final = 1  # the fastest but those that find next to nothing
SMALLEST: Final = 256  # bytes of a piece that is worth trying
ENOUGH: Final = 7 / 8  # of the plain size; more is no gain
FIRST_PAUSE: Final = 256 * 1024  # bytes that go plain after a piece that did not shrink,
LONGEST_PAUSE: Final = 4 << 20  # then twice as many each time
WINDOW_LOG: Final = 16  # a frame's content is its window: 64 KiB, RFC 8878 §3.1.1.1.2
LARGEST_SHARE: Final = 1 / 3  # of the time, for packing; with more it might be what others wait for
ALLOWANCE: Final = 0.03  # seconds of packing besides, to fill what is between here and the path
AGAIN_BELOW: Final = 1 / 4  # of what packing could give out, for the path to be slow
USUAL_SPEED: Final = 200e6  # bytes per second that packing takes in, before any was timed
USUAL_RATIO: Final = 0.5  # of packed to plain, before anything was packed
_SMOOTHING: Final = 1 / 8  # of each new figure in the average
_PACKAGE: Final = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


def load() -> bool:
    """Import zstd; return whether it is there. Without it nothing is packed, and nothing asked."""
    try:
        importlib.import_module(_PACKAGE)
    except ImportError:  # no wheel for this machine
        return False
    return True


def pack(plain: memoryview) -> bytes:
    """Return a zstd frame of ``plain``, with its size in the header and no checksum."""
    zstd = _zstd()
    parameters = zstd.CompressionParameter
    packer = zstd.ZstdCompressor(
        options={parameters.compression_level: LEVEL, parameters.checksum_flag: 0}
    )
    packed: bytes = packer.compress(plain, packer.FLUSH_FRAME)
    return packed


def unpack_untrusted(packed: memoryview) -> memoryview:
    """Return what one zstd frame stands for: 1 to MAX_PAYLOAD bytes, and never more are made.

    Raises:
        PeerProtocolError: It is damaged, cut off, not alone, or does not say its size and keep it.
    """
    zstd = _zstd()
    try:
        size = zstd.get_frame_info(packed).decompressed_size
        if size is None or not 0 < size <= MAX_PAYLOAD:
            raise PeerProtocolError("The other side sent a packed frame of an impossible size.")
        options = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG}
        unpacker = zstd.ZstdDecompressor(options=options)
        plain = unpacker.decompress(packed, max_length=size)
    except zstd.ZstdError as exc:
        raise PeerProtocolError("The other side sent a packed frame that is damaged.") from exc
    if len(plain) != size or not unpacker.eof or unpacker.unused_data:
        raise PeerProtocolError("The other side sent a packed frame that is not whole.")
    return memoryview(plain)


class Packer:
    """Decides frame by frame, for one connection.

    Args:
        mode: What the user wants; not NEVER.
        clock: Seconds, to time the packing.
    """

    def __init__(self, mode: Compress, *, clock: Callable[[], float]) -> None:
        self._mode = mode
        self._clock = clock
        self._started = clock()
        self._path = RateMeter()  # in bytes that the channel has taken
        self._carried = 0
        self._packing = (
            RateMeter()
        )  # in microseconds of packing: so it is their share, in millionths
        self._packed_for = 0.0  # seconds
        self._speed = USUAL_SPEED
        self._ratio = USUAL_RATIO
        self.is_packing = True
        """Whether it is worth it at present, as far as the path goes."""
        self._pause = 0
        self._next_pause = FIRST_PAUSE

    def pack(self, plain: memoryview) -> bytes | None:
        """Return a smaller form of ``plain``; None: it is better to go as it is."""
        if len(plain) < SMALLEST:
            return None
        if self._pause > 0 and self._mode is not Compress.ALWAYS:
            self._pause -= len(plain)
            return None
        before = self._clock()
        packed = pack(plain)
        return self._judged(packed, len(plain), seconds=self._clock() - before)

    def carried(self, size: int) -> None:
        """The channel has taken so many bytes of frames."""
        now = self._clock()
        self._carried += size
        path = self._path.update(self._carried, now=now)
        share = self._packing.update(int(self._packed_for * 1e6), now=now) / 1e6
        if self._mode is Compress.ALWAYS:
            return
        if self.is_packing:
            seconds = min(now - self._started, METER_WINDOW)  # that the share is of
            self.is_packing = share * seconds <= LARGEST_SHARE * seconds + ALLOWANCE
        else:
            self.is_packing = path < self._speed * self._ratio * AGAIN_BELOW

    def _judged(self, packed: bytes, size: int, *, seconds: float) -> bytes | None:
        self._packed_for += seconds
        ratio = len(packed) / size
        if ratio >= (1 if self._mode is Compress.ALWAYS else ENOUGH):
            self._pause = self._next_pause
            self._next_pause = min(2 * self._next_pause, LONGEST_PAUSE)
            return None
        self._pause, self._next_pause = 0, FIRST_PAUSE
        self._ratio += (ratio - self._ratio) * _SMOOTHING
        if seconds > 0:
            self._speed += (size / seconds - self._speed) * _SMOOTHING
        return packed


def _zstd() -> Any:
    return sys.modules[_PACKAGE]
