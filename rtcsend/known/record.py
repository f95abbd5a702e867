"""One known machine, and what is written about it. Pure.

::

    {"v":1,"name":"laptop","key":"…","secret":"…","paired":1763745275}

``key`` is the other machine's public Ed25519 key, ``secret`` that of the pair, both in base64url;
``paired`` is in whole seconds since the epoch. A machine that was removed has ``removed`` as well.
"""

import json
from dataclasses import dataclass, field
from typing import Final

from rtcsend.base64url import decode_base64url_untrusted, encode_base64url
from rtcsend.errors import PeerProtocolError, UsageError
from rtcsend.known.names import MAX_NAME, check_name
from rtcsend.pairing.doors import Direction
from rtcsend.pairing.introduction import KEY_SIZE, fingerprint
from rtcsend.strict_json import JsonObject, parse_object_untrusted, take_int, take_str

MAX_FILE: Final = 4096  # bytes
SECRET_SIZE: Final = 32  # bytes
_VERSION: Final = 1
_MAX_TEXT: Final = 128  # characters; a key has 43


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine that this one knows, or knew."""

    name: str
    """What this machine's user calls it."""
    key: bytes
    """Its public key: 32 bytes, RFC 8032."""
    secret: bytes = field(repr=False)
    """Of the pair, 32 bytes."""
    paired: int
    """When, in seconds since the epoch."""
    used: int | None = None
    """When the two last met, in seconds since the epoch; None: never. Not in the text."""
    removed: int | None = None
    """When it was removed; None: it is known."""

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits in groups of four."""
        return fingerprint(self.key)

    def direction_to(self, own: bytes) -> Direction:
        """Return the direction from that machine to this one, whose public key is ``own``."""
        return Direction(secret=self.secret, sender=self.key, receiver=own)

    def direction_from(self, own: bytes) -> Direction:
        """Return the direction from this machine, whose public key is ``own``, to that one."""
        return Direction(secret=self.secret, sender=own, receiver=self.key)


def serialize_machine(machine: Machine) -> bytes:
    """Return the text of its file."""
    message: JsonObject = {
        "v": _VERSION,
        "name": machine.name,
        "key": encode_base64url(machine.key),
        "secret": encode_base64url(machine.secret),
        "paired": machine.paired,
    }
    if machine.removed is not None:
        message["removed"] = machine.removed
    return json.dumps(message).encode() + b"\n"


def parse_machine_untrusted(data: bytes, *, used: int | None = None) -> Machine:
    """Return the machine of a file.

    Args:
        data: What is in it.
        used: When the two last met, if it is known.

    Raises:
        ValueError: It is no such text.
    """
    try:
        message = parse_object_untrusted(data, max_size=MAX_FILE)
        take_int(message, "v", low=_VERSION, high=_VERSION)
        return Machine(
            name=check_name(take_str(message, "name", max_length=MAX_NAME)),
            key=_take_bytes(message, "key", size=KEY_SIZE),
            secret=_take_bytes(message, "secret", size=SECRET_SIZE),
            paired=take_int(message, "paired"),
            used=used,
            removed=take_int(message, "removed") if "removed" in message else None,
        )
    except (PeerProtocolError, UsageError) as exc:
        raise ValueError("no known machine") from exc


def _take_bytes(message: JsonObject, key: str, *, size: int) -> bytes:
    data = decode_base64url_untrusted(take_str(message, key, max_length=_MAX_TEXT))
    if data is None or len(data) != size:
        raise PeerProtocolError(f"“{key}” is malformed")
    return data
