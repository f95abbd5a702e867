"""Entries as JSON: what is said is what comes out, and what is not allowed is refused."""

import contextlib
import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import PeerProtocolError
from rtcsend.manifest.entry import (
    MAX_TEXT,
    ManifestEntry,
    entry_from_object,
    entry_to_object,
    parse_entry_untrusted,
    path_bytes,
)

raw_names = st.one_of(
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "ignore")), st.binary(max_size=40)
)
names = raw_names.map(lambda raw: raw.decode("utf-8", "surrogateescape"))
common: dict[str, Any] = {
    "path": names,
    "mode": st.none() | st.integers(0, 0o777),
    "mtime_ns": st.none() | st.integers(-(2**62), 2**62),
}
sizes, samples = st.integers(0, 2**53 - 1), st.sampled_from(("", "5a" * 32))
entries = st.one_of(
    st.fixed_dictionaries({**common, "kind": st.just("file"), "size": sizes, "sample": samples}),
    st.fixed_dictionaries({**common, "kind": st.just("directory")}),
    st.fixed_dictionaries({**common, "kind": st.just("stream")}),
    st.fixed_dictionaries({**common, "kind": st.just("text"), "size": st.integers(0, MAX_TEXT)}),
    st.fixed_dictionaries({**common, "kind": st.just("link"), "target": names}),
).map(lambda fields: ManifestEntry(**fields))


@given(entries)
def test_comes_out_as_it_went_in(entry: ManifestEntry) -> None:
    value = json.loads(json.dumps(entry_to_object(entry), ensure_ascii=False).encode())
    assert parse_entry_untrusted(value) == entry
    assert entry_from_object(value) == entry


@given(raw_names)
def test_the_bytes_of_a_name_come_back(raw: bytes) -> None:
    entry = ManifestEntry(path=raw.decode("utf-8", "surrogateescape"), kind="file")
    value = entry_to_object(entry)
    assert ("raw" in value) == (raw.decode("utf-8", "replace").encode() != raw)
    value["path"].encode()  # valid Unicode, whatever the name is
    assert path_bytes(parse_entry_untrusted(value).path) == raw


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_are_those_of_the_file_system() -> None:
    assert path_bytes(os.fsdecode(b"na\xefve")) == b"na\xefve"


FILE = {"path": "a", "kind": "file", "size": 1}
LINK = {"path": "a", "kind": "link", "target": "b"}
STREAM = {"path": "a", "kind": "stream"}
TEXT = {"path": "a", "kind": "text", "size": MAX_TEXT}


@pytest.mark.parametrize(
    "value",
    [
        *(None, 1, [], {}, {"path": "a", "size": 1}, {**FILE, "kind": "fifo"}),
        *({**FILE, "kind": ["file"]}, {**FILE, "path": None}, {**FILE, "path": "x" * 5001}),
        *({"path": "a", "kind": "file"}, {**FILE, "size": -1}, {**FILE, "size": 2**53}),
        *({**FILE, "size": None}, {**FILE, "size": True}, {**FILE, "size": "1"}),
        *({**FILE, "mode": 0o1000}, {**FILE, "mode": -1}, {**FILE, "mode": None}),
        *({**FILE, "mtime": 1}, {**FILE, "mtime": 1, "mtime_ns": 10**9}),
        *({**FILE, "mtime": 2**34, "mtime_ns": 0}, {**FILE, "mtime": 1, "mtime_ns": -1}),
        *({**FILE, "sample": "5a"}, {**FILE, "sample": 1}, {**FILE, "sample": "5A" * 32}),
        *({**FILE, "sample": 0}, {**FILE, "sample": []}, {**FILE, "sample": None}),
        *({**FILE, "kind": "directory"}, {**LINK, "size": 0}, {**LINK, "sample": "5a" * 32}),
        *({**STREAM, "size": 0}, {**STREAM, "size": None}, {**STREAM, "sample": "5a" * 32}),
        *({**TEXT, "size": MAX_TEXT + 1}, {**TEXT, "size": -1}, {**TEXT, "sample": "5a" * 32}),
        *({"path": "a", "kind": "text"}, {"path": "a", "kind": "Stream"}),
        *({"path": "a", "kind": "link"}, {**LINK, "target": "x" * 5001}),
        # Names that are no valid Unicode, or whose bytes are not what is readable.
        *({**FILE, "path": "\udc80"}, {**FILE, "path": "\ud800"}, {**LINK, "target": "\udc80"}),
        *({**FILE, "raw": "YQ"}, {**FILE, "path": "\ufffd", "raw": "77-9"}),
        *({**FILE, "path": "b", "raw": "gA"}, {**FILE, "path": "\ufffd", "raw": "gA=="}),
        *({**FILE, "path": "\ufffd", "raw": "gB"}, {**FILE, "path": "\ufffd", "raw": 1}),
    ],
    ids=repr,
)
def test_refused(value: object) -> None:
    with pytest.raises(PeerProtocolError):
        parse_entry_untrusted(value)


def test_not_refused() -> None:
    # So that the test above can fail.
    for value in (
        FILE,
        LINK,
        STREAM,
        TEXT,
        {**FILE, "path": "\ufffd", "raw": "gA"},
        {**FILE, "new": []},
    ):
        parse_entry_untrusted(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("file"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=3,
)


@given(st.dictionaries(st.sampled_from([*FILE, *LINK, "raw", "mode", "mtime"]), JSON))
def test_nothing_else_escapes(value: Any) -> None:
    with contextlib.suppress(PeerProtocolError):
        parse_entry_untrusted(value)
