"""Finding what there is to send: paths of the command line to a manifest [shell].

Depth first, each folder before what is in it, names sorted by their bytes: the order depends on
nothing but the names, so that the same tree has the same manifest when it is sent again.

=====================  ====================================================================
what is found           what becomes of it
=====================  ====================================================================
a file                  an entry; every name of a file with several is one
a folder                an entry, also when it is empty, and what is in it
a symbolic link         kept when it points inside what is sent, else refused; followed or
                        left out on request. Named on the command line: always followed
a device, fifo, socket  left out, and reported; named on the command line: refused
what cannot be read     refused; left out and reported on request
what is excluded        left out; what was named on the command line never is
=====================  ====================================================================

Memory: the manifest, and the names of the folders on the way to where it is: a folder of a
million files takes some 60 MB for as long as it is read.

Paths on the disk are bytes here: they come out of the system as they are, and go back so.
Blocking calls, for a thread. Place in the flow: before :mod:`rtcsend.files.tree_source` reads.
"""

# ruff: noqa: PTH115, PTH116, PTH123, PTH208 - pathlib knows no bytes

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rtcsend.errors import CannotRead, UsageError
from rtcsend.files.exclusion import IGNORE_FILE, MAX_IGNORE_SIZE, Patterns
from rtcsend.files.holes import holes_of
from rtcsend.files.link_target import points_inside
from rtcsend.files.names import MAX_UNTRUSTED_BYTES, shown_untrusted
from rtcsend.files.paths import MAX_DEPTH
from rtcsend.manifest.entry import MAX_ENTRIES, ManifestEntry
from rtcsend.manifest.manifest import Manifest
from rtcsend.options import Links

MAX_LEFT_OUT: Final = 100  # things that were left out of which the path is kept; all are counted

_PERMISSIONS: Final = 0o777  # set-user-id, set-group-id and sticky bits do not travel
_NO_BLOCK: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_SURELY_SHORT: Final = MAX_UNTRUSTED_BYTES // 4  # characters; no more than 4 bytes each
_EFFECTIVE: Final = os.access in os.supports_effective_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRules:
    """What is to be done with what is found, see :class:`rtcsend.options.SendOptions`."""

    links: Links = Links.KEEP
    exclude: tuple[str, ...] = ()
    gitignore: bool = False
    skip_unreadable: bool = False


@dataclass(frozen=True, slots=True)
class Root:
    """Something that was named on the command line.

    Attributes:
        name: What it is called in the manifest.
        path: Where it is.
    """

    name: str
    path: bytes


@dataclass(frozen=True, slots=True)
class LeftOutPath:
    """Something that is not sent.

    Attributes:
        path: As in a manifest.
        reason: A few words: ``a socket``, ``Permission denied``.
    """

    path: str
    reason: str


@dataclass(slots=True)
class Scan:
    """What was found.

    Attributes:
        manifest: All that is sent.
        roots: In the order of their entries, if they have any.
        follows: Whether links stand for what they point to.
        left_out: The first MAX_LEFT_OUT.
        left_out_count: Of all.
    """

    manifest: Manifest
    follows: bool
    roots: list[Root] = field(default_factory=list)
    left_out: list[LeftOutPath] = field(default_factory=list)
    left_out_count: int = 0


class ScanStopped(Exception):
    """Whoever wanted the scan does not want it any more."""


def scan_paths(
    paths: Sequence[Path],
    rules: ScanRules,
    *,
    on_entry: Callable[[int, int], None] = lambda _entries, _bytes: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Scan:
    """Return what is at these paths, and below.

    Args:
        paths: Of the command line.
        rules: See there.
        on_entry: Called with the numbers of entries and bytes so far, once a folder.
        is_stopped: Asked as often; True ends the scan.

    Raises:
        CannotRead: Something is missing, unreadable, or of a kind that cannot be sent.
        UsageError: Two of the paths have the same name, or one has none; a pattern means nothing.
        ScanStopped: When ``is_stopped`` says so.
    """
    _check_names(paths)
    scanner = _Scanner(rules, on_entry=on_entry, is_stopped=is_stopped)
    for path in paths:
        scanner.add_root(path)
    scanner.scan.manifest.close()
    return scanner.scan


def name_of(path: Path) -> str:
    """Return what to call what a path names: its last component, of ``.`` that of the folder.

    Raises:
        UsageError: It has no name: the root of a file system.
    """
    name = path.name
    if name in {"", ".", ".."}:
        name = path.resolve().name
    if not name:
        raise UsageError(
            f"{path} has no name that it could be saved under.",
            hint="Name the folders in it instead.",
        )
    return name


def _check_names(paths: Iterable[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        name = name_of(path)
        if name in seen:
            raise UsageError(
                f"{seen[name]} and {path} would both be saved as {name}.",
                hint="Send them one after the other, or rename one.",
            )
        seen[name] = path


class _Scanner:
    """One scan."""

    def __init__(
        self,
        rules: ScanRules,
        *,
        on_entry: Callable[[int, int], None],
        is_stopped: Callable[[], bool],
    ) -> None:
        self.scan = Scan(Manifest(), follows=rules.links is Links.FOLLOW)
        self._rules = rules
        self._exclude = Patterns.of_user(rules.exclude)
        self._on_entry = on_entry
        self._is_stopped = is_stopped
        self._top = 0  # characters of the name of the root, with a slash
        self._user = os.geteuid() if hasattr(os, "geteuid") else None
        self._ancestors: list[tuple[int, int]] = []  # device and inode of the folders that are open

    def add_root(self, path: Path) -> None:
        place = os.fsencode(path)
        name = name_of(path)
        try:
            facts = os.stat(place)
        except FileNotFoundError as exc:
            raise CannotRead(f"{path} does not exist.") from exc
        except (OSError, ValueError) as exc:  # ValueError: NUL in it
            raise CannotRead(f"{path} cannot be read: {_reason(exc)}.") from exc
        self.scan.roots.append(Root(name, place))
        self._top = len(name) + 1
        if stat.S_ISDIR(facts.st_mode):
            self._add_folder(place, name, facts, ignored=None)
        elif stat.S_ISREG(facts.st_mode):
            self._add_file(place, name, facts)
        else:
            raise CannotRead(
                f"{path} is {_kind(facts.st_mode)}: only files and folders can be sent."
            )

    def _add_folder(
        self, place: bytes, path: str, facts: os.stat_result, *, ignored: Patterns | None
    ) -> None:
        """Add a folder and what is in it."""
        if self._is_stopped():
            raise ScanStopped
        try:
            names = os.listdir(place)
        except OSError as exc:
            self._unreadable(path, exc)
            return
        self._add(
            ManifestEntry(
                path=path,
                kind="directory",
                mode=stat.S_IMODE(facts.st_mode) & _PERMISSIONS,
                mtime_ns=facts.st_mtime_ns,
            )
        )
        self._on_entry(len(self.scan.manifest), self.scan.manifest.bytes)
        if self._rules.gitignore and os.fsencode(IGNORE_FILE) in names:
            ignored = self._read_ignore_file(place, path, ignored)
        names.sort()
        self._ancestors.append((facts.st_dev, facts.st_ino))
        decoded = os.fsdecode(b"/".join(names)).split("/") if names else []  # at once, for speed
        for name, text in zip(names, decoded, strict=True):
            self._add_found(place + b"/" + name, f"{path}/{text}", ignored)
        self._ancestors.pop()

    def _add_found(self, place: bytes, path: str, ignored: Patterns | None) -> None:
        """Add what was found in a folder."""
        try:
            facts = os.lstat(place)
            if stat.S_ISLNK(facts.st_mode):
                if self._leaves_out(path, ignored, is_folder=False):
                    return
                if self._rules.links is not Links.FOLLOW:
                    self._add_link(place, path, facts)
                    return
                facts = os.stat(place)
        except OSError as exc:  # ELOOP is one of them
            self._unreadable(path, exc)
            return
        is_folder = stat.S_ISDIR(facts.st_mode)
        if self._leaves_out(path, ignored, is_folder=is_folder):
            return
        if is_folder:
            if (facts.st_dev, facts.st_ino) in self._ancestors:
                self._leave_out(path, "a link to a folder that it is in")
                return
            self._add_folder(place, path, facts, ignored=ignored)
        elif stat.S_ISREG(facts.st_mode):
            self._add_file(place, path, facts)
        else:
            self._leave_out(path, _kind(facts.st_mode))

    def _add_file(self, place: bytes, path: str, facts: os.stat_result) -> None:
        if not self._can_read(place, facts):
            self._unreadable(path, None)
            return
        self.scan.manifest.holes += holes_of(facts)
        self._add(
            ManifestEntry(
                path=path,
                kind="file",
                size=facts.st_size,
                mode=stat.S_IMODE(facts.st_mode) & _PERMISSIONS,
                mtime_ns=facts.st_mtime_ns,
            )
        )

    def _can_read(self, place: bytes, facts: os.stat_result) -> bool:
        """Return whether a file can be read; of our own its mode says so, for one call less."""
        if facts.st_uid == self._user and facts.st_mode & stat.S_IRUSR:
            return True
        return os.access(place, os.R_OK, effective_ids=_EFFECTIVE)

    def _add_link(self, place: bytes, path: str, facts: os.stat_result) -> None:
        if self._rules.links is Links.SKIP:
            self._leave_out(path, "a symbolic link")
            return
        target = os.fsdecode(os.readlink(place)).replace(os.sep, "/")
        if not points_inside(path, target):
            raise CannotRead(
                f"{shown_untrusted(path)} is a link to {shown_untrusted(target)}, "
                "which is not in what is sent.",
                hint="Send what links point to with --links follow, or leave links out with "
                "--links skip.",
            )
        self._add(
            ManifestEntry(
                path=path,
                kind="link",
                mode=None,
                mtime_ns=facts.st_mtime_ns,
                target=target,
            )
        )

    def _add(self, entry: ManifestEntry) -> None:
        """Add an entry that any receiver can take.

        Raises:
            CannotRead: There are too many, or it is too deep or long.
        """
        if len(self.scan.manifest) >= MAX_ENTRIES:
            raise CannotRead(
                f"There are more than {MAX_ENTRIES:,} files and folders to send.",
                hint="Pack some of them into one file, for example with tar or zip.",
            )
        path = entry.path
        is_long = len(path) > _SURELY_SHORT and len(os.fsencode(path)) > MAX_UNTRUSTED_BYTES
        if is_long or path.count("/") >= MAX_DEPTH:
            raise CannotRead(
                f"{shown_untrusted(path)} is too deep to be sent.",
                hint="Leave it out with --exclude, or pack its folder with tar or zip.",
            )
        self.scan.manifest.add(entry)

    def _leaves_out(self, path: str, ignored: Patterns | None, *, is_folder: bool) -> bool:
        if self._exclude is None and ignored is None:
            return False
        below = path[self._top :]
        return any(
            patterns is not None and patterns.leaves_out(below, is_folder=is_folder)
            for patterns in (self._exclude, ignored)
        )

    def _read_ignore_file(
        self, folder: bytes, path: str, above: Patterns | None
    ) -> Patterns | None:
        try:
            fd = os.open(folder + b"/" + os.fsencode(IGNORE_FILE), os.O_RDONLY | _NO_BLOCK)
            with open(fd, "rb") as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    return above
                content = file.read(MAX_IGNORE_SIZE)
        except OSError as exc:
            self._unreadable(f"{path}/{IGNORE_FILE}", exc)
            return above
        prefix = max(0, len(path) + 1 - self._top)
        return Patterns.of_ignore_file(content, prefix=prefix, above=above)

    def _unreadable(self, path: str, exc: OSError | None) -> None:
        reason = "permission denied" if exc is None else _reason(exc)
        if self._rules.skip_unreadable:
            self._leave_out(path, reason)
            return
        raise CannotRead(
            f"{shown_untrusted(path)} cannot be read: {reason}.",
            hint="Check its permissions, or leave out what cannot be read with --skip-unreadable.",
        ) from exc

    def _leave_out(self, path: str, reason: str) -> None:
        self.scan.left_out_count += 1
        if len(self.scan.left_out) < MAX_LEFT_OUT:
            self.scan.left_out.append(LeftOutPath(path, reason))


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((words for is_it, words in kinds if is_it(mode)), "of an unknown kind")


def _reason(exc: OSError | ValueError) -> str:
    said = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
    return said[:1].lower() + said[1:]
