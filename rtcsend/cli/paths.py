"""Paths as options take them, before ``Path`` has forgotten how they were written.

``Path("")`` is the current folder, so that ``-o "$INBOX"`` would save wherever a script happens to
be; and ``Path("inbox/")`` is any name, so that a file would become ``inbox`` where there is none.
"""

import os
from collections.abc import Callable
from pathlib import Path

from rtcsend.errors import CannotWrite, UsageError


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


def output_path(text: str) -> Path:
    """Return where to save.

    Raises:
        UsageError: It is empty.
        CannotWrite: It ends with a slash, and there is no such folder, as far as can be seen.
    """
    path = path_for("--output", hint="Write . to save in the folder that you are in.")(text)
    # Path.is_dir raises behind a closed folder, and for a name that is too long.
    if text.endswith("/") and not os.path.isdir(path):  # noqa: PTH112
        raise CannotWrite(
            f"The folder {path} does not exist.", hint="Make it, or give another --output."
        )
    return path
