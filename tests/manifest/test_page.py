"""Pages: what is said is what comes out, and what is not allowed is refused."""

import contextlib
import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import PeerProtocolError
from rtcsend.manifest.entry import ManifestEntry, path_bytes
from rtcsend.manifest.page import parse_page_untrusted, read_page, serialize_page
from rtcsend.manifest.siblings import Siblings, siblings_of
from tests.manifest.trees import manifest_of

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
    st.fixed_dictionaries({**common, "kind": st.just("link"), "target": names}),
).map(lambda fields: ManifestEntry(**fields))


def listed(groups: list[Siblings]) -> list[ManifestEntry]:
    return [entry for group in groups for entry in group.entries()]


@given(st.lists(entries, min_size=1))
def test_comes_out_as_it_went_in(some: list[ManifestEntry]) -> None:
    page = serialize_page([siblings_of(entry) for entry in some])
    assert listed(parse_page_untrusted(page)) == listed(read_page(page)) == some


@given(st.sampled_from(("d", "d\udc80", "ü/ä")), st.lists(entries, min_size=1))
def test_what_is_found_in_a_folder_is_put_together(folder: str, some: list[ManifestEntry]) -> None:
    below = [
        entry._replace(path=f"{folder}/{entry.path}", size=entry.size % 100, sample="")
        for entry in some
    ]
    below = [entry for entry in below if len(entry.path.split("/")) == folder.count("/") + 2]
    manifest = manifest_of(below)
    assert list(manifest.entries()) == below
    groups = [group for _, group in manifest.siblings()]
    assert listed(parse_page_untrusted(serialize_page(groups))) == below if groups else not below
    same = [entry._replace(kind="file", mode=0o644, mtime_ns=1, target="") for entry in below]
    same = [entry for entry in same if entry.path.isascii()]
    assert len(list(manifest_of(same).siblings())) == bool(same)


@given(raw_names.filter(lambda raw: b"/" not in raw))
def test_the_bytes_of_a_name_come_back(raw: bytes) -> None:
    entry = ManifestEntry(path=raw.decode("utf-8", "surrogateescape"), kind="file")
    page = serialize_page([siblings_of(entry)])
    (value,) = json.loads(page)
    assert ("raw_names" in value) == (raw.decode("utf-8", "replace").encode() != raw)
    value["names"][0].encode()  # valid Unicode, whatever the name is
    assert path_bytes(listed(parse_page_untrusted(page))[0].path) == raw


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_are_those_of_the_file_system() -> None:
    assert path_bytes(os.fsdecode(b"na\xefve")) == b"na\xefve"


FILE: dict[str, Any] = {"kind": "file", "names": ["a"], "sizes": [1]}
LINK: dict[str, Any] = {"kind": "link", "names": ["a"], "targets": ["b"]}
TWO: dict[str, Any] = {"kind": "file", "names": ["a", "b"], "sizes": [1, 2]}


@pytest.mark.parametrize(
    "value",
    [
        *(None, 1, [], {}, {"names": ["a"], "sizes": [1]}, {**FILE, "kind": "fifo"}),
        *({**FILE, "kind": ["file"]}, {**FILE, "names": None}, {**FILE, "names": ["x" * 5001]}),
        *({**FILE, "names": []}, {**FILE, "names": "a"}, {**FILE, "names": [1]}),
        *({**FILE, "names": {"a": 1}}, {**FILE, "names": [["a"]]}, {**FILE, "names": [None]}),
        *({"kind": "file", "names": ["a"]}, {**FILE, "sizes": [-1]}, {**FILE, "sizes": [2**53]}),
        *({**FILE, "sizes": None}, {**FILE, "sizes": [True]}, {**FILE, "sizes": ["1"]}),
        *({**FILE, "sizes": []}, {**FILE, "sizes": [1, 1]}, {**TWO, "sizes": [1]}),
        *({**TWO, "sizes": [1, None]}, {**TWO, "sizes": [1, -1]}, {**TWO, "sizes": [2**53, 1]}),
        *({**FILE, "mode": 0o1000}, {**FILE, "mode": -1}, {**FILE, "mode": None}),
        *({**FILE, "mode": True}, {**FILE, "mode": [0o644]}),
        *({**FILE, "mtimes": [1]}, {**FILE, "mtimes": [1], "mtimes_ns": [10**9]}),
        *({**FILE, "mtimes": [2**34], "mtimes_ns": [0]}, {**FILE, "mtimes": [], "mtimes_ns": []}),
        *({**FILE, "mtimes": [1], "mtimes_ns": [-1]}, {**FILE, "mtimes": 1, "mtimes_ns": 1}),
        *({**TWO, "mtimes": [1, 1], "mtimes_ns": [1]}, {**TWO, "mtimes": [1], "mtimes_ns": [1]}),
        *({**FILE, "samples": ["5a"]}, {**FILE, "samples": [1]}, {**FILE, "samples": ["5A" * 32]}),
        *({**FILE, "samples": 0}, {**FILE, "samples": []}, {**FILE, "samples": None}),
        *({**TWO, "samples": ["5a" * 32]}, {**FILE, "samples": ["é" * 64]}),
        *({**FILE, "kind": "directory"}, {**LINK, "sizes": [0]}, {**LINK, "samples": ["5a" * 32]}),
        *({"kind": "link", "names": ["a"]}, {**LINK, "targets": ["x" * 5001]}),
        *({**LINK, "targets": []}, {**LINK, "targets": ["b", "c"]}),
        *({**FILE, "folder": ""}, {**FILE, "folder": 1}, {**FILE, "folder": ["a"]}),
        *({**FILE, "folder": "x" * 5001}, {**FILE, "folder": "x" * 4999}),
        # Names that are no valid Unicode, or whose bytes are not what is readable.
        *({**FILE, "names": ["\udc80"]}, {**FILE, "names": ["\ud800"]}),
        *({**LINK, "targets": ["\udc80"]}, {**FILE, "folder": "\udc80"}),
        *({**FILE, "raw_names": ["YQ"]}, {**FILE, "names": ["\ufffd"], "raw_names": ["77-9"]}),
        *({**FILE, "names": ["b"], "raw_names": ["gA"]}, {**FILE, "raw_names": []}),
        *({**FILE, "names": ["\ufffd"], "raw_names": [value]} for value in ("gA==", "gB", 1)),
        *({**FILE, "folder": "b", "raw_folder": "gA"}, {**FILE, "folder": "b", "raw_folder": [1]}),
        {**TWO, "names": ["a", "\ufffd"], "raw_names": ["YQ", "gA"]},
    ],
    ids=repr,
)
def test_refused(value: object) -> None:
    with pytest.raises(PeerProtocolError):
        parse_page_untrusted(json.dumps([value]).encode())


def test_not_refused() -> None:
    # So that the test above can fail.
    raw = {**FILE, "names": ["\ufffd"], "raw_names": ["gA"], "folder": "\ufffd", "raw_folder": "gA"}
    times = {"mtimes": [-1, 2], "mtimes_ns": [0, 999_999_999], "samples": ["5a" * 32] * 2}
    for value in (FILE, LINK, raw, {**TWO, **times, "mode": 0}, {**FILE, "new": []}):
        parse_page_untrusted(json.dumps([value]).encode())


@pytest.mark.parametrize("number", ["1" * 17, "-9007199254740992", "1e3", "1.0", "NaN", "1" * 9000])
def test_strange_numbers(number: str) -> None:
    for text in (f'[{{"kind":"file","names":["a"],"sizes":[{number}]}}]', f"[{number}]"):
        with pytest.raises(PeerProtocolError):
            parse_page_untrusted(text.encode())
    with pytest.raises(PeerProtocolError):
        parse_page_untrusted(f'[{{"kind":"directory","names":["a"],"new":{number}}}]'.encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("file"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=3,
)
KEYS = [*FILE, *LINK, "raw_names", "folder", "raw_folder", "mode", "mtimes", "mtimes_ns", "samples"]


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), JSON), max_size=2))
def test_nothing_else_escapes(value: Any) -> None:
    with contextlib.suppress(PeerProtocolError):
        parse_page_untrusted(json.dumps(value).encode())
