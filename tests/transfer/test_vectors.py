"""The wire vectors that other clients check themselves against hold for this one."""

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from rtcsend.base64url import decode_base64url_untrusted, encode_base64url
from rtcsend.errors import PeerProtocolError, UnsafePath
from rtcsend.manifest.digest import ListDigest
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.page import parse_page_untrusted
from rtcsend.manifest.reading import ManifestReader
from rtcsend.manifest.selection import Selection
from rtcsend.manifest.sums import SUM_BYTES, sums_of
from rtcsend.transfer.compression import load, pack, unpack_untrusted
from rtcsend.transfer.frames import (
    FRAME_HEADER,
    MAX_PAYLOAD,
    parse_frame_untrusted,
    serialize_frame,
)
from rtcsend.transfer.machine_events import ProposalBegan, Proposed
from rtcsend.transfer.messages import (
    AbortMessage,
    ControlMessage,
    ProposalMessage,
    parse_control_untrusted,
    serialize_control,
)
from rtcsend.transfer.receiver import ReceiverMachine
from rtcsend.transfer.sender import SenderMachine
from tests.manifest.trees import reader_of

PATH = Path(__file__).parents[1] / "vectors" / "transfer.json"
VECTORS: dict[str, list[dict[str, Any]]] = json.loads(PATH.read_text("utf-8"))


def fields_of(message: ControlMessage) -> object:
    return json.loads(serialize_control(message))


def name_of(vector: dict[str, Any]) -> str:
    return str(vector.get("name") or vector.get("text"))


def vectors(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", VECTORS[kind], ids=name_of)


@vectors("frames")
def test_frames(vector: dict[str, Any]) -> None:
    message, payload = bytes.fromhex(vector["hex"]), bytes.fromhex(vector["payload"])
    offset = vector["offset"]
    assert serialize_frame(offset=offset, payload=payload) == message
    assert parse_frame_untrusted(message) == (offset, memoryview(payload))


@vectors("bad_frames")
def test_bad_frames(vector: dict[str, Any]) -> None:
    with pytest.raises(PeerProtocolError):
        parse_frame_untrusted(bytes.fromhex(vector["hex"]))


@vectors("packed_frames")
def test_packed_frames(vector: dict[str, Any]) -> None:
    assert load()
    message = bytes.fromhex(vector["hex"])
    payload = bytes.fromhex(vector["payload"]) * vector["times"]
    frame = parse_frame_untrusted(message, unpack=unpack_untrusted)
    assert frame == (vector["offset"], memoryview(payload))
    ours = serialize_frame(
        offset=vector["offset"], payload=pack(memoryview(payload)), is_packed=True
    )
    assert ours[: FRAME_HEADER.size] == message[: FRAME_HEADER.size]
    with pytest.raises(PeerProtocolError):  # nobody has asked for it
        parse_frame_untrusted(message)


@vectors("bad_packed_frames")
def test_bad_packed_frames(vector: dict[str, Any]) -> None:
    assert load()
    with pytest.raises(PeerProtocolError):
        parse_frame_untrusted(bytes.fromhex(vector["hex"]), unpack=unpack_untrusted)


@vectors("pages")
def test_pages(vector: dict[str, Any]) -> None:
    page, text = decode_base64url_untrusted(vector["page"]), vector["text"].encode()
    assert page is not None
    assert zlib.decompress(page) == text
    assert blake3(text).hexdigest() == vector["digest"]
    entries = [entry for group in parse_page_untrusted(text) for entry in group.entries()]
    manifest = Manifest()
    for entry in entries:
        manifest.add(entry)
    manifest.close()
    assert manifest.digest == vector["digest"]
    reader = reader_of(manifest)
    reader.add_untrusted(0, page)
    assert list(reader.manifest.entries()) == entries


@vectors("bad_pages")
def test_bad_pages(vector: dict[str, Any]) -> None:
    page = decode_base64url_untrusted(vector["page"])
    assert page is not None
    reader = ManifestReader(entries=5, files=5, size=5, digest="00" * 32)
    with pytest.raises((PeerProtocolError, UnsafePath)):
        reader.add_untrusted(0, page)


@vectors("control")
def test_control(vector: dict[str, Any]) -> None:
    message = parse_control_untrusted(vector["text"])
    assert fields_of(message) == vector["fields"]
    assert serialize_control(message) == vector["text"]


@vectors("control_also_valid")
def test_control_that_others_may_write(vector: dict[str, Any]) -> None:
    assert fields_of(parse_control_untrusted(vector["text"])) == vector["fields"]


@vectors("aborts")
def test_aborts(vector: dict[str, Any]) -> None:
    message = parse_control_untrusted(vector["text"])
    assert isinstance(message, AbortMessage)
    assert message.error.exit_code == vector["exit_code"]


@vectors("bad_control")
def test_bad_control(vector: dict[str, Any]) -> None:
    with pytest.raises(PeerProtocolError):
        parse_control_untrusted(vector["text"])


@vectors("exchanges")
def test_a_receiver_has_it_in_the_end(vector: dict[str, Any]) -> None:
    assert load()
    machine = ReceiverMachine(earlier=None, digest=None, limit=0, now=0.0)
    content = b""
    for message in vector["messages"]:
        if message["from"] == "receiver":
            said = json.loads(message["control"])
            answer(machine, said)
            machine.acknowledge(now=0.0)  # what is written, however little
            assert json.loads(machine.next_message() or "{}") == said
        elif "frame" in message:
            frame = bytes.fromhex(message["frame"])
            content += machine.receive_frame_untrusted(frame, now=0.0).payload
        else:
            machine.receive_control_untrusted(message["control"], now=0.0)
    assert machine.is_over
    assert machine.next_message() is None
    assert content == bytes.fromhex(vector["content"])


def answer(machine: ReceiverMachine, said: dict[str, Any]) -> None:
    """Have the machine say that."""
    match said["type"]:
        case "accept":
            began, proposed = machine.next_event(), machine.next_event()
            assert isinstance(began, ProposalBegan)
            assert isinstance(proposed, Proposed)
            unpack = unpack_untrusted if said.get("zstd") else None
            selection = Selection(proposed.manifest)
            machine.accept(selection, start=0, blocks=0, unpack=unpack, now=0.0)
        case "written":
            machine.written(said["bytes"], now=0.0)
        case _:
            machine.complete(said["digest"], now=0.0)


@vectors("exchanges")
def test_a_sender_says_the_same(vector: dict[str, Any]) -> None:
    messages = vector["messages"]
    sent = [message for message in messages if message["from"] == "sender"]
    proposal, entries, *_ = [json.loads(m["control"]) for m in sent if "control" in m]
    page = decode_base64url_untrusted(entries["page"])
    assert page is not None
    reader = ManifestReader(
        entries=proposal["entries"],
        files=proposal["files"],
        size=proposal["bytes"],
        digest=proposal["digest"],
    )
    reader.add_untrusted(0, page)
    machine = SenderMachine(
        ProposalMessage(**{key: value for key, value in proposal.items() if key != "type"}),
        reader.manifest,
        selection=None,
        reached=0,
        limit=0,
        now=0.0,
    )
    for message in messages:
        if message["from"] == "receiver":
            machine.receive_control_untrusted(message["control"], now=0.0)
        elif "frame" in message:
            frame = bytes.fromhex(message["frame"])
            plain = parse_frame_untrusted(frame, unpack=unpack_untrusted if frame[1] else None)
            made = machine.frames(plain.payload, size=MAX_PAYLOAD, now=0.0)
            assert made == [serialize_frame(offset=plain.offset, payload=plain.payload)]
        else:
            said = json.loads(message["control"])
            if said["type"] == "end":
                machine.end(said["digest"], now=0.0)
            if said["type"] == "bye":
                machine.bye(now=0.0)
            assert json.loads(machine.next_message() or "{}") == said


@pytest.mark.parametrize("vector", VECTORS["digests"], ids=lambda vector: str(vector["blake3"]))
def test_digests(vector: dict[str, Any]) -> None:
    assert blake3(bytes.fromhex(vector["hex"])).hexdigest() == vector["blake3"]


@pytest.mark.parametrize("vector", VECTORS["list_digests"], ids=lambda vector: vector["blake3"])
def test_digests_of_many_files(vector: dict[str, Any]) -> None:
    digest = ListDigest()
    for of_file, path in vector["files"]:
        digest.add(of_file, path)
    assert digest.hexdigest() == vector["blake3"]


@pytest.mark.parametrize("vector", VECTORS["file_sums"], ids=lambda vector: vector["rows"])
def test_sums_of_many_files(vector: dict[str, Any]) -> None:
    prefixes = b"".join(bytes.fromhex(digest)[:SUM_BYTES] for digest in vector["digests"])
    sums = sums_of(prefixes)
    assert (encode_base64url(sums.rows), encode_base64url(sums.columns)) == (
        vector["rows"],
        vector["columns"],
    )


def test_every_type_has_a_vector() -> None:
    kinds = {vector["fields"]["type"] for vector in VECTORS["control"]} | {"abort"}
    assert kinds == {
        "proposal", "entries", "skip", "accept", "have", "checking", "written", "end",
        "complete", "bye", "ping", "abort",
    }  # fmt: skip
