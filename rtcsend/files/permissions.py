"""What permissions and times arriving files get [shell].

Never a set-user-id, set-group-id or sticky bit; and, unless the user wants them as they are at
the sender, only what the umask (or the folder's default ACL) leaves. The system is asked by a
folder of our own that is just being made: asking for the umask itself would change it for all
threads.
"""

import os
from dataclasses import dataclass
from typing import Final

ALL: Final = 0o777  # permission bits
_NEW_FILE: Final = 0o666  # what programs ask for when they make a file
_OWN: Final = 0o700  # what we need of a folder while we work in it
_OWN_FILE: Final = 0o600
_CAN_SET_TIMES: Final = os.utime in os.supports_fd


@dataclass(frozen=True, slots=True)
class Permissions:
    """The rule.

    Attributes:
        mask: Bits that the system leaves of those that are asked for.
        preserve: Whether those of the sender count as they are.
    """

    mask: int
    preserve: bool

    def of_file(self, mode: int | None) -> int:
        """Return the permission bits of a file; None: not known at the sender."""
        return self._of(_NEW_FILE if mode is None else mode & ALL, is_known=mode is not None)

    def of_folder(self, mode: int | None) -> int:
        """Return the permission bits of a folder."""
        return self._of(ALL if mode is None else mode & ALL, is_known=mode is not None)

    def needs_change(self, mode: int) -> bool:
        """Return whether a file that was made with such bits and our own has others by now."""
        return mode & _OWN_FILE != _OWN_FILE or bool(mode & ~self.mask)

    def _of(self, mode: int, *, is_known: bool) -> int:
        return mode if self.preserve and is_known else mode & self.mask


def while_open(mode: int) -> int:
    """Return the bits of a folder in which there is still something to do."""
    return mode | _OWN


def set_mode(fd: int, mode: int) -> None:
    """Set the permission bits of what is open, where the system has them."""
    if hasattr(os, "fchmod"):
        os.fchmod(fd, mode)


def set_times(fd: int, mtime_ns: int) -> None:
    """Set the time of change of what is open; one that the system cannot keep is left out."""
    if not _CAN_SET_TIMES:
        return
    try:  # noqa: SIM105 - for each of many files: half the time of suppress()
        os.utime(fd, ns=(mtime_ns, mtime_ns))
    except (OSError, OverflowError):
        pass
