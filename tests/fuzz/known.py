"""Known machines: what decoders of theirs are given, and the state that they need before."""

import copy
import functools
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rtcsend.known.record import Machine, serialize_machine
from rtcsend.pairing.doors import Direction
from rtcsend.pairing.introduction import (
    introduction,
    kept,
    pair_secret,
    parse_introduction_untrusted,
)
from rtcsend.pairing.keys import Role, derive_session_keys
from rtcsend.pairing.known import KnownMachine

_VECTORS = Path(__file__).parents[1] / "vectors" / "known.json"
_ANSWERS: dict[str, Any] = json.loads(_VECTORS.read_text(encoding="utf-8"))
_KEYS = derive_session_keys(bytes.fromhex(_ANSWERS["introduced"]["spake2_key"]))
_OWN = {
    role: Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex(_ANSWERS["introduced"]["seed"][role.value])
    )
    for role in Role
}
_PUBLIC = {role: key.public_key().public_bytes_raw() for role, key in _OWN.items()}
_DIRECTION = Direction(
    secret=pair_secret(_KEYS), sender=_PUBLIC[Role.SENDER], receiver=_PUBLIC[Role.RECEIVER]
)
_EXCHANGE = _ANSWERS["exchange"]

INTRODUCTIONS = tuple(
    json.dumps(message).encode()
    for message in (introduction(_OWN[Role.SENDER], role=Role.SENDER, keys=_KEYS), kept())
)
MACHINES = (
    serialize_machine(Machine(name="laptop", key=bytes(32), secret=bytes(32), paired=1)),
    serialize_machine(Machine(name="büro", key=bytes(32), secret=bytes(32), paired=1, removed=2)),
)
NOTES = (_EXCHANGE["note"].encode(),)
FIRST_BODIES = (bytes.fromhex(_EXCHANGE["first"]["sender"]),)
SECOND_BODIES = (bytes.fromhex(_EXCHANGE["second"]["sender"]),)


def read_introduction_untrusted(data: bytes) -> object:
    """That of the sender of the vectors."""
    return parse_introduction_untrusted(data, role=Role.SENDER, keys=_KEYS)


def is_note_untrusted(text: str) -> object:
    """One for the receiver of the vectors."""
    return _DIRECTION.is_note_untrusted(text)


@functools.cache
def _receiver(*bodies: bytes) -> KnownMachine:
    """The receiver of the vectors, which has taken these bodies."""
    ephemeral = bytes.fromhex(_EXCHANGE["ephemeral_private"]["receiver"])
    machine = KnownMachine(
        Role.RECEIVER,
        own=_OWN[Role.RECEIVER],
        peer=_PUBLIC[Role.SENDER],
        secret=pair_secret(_KEYS),
        entropy=lambda _size: ephemeral,
    )
    machine.start()
    for body in bodies:
        machine.receive_body_untrusted(body)
    return machine


def take_first_untrusted(data: bytes) -> object:
    """At a door, by the receiver."""
    return copy.copy(_receiver()).receive_body_untrusted(data)


def take_second_untrusted(data: bytes) -> object:
    """After the ephemeral key of the sender."""
    return copy.copy(_receiver(*FIRST_BODIES)).receive_body_untrusted(data)
