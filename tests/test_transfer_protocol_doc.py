"""docs/transfer-protocol.md and the code say the same: numbers, types, states and examples."""

import base64
import enum
import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from spake2 import ed25519_basic as ed25519

from rtcsend import errors
from rtcsend.abort import error_from_abort_untrusted
from rtcsend.blocks import block_digest
from rtcsend.errors import RtcsendError
from rtcsend.manifest import entry, layout, outline
from rtcsend.manifest import manifest as manifest_module
from rtcsend.manifest.selection import Selection
from rtcsend.pairing.envelope import Opener
from rtcsend.pairing.keys import Role, derive_session_keys
from rtcsend.pairing.machine import State as PairingState
from rtcsend.pairing.reunion import State as ReunionState
from rtcsend.pairing.reunion import derive_reunion_keys, mailbox_name
from rtcsend.peer.candidate import maybe_parse_candidate_untrusted
from rtcsend.peer.description import parse_description_untrusted
from rtcsend.peer.signals import Hello, UnknownSignal, parse_signal_untrusted
from rtcsend.transfer import (
    frames,
    liveness,
    messages,
    movement,
    receiver,
    receiving,
    sender,
    sending,
)
from rtcsend.transfer.frames import FRAME_HEADER, parse_frame_untrusted
from rtcsend.transfer.machine_events import AllReceived, Proposed
from rtcsend.transfer.messages import (
    AbortMessage,
    EndMessage,
    parse_control_untrusted,
    serialize_control,
)
from rtcsend.transfer.receiver import ReceiverMachine
from rtcsend.transfer.sender import SenderMachine
from rtcsend.transfer.states import (
    RECEIVER_TRANSITIONS,
    SENDER_TRANSITIONS,
    ReceiverState,
    SenderState,
)
from tests.transfer.wire import file, listed

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "transfer-protocol.md").read_text("utf-8")
PAIRING: dict[str, Any] = json.loads((ROOT / "tests/vectors/pairing.json").read_text("utf-8"))


def section(title: str) -> str:
    """Return the text of a section of any level, with its subsections."""
    start = re.search(rf"^(#+) {re.escape(title)}$", PAGE, re.MULTILINE)
    assert start, f"there is no section {title}"
    rest = PAGE[start.end() :]
    end = re.search(rf"^#{{1,{len(start[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def table(text: str, first_column: str) -> list[list[str]]:
    """Return the cells of the table whose first heading is this one."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {first_column} |"):
            break
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    assert rows
    return rows


def unquoted(cell: str) -> str:
    return cell.strip("`")


def number(text: str) -> float:
    match = re.match(r"[0-9][0-9,.]*", text)
    assert match, text
    return float(match[0].replace(",", ""))


def examples(text: str) -> list[str]:
    """Return the JSON objects that stand as indented code."""
    return re.findall(r"^    (\{.*\})$", text, re.MULTILINE)


def states(title: str) -> set[str]:
    """Return the states of a section's diagram."""
    diagram = re.search(r"```mermaid\nstateDiagram-v2\n(.*?)```", section(title), re.DOTALL)
    assert diagram
    arrows = re.findall(r"^ +(\S+) --> ([^\s:]+)", diagram[1], re.MULTILINE)
    return {state for arrow in arrows for state in arrow} - {"[*]"}


# Numbers

LIMITS = {unquoted(name): limit for _, limit, name in table(section("12. Limits"), "what")}


@pytest.mark.parametrize("name", LIMITS)
def test_limits(name: str) -> None:
    module, _, constant = name.rpartition(".")
    assert number(LIMITS[name]) == getattr(importlib.import_module(module), constant)


@pytest.mark.parametrize(
    "module",
    [
        *(messages, frames, liveness, movement, receiver, receiving, sender, sending),
        *(entry, layout, outline, manifest_module),
    ],
)
def test_no_limit_is_left_out(module: ModuleType) -> None:
    of_its_own = {
        f"{module.__name__}.{name}"
        for name, value in vars(module).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, int | float)
    }
    defined_elsewhere = {
        name
        for name in of_its_own
        if re.search(rf"^{name.rpartition('.')[2]}: Final", source_of(module), re.MULTILINE) is None
    }
    assert of_its_own - defined_elsewhere <= set(LIMITS)


def source_of(module: ModuleType) -> str:
    assert module.__file__
    return Path(module.__file__).read_text("utf-8")


# Control messages


def test_message_types() -> None:
    text = section("3. Control messages")
    listed = [unquoted(row[0]) for row in table(text, "type")]
    assert set(listed) == set(messages._PARSERS)
    assert re.findall(r"^### `(\w+)`$", text, re.MULTILINE) == listed


@pytest.mark.parametrize("kind", messages._PARSERS)
def test_examples_and_fields_of_messages(kind: str) -> None:
    text = section(f"`{kind}`")
    fields = json.loads(examples(text)[0])
    message = parse_control_untrusted(json.dumps(fields))
    assert isinstance(message, AbortMessage) or json.loads(serialize_control(message)) == fields
    if "| field |" not in text:
        return
    described = {unquoted(row[0]) for row in table(text, "field")}
    assert {name for name in described if "[" not in name} == set(fields) - {"type"}


def test_what_an_abort_means() -> None:
    slugs = {
        error.slug
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, RtcsendError)
    }
    for code, _, _, exit_code in table(section("7. Aborts"), "code"):
        assert unquoted(code) in slugs
        message = {"type": "abort", "code": unquoted(code), "reason": ""}
        assert error_from_abort_untrusted(message).exit_code == int(exit_code)
    unknown = {"type": "abort", "code": "unheard-of", "reason": ""}
    assert error_from_abort_untrusted(unknown).exit_code == 41


def test_every_error_that_changes_its_reader_is_listed() -> None:
    listed = {unquoted(row[0]) for row in table(section("7. Aborts"), "code")}
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, RtcsendError):
            message = {"type": "abort", "code": error.slug, "reason": ""}
            assert error.slug in listed or error_from_abort_untrusted(message).exit_code == 41


# Frames


def test_the_frame_header() -> None:
    rows = table(section("4. Frames"), "offset")
    assert [int(row[0]) for row in rows] == [0, 1, 2, 4, 8, 16]
    assert [int(row[1]) for row in rows[:-1]] == [1, 1, 2, 4, 8]
    assert FRAME_HEADER.size == 16
    assert FRAME_HEADER.format == "!BBHIQ"


def test_the_frame_that_is_shown() -> None:
    shown = re.search(r"^    (01 00 [0-9a-f ]+)$", section("4. Frames"), re.MULTILINE)
    assert shown
    frame = parse_frame_untrusted(bytes.fromhex(shown[1]))
    assert (frame.offset, bytes(frame.payload)) == (0, b"hello, world\n")


# States, and the example


@pytest.mark.parametrize(
    ("title", "machine"),
    [
        ("Sender", SenderState),
        ("Receiver", ReceiverState),
        ("13. Pairing", PairingState),
        ("Meeting again", ReunionState),
    ],
)
def test_states(title: str, machine: type[enum.Enum]) -> None:
    assert states(title) == {state.name for state in machine}


@pytest.mark.parametrize(
    ("title", "table"), [("Sender", SENDER_TRANSITIONS), ("Receiver", RECEIVER_TRANSITIONS)]
)
def test_the_drawing_is_the_table(
    title: str, table: Mapping[tuple[enum.Enum, enum.Enum], enum.Enum]
) -> None:
    drawn = re.findall(r"^ +([A-Z_]+) --> ([A-Z_]+): (.*)$", section(title), re.MULTILINE)
    coded = {(state.name, following.name, move.value) for (state, move), following in table.items()}
    assert set(drawn) == coded
    assert len(drawn) == len(coded)


HELLO = b"hello, world\n"


@pytest.mark.parametrize(
    ("title", "there"),
    [("A whole file", 0), ("After a reconnection", 5), ("What an earlier transfer has left", 0)],
)
def test_two_machines_have_the_conversation_of_the_example(title: str, there: int) -> None:
    rows = [[unquoted(cell) for cell in row] for row in table(section(title), "from")]
    said = [(who, channel, message) for who, channel, message, _ in rows if channel]
    proposal = parse_control_untrusted(said[0][2])
    assert isinstance(proposal, messages.ProposalMessage)
    known = replace(proposal, repeated=False)
    manifest = listed(file(len(HELLO), "hello.txt"))
    selection = Selection(manifest)
    sending = SenderMachine(
        known,
        manifest,
        selection=selection if proposal.repeated else None,
        reached=there,
        limit=0,
        now=0.0,
    )
    earlier = Proposed(proposal=known, manifest=manifest) if proposal.repeated else None
    receiving = ReceiverMachine(earlier=earlier, digest=None, limit=0, now=0.0)
    content = HELLO[:there]
    for who, channel, message in said:
        if who == "R":
            act_as_receiver(receiving, message, selection, written=len(content) - there)
            assert message in iter(receiving.next_message, None)
            sending.receive_control_untrusted(message, now=0.0)
        elif channel == "data":
            payload = parse_frame_untrusted(bytes.fromhex(message)).payload
            assert sending.frames(payload, size=100, now=0.0) == [bytes.fromhex(message)]
            content += receiving.receive_frame_untrusted(bytes.fromhex(message), now=0.0).payload
        else:
            act_as_sender(sending, message)
            assert message in iter(sending.next_message, None)
            receiving.receive_control_untrusted(message, now=0.0)
    assert sending.state is SenderState.CLOSED
    assert receiving.state is ReceiverState.CLOSED
    assert content == HELLO or sending.kept == receiving.kept == len(HELLO)


def act_as_sender(machine: SenderMachine, text: str) -> None:
    message = parse_control_untrusted(text)
    if isinstance(message, EndMessage):
        if machine.position == 0:
            assert machine.pass_over(memoryview(HELLO), now=0.0) == len(HELLO)
        assert message.digest == blake3(HELLO).hexdigest()
        machine.end(message.digest, now=0.0)
    elif isinstance(message, messages.ByeMessage):
        machine.bye(now=0.0)


def act_as_receiver(
    machine: ReceiverMachine, text: str, selection: Selection, *, written: int
) -> None:
    match parse_control_untrusted(text):
        case messages.PingMessage():
            machine.handle_timer(now=liveness.PING_INTERVAL)
        case messages.AcceptMessage(start=start, blocks=blocks):
            machine.accept(selection, start=start, blocks=blocks, now=0.0)
        case messages.HaveMessage():
            machine.have(0, block_digest(HELLO), now=0.0)
        case messages.WrittenMessage():
            machine.written(written, now=0.0)
            machine.acknowledge(now=0.0)
        case messages.CompleteMessage(digest=digest):
            events = list(iter(machine.next_event, None))
            assert AllReceived(digest=digest) in events
            machine.complete(digest, now=0.0)
        case _:
            pytest.fail(f"a receiver does not say {text}")


def test_the_digest_of_the_empty_file() -> None:
    assert blake3(b"").hexdigest() in section("6. Digest and end")


# Pairing and sealed boxes: a client written from the page alone, against the vectors

L = 2**252 + 27742317777372353535851937790883648493


def hkdf(secret: bytes, info: str, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=b"", info=info.encode()).derive(secret)


def fixed_element(name: str) -> Any:
    match = re.search(rf"^    {name} = ([0-9a-f]{{64}})$", section("SPAKE2"), re.MULTILINE)
    assert match
    return ed25519.bytes_to_element(bytes.fromhex(match[1]))


@pytest.mark.parametrize("case", PAIRING["cases"], ids=lambda case: str(case["nameplate"]))
def test_spake2_as_described(case: dict[str, Any]) -> None:
    password = case["words"].encode("ascii")
    identity = f"rtcsend/1/{case['nameplate']}".encode("ascii")
    w = int.from_bytes(hkdf(password, "SPAKE2 pw", 48), "big") % L
    x, y = (
        int.from_bytes(bytes.fromhex(case["entropy"][role]), "big") % L
        for role in ("sender", "receiver")
    )
    m, n = fixed_element("M"), fixed_element("N")
    x_star = ed25519.Base.scalarmult(x).add(m.scalarmult(w))
    y_star = ed25519.Base.scalarmult(y).add(n.scalarmult(w))
    assert b"A" + x_star.to_bytes() == bytes.fromhex(case["spake2_message"]["sender"])
    assert b"B" + y_star.to_bytes() == bytes.fromhex(case["spake2_message"]["receiver"])

    k = y_star.add(n.scalarmult(-w)).scalarmult(x)
    assert k == x_star.add(m.scalarmult(-w)).scalarmult(y)
    transcript = [
        sha256(password).digest(),
        sha256(identity).digest(),
        sha256(identity).digest(),
        x_star.to_bytes(),
        y_star.to_bytes(),
        k.to_bytes(),
    ]
    assert len(transcript) == len(table(section("SPAKE2"), "bytes"))
    assert sha256(b"".join(transcript)).hexdigest() == case["spake2_key"]


def test_labels_of_the_keys() -> None:
    secret = bytes(range(32))
    keys = derive_session_keys(secret)
    infos = [unquoted(row[0]) for row in table(section("Keys"), "info")]
    assert [hkdf(secret, info, 32) for info in infos[:5]] == [
        keys.confirmation[Role.SENDER],
        keys.confirmation[Role.RECEIVER],
        keys.sealing[Role.SENDER],
        keys.sealing[Role.RECEIVER],
        keys.reconnection,
    ]
    value = int.from_bytes(hkdf(secret, infos[5], 32), "big")
    groups = [f"{value // 10_000**place % 10_000:04}" for place in range(6)]
    assert " ".join(groups) == keys.verification


@pytest.mark.parametrize("case", PAIRING["reunions"], ids=["counting", "ones"])
def test_meeting_again_as_described(case: dict[str, Any]) -> None:
    text = section("Meeting again")
    secret = bytes.fromhex(case["reconnection_secret"])
    sender_nonce, receiver_nonce = (
        bytes.fromhex(case["nonce"][role]) for role in ("sender", "receiver")
    )
    keys = derive_reunion_keys(secret, sender_nonce=sender_nonce, receiver_nonce=receiver_nonce)
    infos = [unquoted(row[0]) for row in table(text, "info")]
    salt = sender_nonce + receiver_nonce
    derived = [
        HKDF(algorithm=SHA256(), length=32, salt=salt, info=info.encode()).derive(secret)
        for info in infos
    ]
    roles = (Role.SENDER, Role.RECEIVER)
    assert derived == [of[role] for of in (keys.confirmation, keys.sealing) for role in roles]
    name = base64.urlsafe_b64encode(hkdf(secret, "rtcsend/1/reunion/mailbox", 32))
    assert name.decode().rstrip("=") == mailbox_name(secret) == case["mailbox"]
    kinds = {unquoted(row[0].split()[0]): row[1] for row in table(text, "byte")}
    assert len(case["nonce_body"]["sender"]) == 2 * number(kinds["D"])
    assert bytes.fromhex(case["confirmation"]["sender"])[:1] == b"F"
    assert kinds["F"] == "33 bytes"


def test_the_verification_string_that_is_shown() -> None:
    assert PAIRING["cases"][0]["verification"] in section("Verification string")


def test_a_box_has_the_layout_that_is_shown() -> None:
    rows = table(section("14. Sealed boxes"), "offset")
    assert [row[0] for row in rows[:3]] == ["0", "1", "9"]
    case = PAIRING["cases"][0]
    opener = Opener(bytes.fromhex(case["sealing_key"]["sender"]))
    for sequence, box in enumerate(case["sealed"]["sender"]):
        body = bytes.fromhex(box["body"])
        assert body[:9] == b"S" + sequence.to_bytes(8, "big")
        assert len(body) == 9 + len(opener.open_untrusted(body)) + 16


# Signals


def test_signal_types() -> None:
    rows = table(section("15. Signals"), "type")
    for kind, _, fields, _ in rows:
        signal = {"type": unquoted(kind)}
        known = parsed_or_refused(signal)
        assert known != UnknownSignal(), kind
        for field in re.findall(r"`(\w+)`", fields):
            assert field in section("15. Signals")
    assert parsed_or_refused({"type": "of-a-later-version"}) == UnknownSignal()


def parsed_or_refused(fields: dict[str, str]) -> object:
    try:
        return parse_signal_untrusted(json.dumps(fields).encode())
    except errors.PeerProtocolError:
        return None


def test_the_greeting_that_is_shown() -> None:
    shown = examples(section("`hello`"))[0]
    hello = parse_signal_untrusted(shown.encode())
    assert isinstance(hello, Hello)
    assert hello.protocols == (1,)
    described = {unquoted(row[0]) for row in table(section("`hello`"), "field")}
    assert described == set(json.loads(shown)) - {"type"}


def test_the_description_that_is_shown() -> None:
    lines = re.findall(r"^    ((?:[a-z]=).*)$", section("`offer` and `answer`"), re.MULTILINE)
    sdp = "".join(f"{line}\r\n" for line in lines)
    assert parse_description_untrusted("offer", sdp).to_sdp() == sdp


def test_the_candidate_that_is_shown() -> None:
    shown = json.loads(examples(section("`candidate`"))[0])
    candidate = maybe_parse_candidate_untrusted(shown["candidate"])
    assert str(candidate) == shown["candidate"]
