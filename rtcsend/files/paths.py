r"""Paths that come from a peer: safe as they are, made safe, or refused [pure].

The one place that decides about names from outside; everything that writes asks here. A file
that is proposed alone has a bare name, :func:`safe_name_untrusted`. What is proposed with
folders has paths, components between slashes: :class:`ProposedPaths` takes them one after the
other, and also keeps two of them from meaning one file. The policy of a single name stands in
:mod:`rtcsend.files.names`; for a path there is:

============================================  ==============================================
the path                                      what becomes of it
============================================  ==============================================
absolute: begins with ``/``, ``\``, ``C:``    refused; ``\\server\share`` is one of them
an empty component, ``.``, ``..``             refused
more than MAX_DEPTH components                refused
longer than MAX_UNTRUSTED_BYTES, also after   refused
all else                                      each component by itself, as a name
============================================  ==============================================

So a path that was made safe has as many components as before. Nothing is looked up: what is a
symbolic link in the folder of the receiver is the business of :mod:`rtcsend.files.folder`.

Place in the flow: the receiving session asks, on the proposal, before anything is shown or
accepted; docs/security.md says what it protects from.
"""

import enum
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from rtcsend.errors import UnsafePath
from rtcsend.files.names import (
    MAX_NAME_BYTES,
    MAX_UNTRUSTED_BYTES,
    OWN_MARK,
    PARTIAL_SUFFIX,
    SafeName,
    folded,
    is_own_name,
    numbered_name,
    partial_name,
    refuse_drive_untrusted,
    safe_component_untrusted,
    safe_name_untrusted,
    shown_untrusted,
    size_of,
    split_extension,
)
from rtcsend.files.owners import Owners

__all__ = [
    "MAX_DEPTH",
    "MAX_NAMES",
    "MAX_NAME_BYTES",
    "MAX_UNTRUSTED_BYTES",
    "OWN_MARK",
    "PARTIAL_SUFFIX",
    "Oddity",
    "ProposedPaths",
    "SafeName",
    "SafePath",
    "folded",
    "is_own_name",
    "numbered_name",
    "oddities",
    "partial_name",
    "safe_name_untrusted",
    "safe_path_untrusted",
    "split_extension",
]

MAX_DEPTH = 128  # components; three times what the deepest package trees have
MAX_NAMES = 1_250_000  # files and folders of one proposal; a million entries and their folders
MAX_COLLISIONS = 50_000  # numbers tried in one proposal; enough for 300 paths that are one file
_KEY_BYTES = 8  # of a fingerprint; two of a million names share one once in 30 million proposals
_FOLDER = 1  # lowest bit of an owner: the name is a folder


class Oddity(enum.Enum):
    """What a person should know of a path before accepting it."""

    CHANGED = "changed"  # it is not what the sender sent
    CLASH = "clash"  # numbered, since another path of the proposal would be the same file
    HIDDEN = "hidden"  # a component begins with a dot
    DASH = "dash"  # a component begins with a dash, which commands take for an option


@dataclass(frozen=True, slots=True)
class SafePath:
    """Components that can be joined to a folder one by one, and stay inside it."""

    components: tuple[str, ...]
    changed: bool
    """True when it is not what the sender sent: tell the user."""

    def __str__(self) -> str:
        """The components between slashes, on all systems."""
        return "/".join(self.components)


@dataclass(frozen=True, slots=True)
class _Node:
    """A component of a path, in its place."""

    raw: str
    name: str
    place: bytes
    """Fingerprint of where it will be."""
    is_numbered: bool
    stays: bool
    """Whether it and all above it are called as at the sender."""


_TOP = _Node("", "", b"", is_numbered=False, stays=True)


def safe_path_untrusted(path: str, *, windows: bool) -> SafePath:
    """Make a path of a proposal safe, or refuse it, whatever other paths there are.

    Args:
        path: What the peer sent, components between slashes.
        windows: Whether the file system's rules are those of Windows.

    Raises:
        UnsafePath: It is no relative path, or nothing safe is left of it.
    """
    components = tuple(
        safe_component_untrusted(name, windows=windows).name for name in _split_untrusted(path)
    )
    return _joined(components, path)


def oddities(path: SafePath) -> frozenset[Oddity]:
    """Return what is odd about a path, apart from clashes."""
    text = f"/{path}"
    marks = (
        (Oddity.CHANGED, path.changed),
        (Oddity.HIDDEN, "/." in text),
        (Oddity.DASH, "/-" in text),
    )
    return frozenset(oddity for oddity, is_there in marks if is_there)


class ProposedPaths:
    """The paths of one proposal, each with a place of its own.

    Two paths that would be one file get two: the later one is numbered (``x (1)``), also when
    it is a folder, and then everything in it goes there. Who is called so already keeps his name
    before one who would come to it by being made safe, if all paths were told beforehand, by
    :meth:`expect_untrusted`. What comes out depends on the paths
    and their order alone, so that the same proposal has the same places when it is resumed.

    Memory: 16 bytes a slot of a table that is at most 5/8 full, so 26 to 52 bytes for each
    file or folder, and 78 for a moment while it grows: 34 MB for a million, never more than
    50 MB. Nothing of a path but the last one is kept.

    Args:
        windows: Whether the file system's rules are those of Windows.
        folding: Whether the file system takes names for the same that differ in case alone:
            see :meth:`rtcsend.files.folder.Folder.folds_case`.
        key: 16 to 64 random bytes, which no peer knows, so that it cannot make fingerprints
            meet; they are in no result.
    """

    def __init__(self, *, windows: bool, folding: bool, key: bytes) -> None:
        self._windows = windows
        self._folding = folding
        self._key = key
        self._owners = Owners(limit=MAX_NAMES)
        self._chain: list[_Node] = []
        """The folders of the last path: paths come in the order of a walk, mostly."""
        self._expected: list[_Node] = []
        """The same of the last path that was expected."""
        self._is_expected = False
        self._collisions = 0

    def expect_untrusted(self, path: str, *, is_folder: bool) -> None:
        """Keep the place of a path for it, if it can stay as it is.

        To be called for all paths, in their order, before the first :meth:`add_untrusted`, or
        for none. What is wrong with a path, that says.

        Raises:
            UnsafePath: A file comes twice; there are too many of them.
        """
        self._is_expected = True
        *folders, last = path.split("/")
        if len(folders) >= MAX_DEPTH or size_of(path) > MAX_UNTRUSTED_BYTES:
            return
        above = _enter(self._expected, folders, partial(self._expect, path=path, is_folder=True))
        self._expect(last, above, path=path, is_folder=is_folder)

    def add_untrusted(self, path: str, *, is_folder: bool) -> tuple[SafePath, frozenset[Oddity]]:
        """Return the place of one more path, and what is odd about it.

        A folder may come more than once, and need not come before what is in it.

        Args:
            path: What the peer sent, components between slashes.
            is_folder: Whether the entry is a folder. A symbolic link is none, so that there can
                be nothing below it.

        Raises:
            UnsafePath: It is no relative path; nothing safe is left of it; it comes twice, or
                once as a file and once as a folder; there are too many of them.
        """
        *folders, last = _split_untrusted(path)
        above = _enter(self._chain, folders, partial(self._claim, path=path, is_folder=True))
        nodes = (*self._chain, self._claim(last, above, path=path, is_folder=is_folder))
        safe = _joined(tuple(node.name for node in nodes), path)
        odd = oddities(safe)
        return safe, odd | {Oddity.CLASH} if any(node.is_numbered for node in nodes) else odd

    def _expect(self, raw: str, parent: _Node, *, path: str, is_folder: bool) -> _Node:
        """Return a component in the place that is its own, if it stays as it is."""
        if parent.stays and self._stays(raw):
            place, owner = self._place(parent, raw), self._owner(raw, is_folder=is_folder)
            before = self._owners.claim(int.from_bytes(place), owner)
            if before == owner and not is_folder:
                raise UnsafePath(f"The path {shown_untrusted(path)} comes twice.")
            if before in (None, owner):
                return _Node(raw, raw, place, is_numbered=False, stays=True)
        return _Node(raw, raw, b"", is_numbered=False, stays=False)

    def _stays(self, raw: str) -> bool:
        try:
            return not safe_component_untrusted(raw, windows=self._windows).changed
        except UnsafePath:
            return False

    def _claim(self, raw: str, parent: _Node, *, path: str, is_folder: bool) -> _Node:
        """Return a component in its place: its own, or one that is free."""
        owner = self._owner(raw, is_folder=is_folder)
        safe = safe_component_untrusted(raw, windows=self._windows).name
        for name in self._candidates(safe, path):
            place = self._place(parent, name)
            before = self._owners.claim(int.from_bytes(place), owner)
            stays = parent.stays and name == raw
            if before is None or (before == owner and (is_folder or (stays and self._is_expected))):
                return _Node(raw, name, place, is_numbered=name != safe, stays=stays)
            if before == owner:
                raise UnsafePath(f"The path {shown_untrusted(path)} comes twice.")
            if before ^ owner == _FOLDER:
                raise UnsafePath(f"The path {shown_untrusted(path)} is a file and a folder.")
        raise AssertionError("there are more numbers than tries")

    def _candidates(self, name: str, path: str) -> Iterator[str]:
        yield name
        for number in range(1, MAX_COLLISIONS + 2):
            self._collisions += 1
            if self._collisions > MAX_COLLISIONS:
                raise UnsafePath(f"Too many paths are the same file, {shown_untrusted(path)} too.")
            yield numbered_name(name, number)

    def _owner(self, raw: str, *, is_folder: bool) -> int:
        """Return the number of what the sender calls so.

        That is enough: a place above belongs to one folder of the sender's.
        """
        origin = int.from_bytes(self._fingerprint(b"", raw))
        return origin & ~_FOLDER | (_FOLDER if is_folder else 0)

    def _place(self, parent: _Node, name: str) -> bytes:
        return self._fingerprint(parent.place, folded(name) if self._folding else name)

    def _fingerprint(self, parent: bytes, name: str) -> bytes:
        data = parent + name.encode(errors="surrogatepass")
        return hashlib.blake2b(data, digest_size=_KEY_BYTES, key=self._key).digest()


def _enter(chain: list[_Node], folders: list[str], place: Callable[[str, _Node], _Node]) -> _Node:
    """Make the chain be these folders, and return the last; what both have in common stays."""
    shared = 0
    for node, raw in zip(chain, folders, strict=False):
        if node.raw != raw:
            break
        shared += 1
    del chain[shared:]
    for raw in folders[shared:]:
        chain.append(place(raw, chain[-1] if chain else _TOP))
    return chain[-1] if chain else _TOP


def _split_untrusted(path: str) -> list[str]:
    """Return the components as they came; each is still to be made safe.

    Raises:
        UnsafePath: It is too long or deep, absolute, or has an empty component.
    """
    if len(path) > MAX_UNTRUSTED_BYTES or size_of(path) > MAX_UNTRUSTED_BYTES:
        raise UnsafePath(
            f"The path {shown_untrusted(path)} is longer than {MAX_UNTRUSTED_BYTES} bytes."
        )
    if path.startswith(("/", "\\")):
        raise UnsafePath(f"The path {shown_untrusted(path)} is absolute.")
    refuse_drive_untrusted(path)
    components = path.split("/")
    if len(components) > MAX_DEPTH:
        raise UnsafePath(f"The path {shown_untrusted(path)} is deeper than {MAX_DEPTH} folders.")
    if not all(components):
        raise UnsafePath(f"The path {shown_untrusted(path)} has an empty name in it.")
    return components


def _joined(components: tuple[str, ...], path: str) -> SafePath:
    """Return the safe path.

    Raises:
        UnsafePath: Being made safe has made it too long.
    """
    joined = "/".join(components)
    if size_of(joined) > MAX_UNTRUSTED_BYTES:
        raise UnsafePath(f"The path {shown_untrusted(path)} is too long when it is made safe.")
    return SafePath(components, changed=joined != path)
