"""What a script's own options accept without anybody being asked [pure]."""

import fnmatch

from rtcsend.errors import Declined
from rtcsend.options import ReceiveOptions


def check_limits(options: ReceiveOptions, *, files: int, size: int) -> None:
    """Hold a proposal against ``--max-size`` and ``--max-files``.

    Args:
        options: With the limits.
        files: How many there are; links and folders with nothing in them count as well.
        size: Of all files, in bytes.

    Raises:
        Declined: It is more.
    """
    if options.max_size is not None and size > options.max_size:
        raise Declined(
            f"The proposal has {size} bytes, and at most {options.max_size} are accepted.",
            hint="Give a larger --max-size, or none.",
        )
    if options.max_files is not None and files > options.max_files:
        raise Declined(
            f"The proposal has {files} files, and at most {options.max_files} are accepted.",
            hint="Give a larger --max-files, or none.",
        )


def check_name(options: ReceiveOptions, path: str, name: str) -> None:
    """Hold a file against ``--accept-glob``: its name or its path has to match.

    Raises:
        Declined: It matches no pattern.
    """
    globs = options.accept_glob
    if globs and not any(
        fnmatch.fnmatchcase(name, glob) or fnmatch.fnmatchcase(path, glob) for glob in globs
    ):
        raise Declined(
            f"{path} matches none of the patterns that are accepted.",
            hint="Give another --accept-glob, or none.",
        )
