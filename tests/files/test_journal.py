import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.files.journal import (
    MAX_JOURNAL_SIZE,
    Journal,
    NotAJournal,
    parse_journal_untrusted,
    serialize_header,
    serialize_synced,
)

SAMPLE = "0123456789abcdef" * 4
JOURNAL = Journal(size=5 << 20, sample=SAMPLE, name="film.iso", time=1_767_225_600)

journals = st.builds(
    Journal,
    size=st.integers(0, 2**53 - 1),
    sample=st.just(SAMPLE),
    name=st.text(max_size=255),
    time=st.integers(0, 2**53 - 1),
)


def header(**changes: object) -> bytes:
    fields = json.loads(serialize_header(JOURNAL))
    fields.update(changes)
    return json.dumps({key: value for key, value in fields.items() if value is not None}).encode()


def test_how_it_looks() -> None:
    text = serialize_header(JOURNAL) + serialize_synced(0) + serialize_synced(1 << 20)
    assert text.decode() == (
        '{"rtcsend-journal": 1, "size": 5242880, "block": 1048576, '
        f'"sample": "{SAMPLE}", "name": "film.iso", "time": 1767225600}}\n'
        '{"synced": 0}\n{"synced": 1048576}\n'
    )


@given(journals, st.lists(st.floats(0, 1), max_size=5))
def test_what_was_written_is_read(journal: Journal, parts: list[float]) -> None:
    synced = [int(part * journal.size) for part in parts]
    text = serialize_header(journal) + b"".join(map(serialize_synced, synced))
    read = parse_journal_untrusted(text)
    assert (read.size, read.sample, read.name, read.time) == (
        journal.size,
        journal.sample,
        journal.name,
        journal.time,
    )
    assert read.synced == (synced[-1] if synced else 0)


def test_torn_at_every_byte() -> None:
    lines = [serialize_header(JOURNAL), serialize_synced(1 << 20), serialize_synced(3 << 20)]
    text = b"".join(lines)
    for length in range(len(text)):
        if length < len(lines[0]):
            with pytest.raises(NotAJournal):
                parse_journal_untrusted(text[:length])
            continue
        synced = 1 << 20 if length >= len(lines[0]) + len(lines[1]) else 0
        assert parse_journal_untrusted(text[:length]).synced == synced
        # A power cut may leave zeros where the rest was to be.
        zeros = bytes(len(text) - length)
        assert parse_journal_untrusted(text[:length] + zeros).synced == synced


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"\n\n\n",
        bytes(4096),
        b"\xff" * 100 + b"\n",
        b"[" * 5000 + b"\n",
        b"null\n",
        b"{}\n",
        header(),  # without its end
        header(size=None) + b"\n",
        header(size=-1) + b"\n",
        header(size=2**53) + b"\n",
        header(size=10**400) + b"\n",
        header(size=1.5) + b"\n",
        header(size="5") + b"\n",
        header(size=True) + b"\n",
        header(size=[1]) + b"\n",
        header(block=1 << 21) + b"\n",
        header(sample=SAMPLE[1:]) + b"\n",
        header(sample=SAMPLE + "0") + b"\n",
        header(sample=SAMPLE.upper()) + b"\n",
        header(sample=7) + b"\n",
        header(name="x" * 256) + b"\n",
        header(name=None) + b"\n",
        header(time=None) + b"\n",
        header(time="now") + b"\n",
        header(**{"rtcsend-journal": 2}) + b"\n",
        header(**{"rtcsend-journal": None}) + b"\n",
        header(more="x" * 4096) + b"\n",
        header() + b"\n" + b'{"synced": 5242881}\n',
        header() + b"\n" + b'{"synced": -1}\n',
        header() + b"\n" + b'{"synced": 1e3}\n',
        header() + b"\n" + b'{"synced": ' + b"9" * 400 + b"}\n",
        header() + b"\n" + b'{"synced": 00}\n',
        header() + b"\n" + b'{"synced": "0"}\n',
        header() + b"\n" + b'{"synced": 0} \n',
        header() + b"\n" + b"\n",
        header() + b"\n" + bytes(13) + b"\n",
        header() + b"\n" + b'{"synced": 0}\n' * (MAX_JOURNAL_SIZE // 14),
        header() + b"\n" + bytes(10 << 20),
    ],
)
def test_what_is_none(text: bytes) -> None:
    with pytest.raises(NotAJournal):
        parse_journal_untrusted(text)


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for text in (data, header() + b"\n" + data):
        try:
            journal = parse_journal_untrusted(text)
        except NotAJournal:
            continue
        assert 0 <= journal.synced <= journal.size


@given(
    st.dictionaries(
        st.sampled_from(["rtcsend-journal", "size", "block", "sample", "name", "time"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.lists(st.integers()),
    )
)
def test_any_header(changes: dict[str, object]) -> None:
    try:
        parse_journal_untrusted(header(**changes) + b"\n")
    except NotAJournal:
        return


def test_a_new_field_does_no_harm() -> None:
    assert parse_journal_untrusted(header(mode=0o644) + b"\n") == JOURNAL
