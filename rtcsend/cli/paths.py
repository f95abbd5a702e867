"""Paths as options take them: an empty one is a variable that is not set, and no folder.

``Path("")`` is the current folder, so that ``-o "$INBOX"`` would save wherever a script happens to
be.
"""

from collections.abc import Callable
from pathlib import Path

from rtcsend.errors import UsageError


def path_for(option: str, *, hint: str = "Give it a file.") -> Callable[[str], Path]:
    """Return what reads the path of an option.

    Args:
        option: Its name.
        hint: What to do where the path is empty.

    Raises:
        UsageError: It is; raised by what is returned.
    """

    def read(text: str) -> Path:
        if not text:
            raise UsageError(f"{option} takes a path, and an empty one was given.", hint=hint)
        return Path(text)

    return read
