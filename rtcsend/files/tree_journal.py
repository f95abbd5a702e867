"""The journal of a staging folder: what tree it is of [pure].

One JSON object, written when the folder is made. It decides which staging folder is gone on
with, and what ``rtcsend clean`` says of it; the digests of the blocks decide about its content.
It is read like a message from a stranger.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

from rtcsend.errors import PeerProtocolError
from rtcsend.files.journal import NotAJournal
from rtcsend.strict_json import MAX_INTEGER, parse_object_untrusted, take_int, take_str

MAX_TREE_JOURNAL_SIZE: Final = 4096  # bytes; a name of 255 bytes, each escaped, takes 1,530

_VERSION: Final = 1
_MAX_NAME: Final = 255  # characters
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeJournal:
    """What a journal says.

    Attributes:
        manifest: Digest of the manifest.
        name: Of the first thing at the top.
        tops: How many there are at the top.
        files: How many files there are in all.
        bytes: Of all files.
        time: When it was begun, in seconds since 1970.
    """

    manifest: str
    name: str
    tops: int
    files: int
    bytes: int
    time: int


def serialize_tree_journal(journal: TreeJournal) -> bytes:
    """Return the journal as it is kept."""
    fields = {
        "rtcsend-tree": _VERSION,
        "manifest": journal.manifest,
        "name": journal.name,
        "tops": journal.tops,
        "files": journal.files,
        "bytes": journal.bytes,
        "time": journal.time,
    }
    return json.dumps(fields).encode() + b"\n"


def parse_tree_journal_untrusted(data: bytes) -> TreeJournal:
    """Return what a journal says.

    Raises:
        NotAJournal: It is not one, or not whole.
    """
    try:
        fields = parse_object_untrusted(data, max_size=MAX_TREE_JOURNAL_SIZE)
        take_int(fields, "rtcsend-tree", low=_VERSION, high=_VERSION)
        journal = TreeJournal(
            manifest=take_str(fields, "manifest", max_length=64),
            name=take_str(fields, "name", max_length=_MAX_NAME),
            tops=take_int(fields, "tops"),
            files=take_int(fields, "files"),
            bytes=take_int(fields, "bytes"),
            time=take_int(fields, "time", high=MAX_INTEGER),
        )
    except PeerProtocolError as exc:
        raise NotAJournal("a strange journal") from exc
    if not _DIGEST.fullmatch(journal.manifest):
        raise NotAJournal("a strange digest")
    return journal
