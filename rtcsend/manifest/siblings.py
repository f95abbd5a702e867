"""Entries of a manifest that come one after the other and have much in common. Pure.

They are of one kind, in one folder, with the same permission bits. So what is to be said, checked
or done once for a folder is not repeated for each of the thousand files in it: whoever has
a million entries to walk through walks through these.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress, repeat
from typing import Any, NamedTuple

from rtcsend.manifest.entry import SIZED, WITH_CONTENT, Kind, ManifestEntry, path_bytes


class Siblings(NamedTuple):
    """Some entries in columns; each column is empty or has as many items as :attr:`names`.

    ``folder``, ``names`` and ``targets`` are as the sender says: unsafe until checked. What is
    no valid UTF-8 in them is as in :class:`~rtcsend.manifest.entry.ManifestEntry`.
    """

    folder: str
    """Path of the folder that they are in; empty at the top."""
    kind: Kind
    names: list[str]
    """In it; at least one."""
    mode: int | None
    """Permission bits of each; None: not known."""
    sizes: list[int]
    """Bytes, of files and texts."""
    mtimes_ns: list[int]
    """Times of the last change, in nanoseconds since 1970; none: not known."""
    targets: list[str]
    """Of links."""
    samples: list[str]
    """Of files; none: not known."""

    @property
    def prefix(self) -> str:
        """What comes before a name in its path."""
        return f"{self.folder}/" if self.folder else ""

    @property
    def has_content(self) -> bool:
        """Whether they are of a kind that has bytes."""
        return self.kind in WITH_CONTENT

    def entries(self) -> Iterator[ManifestEntry]:
        """Yield each by itself."""
        prefix = self.prefix
        columns = zip(
            self.names,
            self.sizes or repeat(0),
            self.mtimes_ns or repeat(None),
            self.targets or repeat(""),
            self.samples or repeat(""),
            strict=False,
        )
        for name, size, mtime_ns, target, sample in columns:
            path = prefix + name
            yield ManifestEntry(path, self.kind, size, self.mode, mtime_ns, target, sample)

    def chosen(self, flags: Iterable[object]) -> "Siblings":
        """Return those whose flag is true."""
        is_chosen = list(flags)
        return self._with(lambda column: list(compress(column, is_chosen)))

    def since(self, first: int) -> "Siblings":
        """Return all but the first so many."""
        return self._with(lambda column: column[first:]) if first else self

    def _with(self, change: Callable[[list[Any]], list[Any]]) -> "Siblings":
        return self._replace(
            names=change(self.names),
            sizes=change(self.sizes),
            mtimes_ns=change(self.mtimes_ns),
            targets=change(self.targets),
            samples=change(self.samples),
        )


def siblings_of(entry: ManifestEntry) -> Siblings:
    """Return a single entry as what it is among others."""
    folder, _, name = entry.path.rpartition("/")
    if not folder:  # "/x" is no name, and must not become one
        name = entry.path
    return Siblings(
        folder,
        entry.kind,
        [name],
        entry.mode,
        [entry.size] if entry.kind in SIZED else [],
        [] if entry.mtime_ns is None else [entry.mtime_ns],
        [entry.target] if entry.kind == "link" else [],
        [entry.sample] if entry.sample else [],
    )


def are_unicode(names: Sequence[str]) -> bool:
    """Return whether no name has lone surrogates."""
    joined = "".join(names)
    if joined.isascii():
        return True
    try:
        joined.encode()
    except UnicodeEncodeError:
        return False
    return True


def sort_keys(names: Sequence[str]) -> Sequence[Any]:
    """Return what is ordered as the bytes of the names are: UTF-8 is ordered as Unicode is."""
    return names if are_unicode(names) else [path_bytes(name) for name in names]
