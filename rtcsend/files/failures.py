"""What the disk said, as a sentence for this side and one for the other [pure].

The other side is told the name of the file, which it knows, and never the folder.
"""

import errno
from pathlib import Path

from rtcsend.errors import CannotWrite
from rtcsend.files.folder import shown

_SENTENCES = {
    errno.ENOSPC: "No space left for {name} in {folder}.",
    errno.EDQUOT: "No space left for {name} in {folder}: the disk quota is used up.",
    errno.EFBIG: "{name} is larger than a file in {folder} may be.",
    errno.ENOENT: "{name} cannot be written: {folder} does not exist.",
    errno.ENOTDIR: "{name} cannot be written: {folder} is not a folder.",
    errno.EISDIR: "{name} cannot be written in {folder}: a folder has that name.",
}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def cannot_write(exc: OSError | ValueError, *, name: str, folder: Path) -> CannotWrite:
    """Return the error for what a call said about a file in a folder."""
    reason = exc.strerror if isinstance(exc, OSError) else None
    number = exc.errno if isinstance(exc, OSError) else None
    sentence = _SENTENCES.get(number or 0, "{name} cannot be written in {folder}: {reason}.")
    message = sentence.format(name=name, folder=shown(folder), reason=reason or exc)
    if number in _FULL:
        return CannotWrite(message, for_peer=f"The receiver has no space left for {name}.")
    what = reason or "its folder has an impossible name"
    return CannotWrite(message, for_peer=f"The receiver cannot write {name}: {what}.")
