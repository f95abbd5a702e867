"""Decoders that need a state before they can read: brought into it, then given the bytes."""

import copy
import functools
import json
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any, cast

from rtcsend.datapath.congestion.cubic import Cubic
from rtcsend.datapath.sctp.association import Association, AssociationConfig
from rtcsend.datapath.sctp.reset import InboundResets, OutboundResets
from rtcsend.datapath.sctp.wire import COMMON_HEADER, HEADER_SIZE
from rtcsend.errors import PeerProtocolError
from rtcsend.files.paths import ProposedPaths
from rtcsend.manifest.page import MAX_PAGE_SIZE
from rtcsend.manifest.reading import ManifestReader
from rtcsend.pairing.envelope import Opener
from rtcsend.pairing.keys import Role
from rtcsend.pairing.machine import PairingMachine
from rtcsend.rendezvous.lan import service_of_untrusted
from rtcsend.rendezvous.local import _read_untrusted
from tests.pairing.pair import answer_of, machine

VECTORS = Path(__file__).parents[1] / "vectors"
TAG = 0x01020304
MAX_MESSAGE = 262_144
SEALING_KEY = bytes.fromhex(
    json.loads((VECTORS / "pairing.json").read_text())["cases"][0]["sealing_key"]["sender"]
)


def open_box_untrusted(data: bytes) -> object:
    """The first box of the sender of the vectors."""
    return Opener(SEALING_KEY).open_untrusted(data)


@functools.cache
def _started() -> PairingMachine:
    receiver = machine(Role.RECEIVER)
    receiver.start()
    return receiver


@functools.cache
def _awaiting_confirmation() -> PairingMachine:
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
    receiver.start()
    answer_of(receiver, sender.start())
    return receiver


def _copy_of(pairing: PairingMachine) -> PairingMachine:
    fresh = copy.copy(pairing)
    fresh._spake = copy.copy(pairing._spake)
    return fresh


def pair_untrusted(data: bytes) -> object:
    return _copy_of(_started()).receive_body_untrusted(data)


def pair_confirmation_untrusted(data: bytes) -> object:
    return _copy_of(_awaiting_confirmation()).receive_body_untrusted(data)


@functools.cache
def _announcement() -> Path:
    descriptor, name = tempfile.mkstemp(prefix="rtcsend-fuzz-")
    os.close(descriptor)
    return Path(name)


def read_announcement_untrusted(data: bytes) -> object:
    """The file by which processes of one machine find each other."""
    path = _announcement()
    try:
        path.write_bytes(data)
        return _read_untrusted(path)
    finally:
        path.unlink(missing_ok=True)


class _Answer:
    """A ``ServiceInfo`` of zeroconf, as far as it is looked at."""

    name = "rtcsend-0123._rtcsend._tcp.local."

    def __init__(self, data: bytes) -> None:
        port, version, nameplate, *addresses = (*data.split(b"\n"), b"", b"", b"")[:40]
        self.port = int.from_bytes(port[:4]) if port else None
        self.properties = {b"v": version or None, b"n": nameplate or None}
        self._addresses = addresses

    def addresses_by_version(self, _version: object) -> list[bytes]:
        return self._addresses


def answer_lan_untrusted(data: bytes) -> object:
    """Port, version, nameplate and addresses, a line each."""
    return service_of_untrusted(cast("Any", _Answer(data)))


def reset_streams_untrusted(data: bytes) -> object:
    """A RE-CONFIG parameter, as a request and as a response."""
    resets = InboundResets()
    answers = [resets.receive_request_untrusted(data) for _ in range(2)]
    ours = OutboundResets(1)
    ours.add(3, now=0.0)
    ours.chunk_to_send(last_tsn=7, their_sequence=1, rto=1.0, now=0.0)
    ours.receive_response_untrusted(data, now=0.0)
    return answers, resets.perform(0), ours.get_timer()


def _association(tag: int, *, own_peer: bool) -> Association:
    config = AssociationConfig(
        tag=tag,
        initial_tsn=0xFFFFFFF0,
        cookie=b"cookie",
        own_peer=own_peer,
        max_message_size=MAX_MESSAGE,
        controller=lambda mss, now: Cubic(mss=mss, now=now),
    )
    return Association(config, now=0.0)


def _established(*, own_peer: bool) -> Association:
    """An association that has sent something, and got nothing yet."""
    ours, theirs = _association(TAG, own_peer=own_peer), _association(5, own_peer=own_peer)
    ours.connect(now=0.0)
    theirs.connect(now=0.0)
    for _ in range(4):
        theirs.receive_packets_untrusted(ours.packets_to_send(now=0.0), now=0.0)
        ours.receive_packets_untrusted(theirs.packets_to_send(now=0.0), now=0.0)
    assert ours.is_established
    ours.send(0, 51, bytes(5_000))
    ours.send(1, 53, bytes(5_000))
    ours.packets_to_send(now=0.01)
    return ours


def deliver_chunks_untrusted(data: bytes) -> object:
    """Chunks in two packets with a good header, to an association that is under way.

    The first byte says where the second begins. It may be closed by them, never more.
    """
    header = COMMON_HEADER.pack(5000, 5000, TAG) + bytes(HEADER_SIZE - COMMON_HEADER.size)
    cut = 4 * data[0] + 1 if data else 0
    for own_peer in (True, False):
        association = _established(own_peer=own_peer)
        packets = [header + part for part in (data[1:cut], data[cut:]) if part]
        association.receive_packets_untrusted(packets, now=0.05)
        for now in (0.06, 1.5, 70.0):
            association.packets_to_send(now=now)
            association.handle_timer(now=now)
            while association.next_event() is not None:
                pass
    return None


def make_proposal_untrusted(text: str) -> object:
    """A proposal with a path a line; those that end with a slash are folders."""
    book = ProposedPaths(windows=True, folding=True, key=bytes(16))
    return [
        book.add_untrusted(path.removesuffix("/"), is_folder=path.endswith("/"))
        for path in text.split("\n")
    ]


def read_page_untrusted(data: bytes) -> object:
    """The first page of a proposal of more than any page holds."""
    reader = ManifestReader(entries=1 << 20, files=1 << 20, size=(1 << 53) - 1, digest="")
    reader.add_untrusted(0, data)
    return list(reader.manifest.entries())


def read_list_untrusted(data: bytes) -> object:
    """The same, packed here."""
    if len(data) > MAX_PAGE_SIZE:
        raise PeerProtocolError("It would not be packed.")
    return read_page_untrusted(zlib.compress(data))
