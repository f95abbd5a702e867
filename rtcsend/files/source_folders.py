"""The folders on the way to the files that are read: each is opened once, in their order [shell].

What was named on the command line is the user's own, and may be a symbolic link. Below it each
folder is opened relative to the one above, and unless links are followed, no link is: one that
takes a folder's place after the scan leads nowhere. On Windows, which has no descriptors of
folders, they are looked up by their paths.

Plain blocking calls. Place in the flow: under :mod:`rtcsend.files.tree_reader`.
"""

import os
from collections.abc import Mapping
from typing import Final

_FLAGS: Final[int] = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_FOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)
_HAS_DIR_FD: Final = os.open in os.supports_dir_fd


class SourceFolders:
    """A chain of open folders, from one that was named downwards.

    Args:
        roots: Where the things at the top are, by their names in the manifest.
        follows: Whether links below them are followed.
    """

    def __init__(self, roots: Mapping[str, bytes], *, follows: bool) -> None:
        self._roots = roots
        self._flags = os.O_RDONLY | _FLAGS | (0 if follows else _NO_FOLLOW)
        self._components: list[str] = []
        self._chain: list[int] = []

    def enter(self, folder: str) -> tuple[str, int | None]:
        """Return what comes before names in a folder, and the descriptor that goes with it.

        Args:
            folder: Path in the manifest, as the scan has found it.

        Raises:
            OSError: It is not there any more, or something else is in its place.
        """
        components = folder.split("/")
        if not _HAS_DIR_FD:
            top, _, below = folder.partition("/")
            return os.path.join(self.root(top), below, ""), None  # noqa: PTH118 - bytes, once
        shared = 0
        for ours, theirs in zip(self._components, components, strict=False):
            if ours != theirs:
                break
            shared += 1
        self._leave(shared)
        for name in components[shared:]:
            if self._chain:
                fd = os.open(name, self._flags, dir_fd=self._chain[-1])
            else:
                fd = os.open(self.root(name), self._flags & ~_NO_FOLLOW)
            self._chain.append(fd)
            self._components.append(name)
        return "", self._chain[-1]

    def root(self, name: str) -> str:
        """Return where something at the top is."""
        return os.fsdecode(self._roots[name])

    def close(self) -> None:
        """Close them. May be called again."""
        self._leave(0)

    def _leave(self, depth: int) -> None:
        del self._components[depth:]
        while len(self._chain) > depth:
            os.close(self._chain.pop())
