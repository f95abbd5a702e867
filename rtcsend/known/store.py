"""What this machine keeps of itself and of others [shell].

::

    $XDG_DATA_HOME/rtcsend/              ~/.local/share/rtcsend without it; 0700
        identity.pem                     this machine's Ed25519 key, PKCS #8; made on first use
        machines/laptop.json             a machine that is known: rtcsend.known.record
        removed/1f3a….json               one that was removed, so that it can be told
        permits/…                        what servers want to see of who meets there
        locks/…                          who of this machine waits for whom

A file for each machine: adding, removing and renaming one are single steps of the file system, and
two commands at once cannot bring back what one of them has removed. When two machines last met is
the time of the file. Plain blocking calls, on small files.
"""

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from rtcsend.errors import CannotRead, UsageError
from rtcsend.known.names import check_name
from rtcsend.known.private_files import (
    TooLong,
    check_folder,
    make_folder,
    read_private,
    remove,
    write_new,
    write_over,
)
from rtcsend.known.record import (
    MAX_FILE,
    Machine,
    parse_machine_untrusted,
    serialize_machine,
)

MAX_MACHINES: Final = 64  # known at once; who listens has a socket for each
MAX_REMOVED: Final = 16  # remembered; the newest ones
MAX_PERMIT: Final = 512  # bytes; as the rendezvous protocol has it
_IDENTITY: Final = "identity.pem"
_SUFFIX: Final = ".json"


def data_folder(environment: Mapping[str, str]) -> Path:
    """Return where this user's data of rtcsend is. Source: XDG Base Directory Specification."""
    base = environment.get("XDG_DATA_HOME", "")
    if not Path(base).is_absolute():  # also unset, or to be ignored, as the specification says
        base = environment.get("LOCALAPPDATA", "") if sys.platform == "win32" else ""
    return (Path(base) if base else Path.home() / ".local" / "share") / "rtcsend"


def now() -> float:
    """Return the seconds since the epoch."""
    return datetime.now(UTC).timestamp()


class _Damaged(CannotRead):
    """A file of this user's that holds no machine."""


class Store:
    """The keys of this user.

    Everything raises CannotRead when a folder or file is another user's or open to others, and
    CannotWrite when one cannot be written.

    Args:
        folder: None: where they are by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = data_folder(os.environ) if folder is None else folder
        self._machines = self.folder / "machines"
        self._removed = self.folder / "removed"
        self._permits = self.folder / "permits"

    def identity(self) -> Ed25519PrivateKey:
        """Return this machine's key; make it, if there is none yet."""
        make_folder(self.folder)
        path = self.folder / _IDENTITY
        while True:
            found = read_private(path, max_size=MAX_FILE)
            if found is not None:
                return _parse_identity(found[0], path)
            key = Ed25519PrivateKey.generate()
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            if write_new(path, pem):
                return key

    def machines(self) -> tuple[Machine, ...]:
        """Return the known machines, by name, without those whose files are damaged."""
        return tuple(self._read_all(self._machines))

    def damaged(self) -> tuple[str, ...]:
        """Return the names of the known machines whose files are damaged."""
        names = []
        for path in self._files(self._machines):
            try:
                self._read(path)
            except _Damaged:
                names.append(unquote(path.stem))
        return tuple(names)

    def removed(self) -> tuple[Machine, ...]:
        """Return those that were removed, the latest first."""
        found = self._read_all(self._removed)
        return tuple(sorted(found, key=lambda each: -(each.removed or 0)))[:MAX_REMOVED]

    def machine(self, name: str) -> Machine:
        """Return the machine of that name.

        Raises:
            UsageError: There is none.
        """
        machine = self._maybe(check_name(name))
        if machine is None:
            raise self._unknown(name)
        return machine

    def check_free(self, name: str) -> None:
        """Return when a machine can be added under that name.

        Raises:
            UsageError: It cannot.
        """
        if self._maybe(check_name(name)) is not None:
            raise UsageError(
                f"There is a known machine “{name}” already.",
                hint="Give another name, or --replace to know the new one in its place.",
            )
        if len(self._files(self._machines)) >= MAX_MACHINES:
            raise UsageError(
                f"{MAX_MACHINES} machines are known, and no more can be.",
                hint="Remove one with “rtcsend peers remove NAME”.",
            )

    def add(self, machine: Machine, *, may_replace: bool = False) -> None:
        """Keep a machine.

        Args:
            machine: With its name.
            may_replace: Also in the place of the one of that name, which is removed, and of the
                same one under another name.

        Raises:
            UsageError: The name is taken, or the machine is known by another.
        """
        self._make_folders()
        same = [each for each in self.machines() if each.key == machine.key]
        others = [each for each in same if each.name != machine.name]
        if others and not may_replace:
            raise UsageError(
                f"This machine is known already, as “{others[0].name}”.",
                hint="Use that name, or pair with --replace to know it by the new one.",
                for_peer="The other machine knows this one already.",
            )
        old = self._maybe(machine.name)
        if old is None or not may_replace:
            self.check_free(machine.name)
            if not write_new(self._path(machine.name), serialize_machine(machine)):
                self.check_free(machine.name)
        else:
            if old.key != machine.key:
                self._remember(old)
            write_over(self._path(machine.name), serialize_machine(machine))
        for each in others:
            remove(self._path(each.name))
        self._touch(self._path(machine.name), machine.paired)
        remove(self._path_of_removed(machine))

    def remove(self, name: str) -> None:
        """Know a machine no more. One whose file is damaged cannot be told, as its key is gone.

        Raises:
            UsageError: There is none.
        """
        with suppress(_Damaged):
            self._remember(self.machine(name))
        remove(self._path(check_name(name)))

    def rename(self, name: str, new: str) -> Machine:
        """Give a machine another name; return it.

        Raises:
            UsageError: There is none, or the new name is taken.
        """
        machine = self.machine(name)
        renamed = replace(machine, name=check_name(new))
        self.check_free(renamed.name)
        if not write_new(self._path(renamed.name), serialize_machine(renamed)):
            self.check_free(renamed.name)
        self._touch(self._path(renamed.name), machine.used or machine.paired)
        remove(self._path(machine.name))
        return renamed

    def forget(self, machine: Machine) -> None:
        """Take back what :meth:`add` has just done: the other side has not."""
        current = self._maybe(machine.name)
        if current is not None and current.secret == machine.secret:
            remove(self._path(machine.name))

    def is_current(self, machine: Machine) -> bool:
        """Return whether the machine is still known (or still removed) with these keys."""
        if machine.removed is not None:
            return self._read(self._path_of_removed(machine)) is not None
        current = self._maybe(machine.name)
        return current is not None and current.secret == machine.secret

    def note_use(self, machine: Machine) -> None:
        """Remember that the two have met now."""
        self._touch(self._path(machine.name), int(now()))

    def permit(self, server: str) -> str | None:
        """Return what that server gave, if anything."""
        found = read_private(self._permit_path(server), max_size=MAX_PERMIT)
        return None if found is None else found[0].decode("ascii", "replace").strip()

    def keep_permit(self, server: str, permit: str | None) -> None:
        """Keep what that server gave."""
        if permit is not None:
            make_folder(self.folder)
            make_folder(self._permits)
            write_over(self._permit_path(server), permit.encode("ascii", "replace"))

    def lock_path(self, purpose: str) -> Path:
        """Return the file whose lock says that a command of this machine does something."""
        make_folder(self.folder)
        make_folder(self.folder / "locks")
        return self.folder / "locks" / purpose

    def stamp(self) -> tuple[int, ...]:
        """Return something that changes when machines are added or removed."""
        stamps = []
        for folder in (self._machines, self._removed):
            try:
                stamps.append(folder.stat().st_mtime_ns)
            except OSError:
                stamps.append(0)
        return tuple(stamps)

    def _make_folders(self) -> None:
        for folder in (self.folder, self._machines, self._removed):
            make_folder(folder)

    def _path(self, name: str) -> Path:
        return self._machines / f"{quote(name, safe='')}{_SUFFIX}"

    def _path_of_removed(self, machine: Machine) -> Path:
        digest = hashlib.sha256(machine.secret).hexdigest()
        return self._removed / f"{digest[:32]}{_SUFFIX}"

    def _permit_path(self, server: str) -> Path:
        return self._permits / hashlib.sha256(server.encode()).hexdigest()[:32]

    def _files(self, folder: Path) -> list[Path]:
        """Return the files of a folder; none, if it is not there."""
        if not check_folder(self.folder) or not check_folder(folder):
            return []
        try:
            paths = sorted(folder.iterdir())
        except OSError as exc:
            raise CannotRead(f"{folder} cannot be read: {exc.strerror}.") from exc
        mine = [path for path in paths if path.suffix == _SUFFIX and path.name[0] != "."]
        return mine[: MAX_MACHINES + MAX_REMOVED]

    def _read_all(self, folder: Path) -> Iterator[Machine]:
        for path in self._files(folder):
            with suppress(_Damaged):
                machine = self._read(path)
                if machine is not None:
                    yield machine

    def _maybe(self, name: str) -> Machine | None:
        is_there = check_folder(self.folder) and check_folder(self._machines)
        return self._read(self._path(name)) if is_there else None

    def _read(self, path: Path) -> Machine | None:
        try:
            found = read_private(path, max_size=MAX_FILE)
            if found is None:
                return None
            data, changed = found
            machine = parse_machine_untrusted(data)
        except (TooLong, ValueError) as exc:
            raise _Damaged(
                f"{path} is damaged.",
                hint="Remove it with “rtcsend peers remove NAME”, and pair the two machines again.",
            ) from exc
        return replace(machine, used=changed if changed > machine.paired else None)

    def _remember(self, machine: Machine) -> None:
        """Keep what is needed to tell a machine that it is known no more."""
        make_folder(self._removed)
        gone = replace(machine, removed=int(now()))
        write_over(self._path_of_removed(gone), serialize_machine(gone))
        by_age = sorted(self._read_all(self._removed), key=lambda each: -(each.removed or 0))
        for old in by_age[MAX_REMOVED:]:
            remove(self._path_of_removed(old))

    def _touch(self, path: Path, seconds: int) -> None:
        with suppress(OSError):  # removed meanwhile; or a file system without times
            os.utime(path, (seconds, seconds))

    def _unknown(self, name: str) -> UsageError:
        gone = next((each for each in self.removed() if each.name == name), None)
        if gone is not None:
            return UsageError(
                f"The machine “{name}” was removed.", hint="Pair with it again: rtcsend pair NAME."
            )
        names = [each.name for each in self.machines()]
        near = get_close_matches(name, names, n=1)
        return UsageError(
            f"There is no known machine “{name}”.",
            hint=f"Did you mean “{near[0]}”?"
            if near
            else "“rtcsend peers” lists those that are known; “rtcsend pair NAME” adds one.",
        )


def _parse_identity(data: bytes, path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise _damaged(path) from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise _damaged(path)
    return key


def _damaged(path: Path) -> CannotRead:
    return CannotRead(
        f"{path} holds no key of this machine.",
        hint="Restore it, or remove it and pair with all machines again.",
    )
