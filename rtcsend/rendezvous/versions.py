"""Versions of rtcsend, compared: is this one too old for a server?

Pure. Source: PEP 440, the release segment alone.
"""

import re
from itertools import zip_longest

_RELEASE = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)


def is_older(version: str, *, than: str) -> bool:
    """Return whether ``version`` is an earlier release than ``than``.

    What follows the numbers (a pre-release, a local version) does not count: who builds his own
    knows what he has. A version without numbers is never older.
    """
    ours, theirs = _release(version), _release(than)
    pairs = zip_longest(ours, theirs, fillvalue=0)
    return bool(ours) and next((a < b for a, b in pairs if a != b), False)


def _release(version: str) -> list[int]:
    match = _RELEASE.match(version)
    return [int(part) for part in match[0].split(".")] if match else []
