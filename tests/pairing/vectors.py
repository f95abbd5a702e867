"""The known answers of tests/vectors/pairing.json, computed by this implementation.

``python -m tests.pairing.vectors`` prints the file anew. It may only change together with
the version in the identity, since every released program relies on it.
"""

import functools
import json
import sys
from typing import Any

from spake2 import SPAKE2_A
from spake2.parameters.ed25519 import ParamsEd25519

from rtcsend.pairing.envelope import Sealer
from rtcsend.pairing.keys import Role, derive, derive_session_keys
from rtcsend.pairing.machine import PairingMachine
from rtcsend.pairing.reunion import ReunionMachine, mailbox_name, seal_farewell
from tests.pairing.pair import answer_of

CASES = [
    ("7", "guitar-velvet", bytes(range(64)), bytes(range(64, 128))),
    ("123456789", "zoo-abandon-zebra-ability", bytes([0xFF]) * 64, bytes(63) + b"\x01"),
]
"""Nameplate, words, and the 64 bytes that each side's entropy source gives."""

REUNIONS = [
    (bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))),
    (bytes([0xFF]) * 32, bytes(31) + b"\x01", bytes([0xFF]) * 32),
]
"""Reconnection secret, and the nonce of each side."""

PLAINTEXTS = ['{"type":"end-of-candidates"}', ""]
"""Sealed one after the other by each side."""


def case(nameplate: str, words: str, of_sender: bytes, of_receiver: bytes) -> dict[str, Any]:
    entropy = {Role.SENDER: of_sender, Role.RECEIVER: of_receiver}
    sender, receiver = (
        PairingMachine(
            role,
            nameplate=nameplate,
            password=words.encode(),
            entropy=functools.partial(fixed, entropy[role]),
        )
        for role in (Role.SENDER, Role.RECEIVER)
    )
    messages = {Role.SENDER: sender.start(), Role.RECEIVER: receiver.start()}
    confirmations = {
        Role.SENDER: answer_of(sender, messages[Role.RECEIVER]),
        Role.RECEIVER: answer_of(receiver, messages[Role.SENDER]),
    }
    sender.receive_body_untrusted(confirmations[Role.RECEIVER])
    receiver.receive_body_untrusted(confirmations[Role.SENDER])
    assert sender.keys == receiver.keys
    shared = shared_key(nameplate, words, of_sender=of_sender, message=messages[Role.RECEIVER])
    keys = derive_session_keys(shared)
    assert keys == sender.keys
    return {
        "nameplate": nameplate,
        "words": words,
        "identity": identity(nameplate),
        "password_scalar": f"{ParamsEd25519.group.password_to_scalar(words.encode()):064x}",
        "entropy": by_role(entropy),
        "spake2_message": by_role(messages),
        "spake2_key": shared.hex(),
        "confirmation_key": by_role(keys.confirmation),
        "confirmation": by_role(confirmations),
        "sealing_key": by_role(keys.sealing),
        "reconnection_secret": keys.reconnection.hex(),
        "verification_key": derive(shared, "verification").hex(),
        "verification": keys.verification,
        "sealed": {role.value: boxes(keys.sealing[role]) for role in Role},
    }


def reunion(secret: bytes, of_sender: bytes, of_receiver: bytes) -> dict[str, Any]:
    """Return a meeting with these nonces."""
    nonces = {Role.SENDER: of_sender, Role.RECEIVER: of_receiver}
    machines = {
        role: ReunionMachine(
            role, reconnection=secret, entropy=functools.partial(fixed, nonces[role])
        )
        for role in Role
    }
    bodies = {role: machines[role].start() for role in Role}
    confirmations: dict[Role, bytes] = {}
    for role in Role:
        answer = machines[role].receive_body_untrusted(bodies[role.peer])
        assert answer is not None
        confirmations[role] = answer
    for role in Role:
        machines[role].receive_body_untrusted(confirmations[role.peer])
    keys = machines[Role.SENDER].keys
    assert keys == machines[Role.RECEIVER].keys
    return {
        "reconnection_secret": secret.hex(),
        "mailbox": mailbox_name(secret),
        "nonce": by_role(nonces),
        "nonce_body": by_role(bodies),
        "confirmation_key": by_role(keys.confirmation),
        "confirmation": by_role(confirmations),
        "sealing_key": by_role(keys.sealing),
        "farewell": {role.value: farewell(secret, role) for role in Role},
    }


def farewell(secret: bytes, role: Role) -> dict[str, str]:
    text = '{"type":"abort","code":"interrupted","reason":"The user stopped it."}'
    nonce = bytes(range(12))
    body = seal_farewell(
        text.encode(),
        reconnection=secret,
        role=role,
        entropy=functools.partial(fixed, nonce),
    )
    return {"plaintext": text, "body": body.hex()}


def fixed(entropy: bytes, size: int) -> bytes:
    assert len(entropy) == size
    return entropy


def identity(nameplate: str) -> str:
    return f"rtcsend/1/{nameplate}"


def shared_key(nameplate: str, words: str, *, of_sender: bytes, message: bytes) -> bytes:
    """Return SPAKE2's key by the package alone, from the sender's side."""
    name = identity(nameplate).encode()
    spake = SPAKE2_A(words.encode(), idA=name, idB=name, entropy_f=lambda _size: of_sender)
    spake.start()
    key: bytes = spake.finish(message)
    return key


def boxes(key: bytes) -> list[dict[str, str]]:
    sealer = Sealer(key)
    return [{"plaintext": text, "body": sealer.seal(text.encode()).hex()} for text in PLAINTEXTS]


def by_role(values: dict[Role, bytes]) -> dict[str, str]:
    return {role.value: value.hex() for role, value in values.items()}


def computed() -> dict[str, Any]:
    return {
        "comment": (
            "Known answers for docs/security.md: SPAKE2 of the Python package spake2 0.9 with "
            "its default parameters, HKDF-SHA256 with an empty salt, AES-256-GCM. The "
            "sender is side A. A side's secret scalar is its entropy, as a big-endian number, "
            "modulo the order of the group. Bytes are hexadecimal, texts are UTF-8, scalars are "
            "big-endian."
        ),
        "spake2_m": ParamsEd25519.M.to_bytes().hex(),
        "spake2_n": ParamsEd25519.N.to_bytes().hex(),
        "cases": [case(*values) for values in CASES],
        "reunions": [reunion(*values) for values in REUNIONS],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(computed(), indent=2) + "\n")
