"""The known answers of tests/vectors/known.json, computed by this implementation.

``python -m tests.pairing.known_vectors`` prints the file anew. It may only change together with
the version in the labels, since pairs of machines last for years.
"""

import functools
import json
import sys
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rtcsend.pairing.doors import Direction, room_name
from rtcsend.pairing.introduction import fingerprint, introduction, pair_secret
from rtcsend.pairing.keys import Role, derive_session_keys
from rtcsend.pairing.known import KnownMachine
from tests.pairing.vectors import fixed

SEEDS = {Role.SENDER: bytes(range(32)), Role.RECEIVER: bytes(range(32, 64))}
EPHEMERAL = {Role.SENDER: bytes(range(64, 96)), Role.RECEIVER: bytes(range(96, 128))}
SHARED = bytes(range(128, 160))
"""SPAKE2's key of the pairing in which the two were introduced."""
NOTE_NONCE = bytes(range(12))
DAY = 20_413


def introduced() -> dict[str, Any]:
    keys = derive_session_keys(SHARED)
    own = {role: Ed25519PrivateKey.from_private_bytes(SEEDS[role]) for role in Role}
    return {
        "spake2_key": SHARED.hex(),
        "seed": by_role(SEEDS),
        "public_key": by_role({r: k.public_key().public_bytes_raw() for r, k in own.items()}),
        "fingerprint": {
            role.value: fingerprint(own[role].public_key().public_bytes_raw()) for role in Role
        },
        "introduction": {
            role.value: introduction(own[role], role=role, keys=keys) for role in Role
        },
        "pair_secret": pair_secret(keys).hex(),
    }


def exchange() -> dict[str, Any]:
    secret = pair_secret(derive_session_keys(SHARED))
    own = {role: Ed25519PrivateKey.from_private_bytes(SEEDS[role]) for role in Role}
    public = {role: key.public_key().public_bytes_raw() for role, key in own.items()}
    machines = {
        role: KnownMachine(
            role,
            own=own[role],
            peer=public[role.peer],
            secret=secret,
            entropy=functools.partial(fixed, EPHEMERAL[role]),
        )
        for role in Role
    }
    first = {role: machines[role].start() for role in Role}
    second = {role: machines[role].receive_body_untrusted(first[role.peer]) or b"" for role in Role}
    for role in Role:
        machines[role].receive_body_untrusted(second[role.peer])
    keys = machines[Role.SENDER].keys
    direction = Direction(secret=secret, sender=public[Role.SENDER], receiver=public[Role.RECEIVER])
    note = direction.make_note(lambda _size: NOTE_NONCE)
    return {
        "ephemeral_private": by_role(EPHEMERAL),
        "first": by_role(first),
        "second": by_role(second),
        "sealing_key": by_role(keys.sealing),
        "reconnection_secret": keys.reconnection.hex(),
        "verification": keys.verification,
        "day": DAY,
        "door_of_day": direction.door_of_day(DAY),
        "note": note,
        "door_of_note": direction.door_of_note(note),
        "room": room_name(keys),
    }


def by_role(values: dict[Role, bytes]) -> dict[str, str]:
    return {role.value: value.hex() for role, value in values.items()}


def computed() -> dict[str, Any]:
    return {
        "comment": (
            "Known answers for docs/known-machines.md: Ed25519 (RFC 8032), X25519 (RFC 7748), "
            "HKDF-SHA256, AES-256-GCM. Bytes are hexadecimal, but base64url inside JSON messages."
        ),
        "introduced": introduced(),
        "exchange": exchange(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(computed(), indent=2) + "\n")
