"""The page that is being made of entries as they are found. Pure."""

from typing import Final

from rtcsend.manifest.entry import SIZED, ManifestEntry
from rtcsend.manifest.page import MAX_PAGE_SIZE, serialize_page
from rtcsend.manifest.siblings import Siblings, are_unicode, siblings_of

_GROUP: Final = 128  # bytes of JSON that a group takes at most, besides its texts
_NUMBERS: Final = 48  # a size and a time, and what stands around a name
_SAMPLE: Final = 68
_WIDEST: Final = 8  # bytes of JSON for a character: escaped, or U+FFFD and base64url beside it

_Key = tuple[object, ...]


class OpenPage:
    """Puts entries that follow one another together, where they have much in common."""

    def __init__(self) -> None:
        self._groups: list[Siblings] = []
        self._key: _Key | None = None
        self._size = 0  # bytes of JSON, at most

    def __bool__(self) -> bool:
        return bool(self._groups)

    def add(self, entry: ManifestEntry) -> bool:
        """Put an entry in; return False when there is no room for it."""
        folder, _, name = entry.path.rpartition("/")
        key = _key_of(entry, folder, name)
        is_next = key == self._key and bool(folder)
        size = _NUMBERS + _size_of(name)
        if not is_next:
            size += _GROUP + _size_of(folder)
        if entry.target or entry.sample:
            size += _size_of(entry.target) + _SAMPLE
        if self._size + size > MAX_PAGE_SIZE:
            return False
        self._size += size
        if is_next:
            _append(self._groups[-1], entry, name)
        else:
            self._groups.append(siblings_of(entry))
            self._key = key
        return True

    def take(self) -> bytes:
        """Return the page as it is before it is compressed, and begin the next one."""
        page = serialize_page(self._groups)
        self._groups, self._key, self._size = [], None, 0
        return page


def _key_of(entry: ManifestEntry, folder: str, name: str) -> _Key:
    """Return what must be the same in a group."""
    _path, kind, _size, mode, mtime_ns, target, sample = entry
    texts = name.isascii() or are_unicode([name]), not target or are_unicode([target])
    return folder, kind, mode, mtime_ns is None, not sample, *texts


def _append(group: Siblings, entry: ManifestEntry, name: str) -> None:
    _path, kind, size, _mode, mtime_ns, target, sample = entry
    group.names.append(name)
    if kind in SIZED:
        group.sizes.append(size)
    if mtime_ns is not None:
        group.mtimes_ns.append(mtime_ns)
    if kind == "link":
        group.targets.append(target)
    if sample:
        group.samples.append(sample)


def _size_of(text: str) -> int:
    """Return how many bytes of JSON a text has at most."""
    return len(text) * (2 if text.isascii() and text.isprintable() else _WIDEST)
