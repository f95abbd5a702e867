"""Every key of a transfer, derived from the one that SPAKE2 agreed on.

HKDF-SHA256 (RFC 5869) with an empty salt and one ``info`` label a purpose, so that no key
serves two purposes. Pure. Source of the labels: docs/transfer-protocol.md.
"""

import enum
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

APPLICATION_ID = "rtcsend"
PAIRING_VERSION = 1
KEY_SIZE = 32  # bytes; AES-256, and the output of SHA-256

VERIFICATION_GROUPS = 6  # of 4 digits: 80 bits, so that nobody can grind two equal ones in a minute
_GROUP_MODULUS = 10_000


class Role(enum.Enum):
    """Which of the two sides this is; the sender of the files is SPAKE2's side A."""

    SENDER = "sender"
    RECEIVER = "receiver"

    @property
    def peer(self) -> "Role":
        """The other role."""
        return Role.RECEIVER if self is Role.SENDER else Role.SENDER


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """What both sides hold after pairing. Secret: the representation shows nothing."""

    confirmation: dict[Role, bytes] = field(repr=False)
    """Key of the confirmation code that this role sends."""
    sealing: dict[Role, bytes] = field(repr=False)
    """Key of the boxes that this role seals."""
    reconnection: bytes = field(repr=False)
    """Secret by which the two sides meet again; never the words."""
    verification: str
    """24 digits in groups of four, for two people to compare."""


def derive_session_keys(shared_key: bytes) -> SessionKeys:
    """Return all keys that come from SPAKE2's ``shared_key`` (32 bytes)."""
    return SessionKeys(
        confirmation={role: derive(shared_key, f"confirmation/{role.value}") for role in Role},
        sealing={role: derive(shared_key, f"sealing/{role.value}") for role in Role},
        reconnection=derive(shared_key, "reconnection"),
        verification=_verification_string(derive(shared_key, "verification")),
    )


def derive(secret: bytes, purpose: str, *, salt: bytes | None = None) -> bytes:
    """Return the 32-byte key for ``purpose``; the salt is empty if not given. RFC 5869 §2."""
    info = f"{APPLICATION_ID}/{PAIRING_VERSION}/{purpose}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=salt, info=info).derive(secret)


def _verification_string(key: bytes) -> str:
    number = int.from_bytes(key, "big")
    groups = []
    for _ in range(VERIFICATION_GROUPS):
        number, group = divmod(number, _GROUP_MODULUS)
        groups.append(f"{group:04}")
    return " ".join(groups)
