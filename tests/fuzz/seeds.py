"""Valid input of each decoder, and nearly valid one: of the vectors, and of the code itself."""

import base64
import json
from typing import Any, Final

from rtcsend.abort import abort_message
from rtcsend.datapath.sctp.wire import HEADER_SIZE, chunks_untrusted, parameters_untrusted
from rtcsend.errors import Declined
from rtcsend.files.journal import Journal, serialize_header, serialize_synced
from rtcsend.files.tree_journal import TreeJournal, serialize_tree_journal
from rtcsend.options import RoutePolicy
from rtcsend.pairing.envelope import Sealer
from rtcsend.pairing.keys import Role
from rtcsend.peer.candidate import Candidate
from rtcsend.peer.description import Description
from rtcsend.peer.signals import (
    CandidateSignal,
    DescriptionSignal,
    EndOfCandidates,
    Hello,
    serialize_message,
    serialize_signal,
)
from rtcsend.rendezvous.frames import serialize
from rtcsend.rendezvous.messages import (
    Allocate,
    Allocated,
    Claim,
    Claimed,
    ErrorMessage,
    IceServer,
    Meet,
    Message,
    Peer,
    Release,
    Resume,
    Resumed,
    Welcome,
)
from tests.fuzz.stateful import SEALING_KEY, VECTORS
from tests.pairing.pair import confirmations, machine

_SIDE = "AAAAAAAAAAAAAAAAAAAAAA"
_DIGEST = ":".join(["A0"] * 32)


def _vectors(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def _texts(*texts: str) -> tuple[bytes, ...]:
    return tuple(text.encode(errors="surrogateescape") for text in texts)


CODES: Final = _texts(
    "7-guitar-velvet",
    "123456789-zoo-abandon-zebra-ability",
    " 7 Guitar VELVET\n",
    "7guitarvelvet",
    "\u201c7\u2014guitar\u2014velvet\u201d",
    "\uff17-guitar-velvet",
    "7-gutiar-velvet",
    "7-guitar-",
)
SERVER_URLS: Final = _texts(
    "wss://rendezvous.example.org",
    "192.168.1.7:8765",
    "http://[::1]:80/under/v1/",
    "fe80::1",
    "wss://xn--bcher-kva.example:443/v1",
    "ws://user:password@host/?q#f",
)
ICE_URLS: Final = _texts(
    "stun:stun.example.org:3478",
    "turn:ada:s%3Acret@[2001:db8::1]:3478?transport=tcp",
    "turns:ada:secret@192.0.2.7",
    "turns:turn.example.org:443?transport=tcp",
)
CLIENT_MESSAGES: Final = _texts(
    *(
        serialize(message)
        for message in (
            Allocate(),
            Allocate(nameplate="7", side=_SIDE, received=3),
            Claim(nameplate="123456789"),
            Meet(mailbox="m" * 64, side=_SIDE, permit="7.p", auth="token"),
            Resume(token="t" * 22, nameplate="7", received=1_000_000_000),
            Message(bytes(range(64))),
            Release(),
        )
    )
)
SERVER_MESSAGES: Final = _texts(
    *(
        serialize(message)
        for message in (
            Welcome(
                server="rtcsend-server 1",
                ice_servers=(
                    IceServer(("stun:a:1", "turn:b?transport=udp"), "user", "credential"),
                    IceServer(("stun:[::1]:2",)),
                ),
                motd="hello",
            ),
            Allocated(nameplate="7", token="t" * 22, received=2),
            Claimed(token="t" * 22),
            Resumed(received=5),
            Message(b"\xff" * 40),
            Peer("joined"),
            ErrorMessage(code="rate-limited", message="Slow down."),
        )
    )
)
BASE64URL: Final = _texts("", "AA", "_-8", "AAAA", "A" * 5, "AB==")
ANNOUNCEMENTS: Final = _texts(
    '{"v": 1, "url": "ws://127.0.0.1:40123/v1"}', '{"v":1,"url":"ws://[::1]:1"}', "[1]"
)
LOG_ENTRIES: Final = (
    b"0-0 1763736000000-0 aa.1 enter 1.5 aa 1 tttttttttttttttttttttt "
    b'{"type":"allocate","received":0}\n',
    b"1763736000000-0 1763736000000-1 aa.2 say 1.5 aa 1\nhello",
    b"1-1 2-0 aa.3 expire expired t\n",
    b"1-1 2-0 aa.3 expire over t u\n",
    b"2-0 3-0 aa.4 gone bb\n",
    b"3-0 4-0 aa.5 away 1.5 aa 1\n",
    b"4-0 5-0 aa.6 leave 1e999 aa 1\n",
)

LAN_ANSWERS: Final = (
    b"\x9c\xbb\n1\n7\n\xc0\xa8\x01\x07\n" + bytes(15) + b"\x01",
    b"\x01\n1\n42\n" + bytes([0xFE, 0x80, *bytes(13), 1]) + b"\n\x7f\x00\x00\x01",
)


def _boxes() -> tuple[bytes, ...]:
    return tuple(
        Sealer(SEALING_KEY).seal(plaintext) for plaintext in (b"", b'{"type":"abort"}', bytes(1000))
    )


SEALED_BOXES: Final = _boxes()
PAIRING_BODIES: Final = (
    *confirmations(machine(Role.SENDER), machine(Role.RECEIVER)),
    *(
        bytes.fromhex(case[kind][role])
        for case in _vectors("pairing")["cases"]
        for kind in ("spake2_message", "confirmation")
        for role in ("sender", "receiver")
    ),
)
_OFFER: Final = Description(
    type="offer",
    ice_ufrag="aB+/",
    ice_pwd="0123456789abcdefghijkl",
    fingerprints=(("sha-256", _DIGEST), ("sha-512", ":".join(["00"] * 64))),
    setup="actpass",
)
_ANSWER: Final = Description(
    type="answer",
    ice_ufrag="aB+/",
    ice_pwd="0123456789abcdefghijkl",
    fingerprints=(("sha-256", _DIGEST),),
    setup="active",
    max_message_size=65_536,
    sctp_init=bytes.fromhex("010000140000000100100000040004000000000a"),
)
_CANDIDATES: Final = (
    Candidate(foundation="1", priority=2130706431, address="192.0.2.1", port=50000, type="host"),
    Candidate(
        foundation="abc/+",
        priority=1,
        address="2001:db8::1",
        port=65535,
        type="relay",
        related_address="0.0.0.0",
        related_port=9,
    ),
    Candidate(foundation="2", priority=7, address="a-b.local", port=1, type="host"),
)
DESCRIPTIONS: Final = _texts(_OFFER.to_sdp(), _ANSWER.to_sdp())
CANDIDATES: Final = _texts(
    *map(str, _CANDIDATES),
    "candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active",
    "a=candidate:842163049 1 udp 1677729535 192.0.2.9 46154 typ srflx raddr 0.0.0.0 rport 0"
    " generation 0 ufrag EEtu network-cost 999",
)
SIGNALS: Final = (
    serialize_signal(Hello(agent="rtcsend/1", route=RoutePolicy.ANY, datapath=2)),
    serialize_signal(DescriptionSignal(_OFFER)),
    serialize_signal(DescriptionSignal(_ANSWER)),
    *(serialize_signal(CandidateSignal(candidate)) for candidate in _CANDIDATES),
    serialize_signal(EndOfCandidates()),
    serialize_message(abort_message(Declined("No."))),
)
_TRANSFER: Final = _vectors("transfer")
CONTROL: Final = _texts(
    *(
        example["text"]
        for kind in ("control", "control_also_valid", "aborts", "bad_control")
        for example in _TRANSFER[kind]
    )
)
LISTS: Final = _texts(*(example["text"] for example in _TRANSFER["pages"]))
PAGES: Final = tuple(
    base64.urlsafe_b64decode(example["page"] + "==")
    for kind in ("pages", "bad_pages")
    for example in _TRANSFER[kind]
)
FRAMES: Final = tuple(
    bytes.fromhex(example["hex"])
    for kind in ("frames", "bad_frames")
    for example in _TRANSFER[kind]
)
SCTP_PACKETS: Final = tuple(bytes.fromhex(text) for text in _vectors("sctp").values())
_CHUNKS: Final = tuple(
    chunk for packet in SCTP_PACKETS for chunk in chunks_untrusted(packet) if chunk.type != 1
)
SCTP_CHUNKS: Final = tuple(b"\xff" + packet[HEADER_SIZE:] for packet in SCTP_PACKETS)
SCTP_VALUES: Final = (
    *(chunk.value for chunk in _CHUNKS),
    *(value for chunk in _CHUNKS for _, value in parameters_untrusted(chunk.value)),
)
_JOURNAL: Final = serialize_header(
    Journal(size=10_000_000, sample="0f" * 32, name="film.iso", time=1_700_000_000)
)
JOURNALS: Final = (
    _JOURNAL,
    _JOURNAL + serialize_synced(0) + serialize_synced(1 << 20) + serialize_synced(10_000_000),
    _JOURNAL + serialize_synced(1 << 20) + bytes(20),
)
_TREE_JOURNAL: Final = serialize_tree_journal(
    TreeJournal(manifest="0f" * 32, name="photos", tops=2, files=3, bytes=4, time=1_700_000_000)
)
KEPT_NAMEPLATES: Final = (b"7", b"123456789", b"7}:x", b"\xff")
TREE_JOURNALS: Final = (_TREE_JOURNAL, _TREE_JOURNAL[:-20], _TREE_JOURNAL.replace(b"4", b"-4"))
NAMES: Final = _texts(
    "film.iso",
    ".bashrc",
    "archive.tar.gz",
    "cafe\u0301",
    "..",
    "CON.txt",
    "photo\u202egpj.exe",
    "PROGRA~1",
    ".x.rtcsend-partial",
    "a" * 300 + ".iso",
    "x\udcff",
)
PATHS: Final = _texts(
    "photos/2026/IMG 1.jpg",
    "a/../b",
    "C:/x",
    "a/b:c/aux",
    "A/x\na/x\nA/\na/y\nB",
    "e\u0301/x\n\u00e9/x\ny",
    "/".join("d" * 128),
)
