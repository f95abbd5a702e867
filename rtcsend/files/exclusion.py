"""What is left out of a folder that is sent: patterns of the user, and ``.gitignore`` files [pure].

Both are written as git writes them (gitignore(5)), and matched by the package pathspec, which
is tested against git itself: ``*`` stops at a slash, ``**/`` is any depth, a slash in front or
within binds a pattern to the folder it stands for, one at the end means folders only, ``!``
takes back. The user's patterns count as if they stood in the folder that is sent. What is left
out as a folder is not looked into, so nothing below it can be taken back: git does the same.

Place in the flow: :mod:`rtcsend.files.scan` asks about each name that it finds.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from rtcsend.errors import UsageError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".gitignore"
MAX_IGNORE_SIZE = 1 << 20  # bytes of one such file that are looked at; nobody writes so many


class Patterns:
    """The patterns that hold in one folder, and those of the folders above.

    Args:
        spec: Of this folder.
        prefix: Characters of a path, from the top, that name this folder; with its last slash.
        above: Asked when none of these says anything.
    """

    def __init__(self, spec: "GitIgnoreSpec", *, prefix: int, above: "Patterns | None") -> None:
        self._spec = spec
        self._prefix = prefix
        self._above = above

    @classmethod
    def of_user(cls, patterns: Iterable[str]) -> "Self | None":
        """Return the patterns of ``--exclude``; None when there are none.

        Raises:
            UsageError: One of them is not understood.
        """
        lines = list(patterns)
        if not lines:
            return None
        for line in lines:
            if not _is_understood(line):
                raise UsageError(
                    f"The pattern {line!r} is not understood.",
                    hint="Write it as in a .gitignore file, like '*.o', 'build/' or '/docs/**/x'.",
                )
        return cls(_spec_of(lines), prefix=0, above=None)

    @classmethod
    def of_ignore_file(cls, content: bytes, *, prefix: int, above: "Patterns | None") -> "Patterns":
        """Return the patterns in a folder with such a file; lines that mean nothing are left out.

        Args:
            content: Of the file.
            prefix: As for the class.
            above: As for the class.
        """
        text = content[:MAX_IGNORE_SIZE].decode("utf-8", "surrogateescape")
        lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
        spec = _spec_of(line for line in lines if _is_understood(line))
        return cls(spec, prefix=prefix, above=above)

    def leaves_out(self, path: str, *, is_folder: bool) -> bool:
        """Return whether what is at a path is left out; the folders above it are not.

        Args:
            path: From the top, components between slashes.
            is_folder: Whether it is a folder.
        """
        patterns: Patterns | None = self
        whole = f"{path}/" if is_folder else path
        while patterns is not None:
            said = patterns._spec.check_file(whole[patterns._prefix :]).include
            if said is not None:
                return said
            patterns = patterns._above
        return False


def _is_understood(line: str) -> bool:
    try:
        _spec_of([line])
    except ValueError:
        return False
    return True


def _spec_of(lines: Iterable[str]) -> "GitIgnoreSpec":
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - 30 modules, and few leave anything out

    return GitIgnoreSpec.from_lines(lines)
