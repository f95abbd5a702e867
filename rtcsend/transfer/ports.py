"""What a transfer needs from its neighbours, so that it depends on neither.

The data path before it and the files after it fulfil these protocols; tests put fakes in
their place.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rtcsend.blocks import Data
from rtcsend.events import Event
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.selection import Selection
from rtcsend.manifest.sums import FileSums


class Channels(Protocol):
    """The control and the data channel: :class:`rtcsend.datapath.channel.Channels`."""

    @property
    def heard_at(self) -> float:
        """When anything last came from the other side, messages or less: the loop's time."""
        ...

    @property
    def packet_payload(self) -> int:
        """Bytes of a message that one packet carries at present; 0 when nobody knows."""
        ...

    async def send_control(self, text: str) -> None:
        """Queue a control message; waits while a few of them are queued."""
        ...

    async def send_frames(self, frames: Sequence[bytes]) -> None:
        """Queue frames, in order; waits while too much is queued."""
        ...

    async def receive_all(self) -> Sequence[str | bytes]:
        """Return the control messages (text) and frames (bytes) that have come, at least one."""
        ...

    async def wait_closed(self) -> None:
        """Return when the other side, or the network, has ended the connection."""
        ...


class Source(Protocol):
    """What is sent: the stream of the files that are wanted of a manifest."""

    @property
    def manifest(self) -> Manifest:
        """What is there to be sent; closed."""
        ...

    def blocks(self, selection: Selection, *, start: int) -> AsyncGenerator[tuple[int, Data], None]:
        """Yield (position, data) from ``start`` of the stream to its end.

        Each piece ends where a block ends, and may hold many whole ones: some MiB at most. Small
        files share pieces. What has no blocks comes as soon as it is there, however little. When
        the last is taken, all that was read is known to be as it was proposed. May be called
        again when an earlier iterator is closed or was cancelled.

        Args:
            selection: Of the manifest; always the same.
            start: Position in the stream; at most what was given out before.
        """
        ...

    def release(self, position: int) -> None:
        """Take note that the receiver has written everything before ``position``.

        Of what cannot be read a second time, nothing before it has to be kept any more.
        """
        ...

    async def digest(self) -> str:
        """Return the digest of the stream, once all is given out: 64 hexadecimal digits.

        BLAKE3 of the one file when :attr:`Manifest.is_one_file`; else
        :class:`rtcsend.manifest.digest.ListDigest` of the files in the stream.
        """
        ...

    def sums(self) -> FileSums | None:
        """Return checksums of the files' digests, once all is given out; None: there is one."""
        ...


class Sink(Protocol):
    """Where the stream goes. All positions are of the stream, and blocks those of its layout.

    One call at a time, except that :meth:`survey` goes on beside the others. Whoever cancels
    a call finds the sink usable: what :meth:`write` was given is taken, and may be flushed.
    """

    @property
    def selection(self) -> Selection:
        """What is wanted: the same from the beginning on, something at least."""
        ...

    @property
    def written(self) -> int:
        """Position before which everything is in place: kept, or with the operating system."""
        ...

    @property
    def stored(self) -> int:
        """Bytes that came by :meth:`write` and are with the operating system; never less."""
        ...

    @property
    def blocks(self) -> int:
        """End (exclusive) of the blocks of which an earlier run may have left any; 0: none."""
        ...

    @property
    def is_held(self) -> bool:
        """Whether whoever takes what is written takes nothing now: a pager, say, at a pipe's end.

        He may stand still for as long as he likes. A slow disk is no such thing.
        """
        ...

    def survey(self, first: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield (block, digests) of what an earlier run has left whole, from ``first`` on.

        The digests are those of consecutive blocks, DIGEST_BYTES bytes each, at most PAGE_BLOCKS
        at once. Blocks ascend; those that are left out are not there, and need not be mentioned.
        May be called again when an earlier iterator is closed or was cancelled; blocks before
        :attr:`written` are not asked for any more.
        """
        ...

    async def write(self, data: Data) -> None:
        """Append to the stream; may collect. Comes in pieces of up to a MiB, cut anywhere."""
        ...

    async def keep(self, position: int) -> None:
        """Take everything up to ``position``, the end of a block, for right as it is.

        All blocks on the way were given out by :meth:`survey`.
        """
        ...

    async def flush(self) -> None:
        """Hand over what is collected."""
        ...

    async def watch(self) -> None:
        """Raise when it is known that nothing more can be written, though nothing is.

        Goes on beside the other calls, and may return at once where that cannot be known.
        """
        ...

    async def finish(self, expected_digest: str, sums: FileSums | None = None) -> Sequence[Path]:
        """Verify the digest (see :meth:`Source.digest`), sync, move everything into place.

        Args:
            expected_digest: What the sender says.
            sums: Of the digests of its files, if it says them, to find out which is damaged.

        Returns:
            The paths of what is at the top, in the order of the manifest.

        Raises:
            DigestMismatch: It is another.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What the sender proposes, all of it; as it says: unsafe until checked."""

    sender: str
    """Host name that the sender gives itself."""
    manifest: Manifest


Decide = Callable[[Offer], Coroutine[Any, Any, Sink | None]]
"""Decides about an offer: where it goes, or None when nothing of it is wanted; raises to decline.
"""

Clock = Callable[[], float]
"""Monotonic seconds: the event loop's ``time``."""

Emit = Callable[[Event], None]
"""Where events for the user go; called on the event loop."""

Entropy = Callable[[int], bytes]
"""So many random bytes: ``os.urandom``."""
