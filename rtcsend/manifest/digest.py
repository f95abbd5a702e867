"""The digest of a transfer: of the one file, or of the list of all files. Pure.

Source: docs/transfer-protocol.md §6.
"""

from collections.abc import Sequence

from blake3 import blake3

from rtcsend.manifest.entry import path_bytes


class ListDigest:
    """BLAKE3 of the lines ``DIGEST  PATH`` of the files in the order of the stream."""

    def __init__(self) -> None:
        self._hash = blake3()

    def add(self, digest: str, path: str) -> None:
        """Take the next file.

        Args:
            digest: Its BLAKE3, in lower-case hexadecimal.
            path: As it is in the manifest.
        """
        self._hash.update(b"%s  %s\n" % (digest.encode(), path_bytes(path)))

    def add_all(self, lines: Sequence[str]) -> None:
        """Take the next files.

        Args:
            lines: Of each its digest, two blanks, its path, and a line feed.
        """
        try:
            data = "".join(lines).encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            data = b"".join(map(path_bytes, lines))
        self._hash.update(data)

    def hexdigest(self) -> str:
        """Return the digest of the lines so far, in lower-case hexadecimal."""
        return self._hash.hexdigest()
