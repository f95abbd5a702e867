"""A manifest that comes from the other side, page by page. Pure.

Everything that a proposal has said about it is checked before anybody is asked: numbers, sums,
order, and the digest. Memory: that of the manifest, which is bounded.
"""

import zlib

from rtcsend.errors import PeerProtocolError
from rtcsend.manifest.entry import ALONE
from rtcsend.manifest.manifest import (
    MAX_MANIFEST_SIZE,
    MAX_UNPACKED_SIZE,
    PAGE_COSTS,
    Manifest,
)
from rtcsend.manifest.outline import Outline
from rtcsend.manifest.page import MAX_PAGE_SIZE, parse_page_untrusted
from rtcsend.manifest.siblings import Siblings


class ManifestReader:
    """Takes the pages; then :attr:`manifest` is the whole.

    Args:
        entries: How many were proposed.
        files: How many of them are files.
        size: Their bytes.
        digest: Of the pages.
    """

    def __init__(self, *, entries: int, files: int, size: int, digest: str) -> None:
        self._entries = entries
        self._files = files
        self._size = size
        self._digest = digest
        self._outline = Outline()
        self.manifest = Manifest()

    @property
    def is_complete(self) -> bool:
        """Whether all entries have come."""
        return len(self.manifest) == self._entries

    def add_untrusted(self, first: int, compressed: bytes) -> None:
        """Take the next page.

        Args:
            first: Number of its first entry.
            compressed: The page, in zlib's format (RFC 1950).

        Raises:
            PeerProtocolError: It is malformed, not the next one, too much, or does not add up.
            UnsafePath: An entry has a path that is none.
        """
        manifest = self.manifest
        if first != len(manifest) or self.is_complete:
            raise PeerProtocolError("The sender sent the pages of its proposal in disorder.")
        if manifest.stored + len(compressed) + PAGE_COSTS > MAX_MANIFEST_SIZE:
            raise PeerProtocolError("The sender proposes too much at once.")
        page = _unpack_untrusted(compressed)
        if manifest.unpacked + len(page) > MAX_UNPACKED_SIZE:
            raise PeerProtocolError("The sender proposes too much at once.")
        groups = parse_page_untrusted(page)
        count = sum(len(group.names) for group in groups)
        if not 0 < count <= self._entries - first:
            raise PeerProtocolError("The sender sent another number of entries than it proposed.")
        for group in groups:
            self._take_untrusted(group)
        manifest.append_page(page, compressed, groups)
        self._check_sums()

    def _take_untrusted(self, group: Siblings) -> None:
        if group.kind in ALONE and self._entries > 1:
            raise PeerProtocolError("The sender proposes a stream or a text together with others.")
        self._outline.add_untrusted(group)

    def _check_sums(self) -> None:
        manifest = self.manifest
        if manifest.files > self._files or manifest.bytes > self._size:
            raise PeerProtocolError("The sender sent entries of more than it proposed.")
        if self.is_complete and (
            (manifest.files, manifest.bytes) != (self._files, self._size)
            or manifest.digest != self._digest
        ):
            raise PeerProtocolError("What the sender proposes does not add up.")


def _unpack_untrusted(compressed: bytes) -> bytes:
    decompressor = zlib.decompressobj()
    try:
        page = decompressor.decompress(compressed, MAX_PAGE_SIZE + 1)
    except zlib.error as exc:
        raise PeerProtocolError("The other side sent a malformed page.") from exc
    if len(page) > MAX_PAGE_SIZE or not decompressor.eof or decompressor.unused_data:
        raise PeerProtocolError("The other side sent a malformed page.")
    return page
