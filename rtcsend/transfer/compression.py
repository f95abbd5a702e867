"""Frames made smaller on their way, where that makes a transfer faster. zstd, RFC 8878.

Each frame is packed by itself, at the last moment before the channel and the first one after it. So
everything else (blocks, digests, windows, resuming, progress) counts plain bytes, nothing is
kept from one frame to the next, and what a packed frame becomes is known to be a frame.

When it is worth it is :mod:`~rtcsend.transfer.packing_choice`'s matter. Whether content shrinks is
tried on single frames, ever more seldom while it does not: zstd gives random bytes up at 2 GB/s. It
runs where the frame is at hand: one takes it 0.1 to 0.2 ms, about what it takes to hand it to a
thread and back.

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
from rtcsend.transfer.packing_choice import PackingChoice

LEVEL: Final = 1  # the fastest but those that find next to nothing
SMALLEST: Final = 256  # bytes of a piece that is worth trying
ENOUGH: Final = 7 / 8  # of the plain size; more is no gain
FIRST_PAUSE: Final = 256 * 1024  # bytes that go plain after a piece that did not shrink,
LONGEST_PAUSE: Final = 4 << 20  # then twice as many each time
WINDOW_LOG: Final = 16  # a frame's content is its window: 64 KiB, RFC 8878 §3.1.1.1.2
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
        self._clock = clock
        self._choice = None if mode is Compress.ALWAYS else PackingChoice(now=clock())
        self._pause = 0
        self._next_pause = FIRST_PAUSE

    @property
    def is_packing(self) -> bool:
        """Whether it is worth it at present, as far as the path goes."""
        return self._choice is None or self._choice.is_packing

    def pack(self, plain: memoryview) -> bytes | None:
        """Return a smaller form of ``plain``; None: it is better to go as it is."""
        if len(plain) < SMALLEST:
            return None
        if self._pause > 0 and self._choice is not None:
            self._pause -= len(plain)
            return None
        before = self._clock()
        packed = pack(plain)
        return self._judged(packed, len(plain), seconds=self._clock() - before)

    def sent(self, size: int) -> None:
        """The channel has taken frames of so many plain bytes."""
        if self._choice is not None:
            self._choice.sent(size, now=self._clock())

    def acknowledged(self, count: int) -> None:
        """The receiver has written so many plain bytes, of all that were sent here."""
        if self._choice is not None:
            self._choice.acknowledged(count, now=self._clock())

    def _judged(self, packed: bytes, size: int, *, seconds: float) -> bytes | None:
        if self._choice is not None:
            self._choice.timed(size, seconds)
        if len(packed) / size >= (1 if self._choice is None else ENOUGH):
            self._pause = self._next_pause
            self._next_pause = min(2 * self._next_pause, LONGEST_PAUSE)
            return None
        self._pause, self._next_pause = 0, FIRST_PAUSE
        return packed


def _zstd() -> Any:
    return sys.modules[_PACKAGE]
