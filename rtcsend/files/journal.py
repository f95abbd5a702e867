r"""The journal beside a partial file: what it is part of, and how much the disk has [pure].

Text, a JSON object a line: the header, and then how far the content was synced, the last line
counting. It is written only after the disk has said so: what the journal says is on the disk
is on the disk::

    {"rtcsend-journal": 1, "size": 4700372992, "block": 1048576, "sample": "9f…", …}
    {"synced": 67108864}
    {"synced": 134217728}

A process that is killed, or a machine that loses its power, may leave any of it: the last line
torn, or nothing but zeros. Somebody may have put anything there. So a journal is read like a
message from a stranger; all that it decides is which partial file is looked at first, and the
digests of the blocks decide about its content.

Place in the flow: :mod:`rtcsend.files.journal_file` keeps it on the disk.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

from rtcsend.blocks import block_size_for
from rtcsend.errors import PeerProtocolError
from rtcsend.strict_json import MAX_INTEGER, parse_object_untrusted, take_int, take_str

MAX_JOURNAL_SIZE: Final = 64 << 10  # bytes; some two thousand lines, then it is begun anew
SAMPLE_DIGITS: Final = 64  # hexadecimal digits, see rtcsend/files/sample.py

_VERSION: Final = 1
_MAX_HEADER: Final = 4096  # bytes; a name of 255 bytes, each of them escaped, takes 1,530
_MAX_NAME: Final = 255  # characters
_SYNCED = re.compile(rb'\{"synced": (0|[1-9][0-9]{0,15})\}')
_SAMPLE = re.compile(r"[0-9a-f]*")


class NotAJournal(ValueError):
    """What is there is no journal, or not a whole one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What a journal says.

    Attributes:
        size: Bytes of the whole file.
        sample: Of the whole file, see :mod:`rtcsend.files.sample`.
        name: That the target would have had.
        time: When the transfer began, in seconds since 1970.
        synced: Bytes, from the first on, that the disk has.
    """

    size: int
    sample: str
    name: str
    time: int
    synced: int = 0


def serialize_header(journal: Journal) -> bytes:
    """Return the first line."""
    header = {
        "rtcsend-journal": _VERSION,
        "size": journal.size,
        "block": block_size_for(journal.size),
        "sample": journal.sample,
        "name": journal.name,
        "time": journal.time,
    }
    return json.dumps(header).encode() + b"\n"


def serialize_synced(synced: int) -> bytes:
    """Return the line that says that the disk has so many bytes."""
    return b'{"synced": %d}\n' % synced


def parse_journal_untrusted(data: bytes) -> Journal:
    """Return what a journal says; a last line without its end is left out.

    Raises:
        NotAJournal: It is too long, has no whole header, or any other line is not as above.
    """
    if len(data) > MAX_JOURNAL_SIZE:
        raise NotAJournal("too long")
    header, *records = data.split(b"\n")[:-1] or [b""]
    journal = _parse_header(header)
    synced = 0
    for record in records:
        match = _SYNCED.fullmatch(record)
        if match is None or (synced := int(match[1])) > journal.size:
            raise NotAJournal("a strange line")
    return Journal(
        size=journal.size,
        sample=journal.sample,
        name=journal.name,
        time=journal.time,
        synced=synced,
    )


def _parse_header(line: bytes) -> Journal:
    try:
        header = parse_object_untrusted(line, max_size=_MAX_HEADER)
        take_int(header, "rtcsend-journal", low=_VERSION, high=_VERSION)
        size = take_int(header, "size")
        take_int(header, "block", low=block_size_for(size), high=block_size_for(size))
        sample = take_str(header, "sample", max_length=SAMPLE_DIGITS)
        name = take_str(header, "name", max_length=_MAX_NAME)
        time = take_int(header, "time", high=MAX_INTEGER)
    except PeerProtocolError as exc:
        raise NotAJournal("a strange header") from exc
    if len(sample) != SAMPLE_DIGITS or not _SAMPLE.fullmatch(sample):
        raise NotAJournal("a strange sample")
    return Journal(size=size, sample=sample, name=name, time=time)
