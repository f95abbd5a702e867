"""The folders on the way to what comes next: each is opened once, in the order of a walk [shell].

Only plain blocking calls.
"""

from rtcsend.files.folder import Folder


class OpenFolders:
    """A chain of open folders, from a top one downwards.

    Args:
        top: Not closed here.
        create: Whether to make folders that are missing.
    """

    def __init__(self, top: Folder, *, create: bool) -> None:
        self._create = create
        self._components: tuple[str, ...] = ()
        self._chain = [top]

    def enter(self, components: tuple[str, ...]) -> Folder:
        """Return the folder that these components lead to; it is closed here, not by the caller.

        Raises:
            UnsafePath: One of them is a symbolic link.
            OSError: One of them is missing or no folder, or cannot be made.
        """
        if components == self._components:
            return self._chain[-1]
        shared = 0
        for ours, theirs in zip(self._components, components, strict=False):
            if ours != theirs:
                break
            shared += 1
        self._leave(shared)
        for name in components[shared:]:
            below = self._chain[-1].open_subfolder((name,), create=self._create, sync=False)
            self._chain.append(below)
            self._components = (*self._components, name)
        return self._chain[-1]

    def close(self) -> None:
        """Close all but the top one. May be called again."""
        self._leave(0)

    def _leave(self, depth: int) -> None:
        self._components = self._components[:depth]
        while len(self._chain) > depth + 1:
            self._chain.pop().close()
