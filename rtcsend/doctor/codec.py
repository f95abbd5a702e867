"""STUN and TURN messages as bytes: the message format is aioice's, the checks are ours.

What a server sends is hostile until checked: anything that aioice cannot read, and whatever
is no answer, is None. Whether an answer is the one that was waited for is its reader's to say.

No I/O, but listed as a shell: aioice loads an event loop. Place in the flow: below the
machines. Source: RFC 8489 §5, §14; RFC 8656 §18; RFC 5780 §7.
"""

import ipaddress
import struct
from dataclasses import dataclass
from typing import Any, Final

from aioice import stun, turn

Endpoint = tuple[str, int]
"""Address without zone, and port."""

TRANSACTION_ID_SIZE: Final = 12  # bytes; RFC 8489 §5
CHANGE_BOTH: Final = 0x6  # answer from the other address and the other port; RFC 5780 §7.2
CHANGE_PORT: Final = 0x2  # answer from the other port only
_PADDING_TYPE: Final = 0xFFF0  # comprehension-optional (RFC 8489 §14): servers look past it
_ATTRIBUTE: Final = struct.Struct("!HH")  # type, length
_MAX_TEXT: Final = 763  # bytes of NONCE and REALM; RFC 8489 §14.9, §14.10


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A long-term credential and what the server added to it. Source: RFC 8489 §9.2."""

    username: str
    realm: str
    nonce: bytes
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answers."""

    transaction_id: bytes
    error: int | None = None
    """The error code; None: success."""
    mapped: Endpoint | None = None
    other: Endpoint | None = None
    """OTHER-ADDRESS: where the server could answer from as well."""
    relayed: Endpoint | None = None
    lifetime: int | None = None
    """Seconds."""
    realm: str | None = None
    nonce: bytes | None = None
    authentic: bool = False
    """Whether it is signed with the key that the reader has."""


def credential_of(username: str, password: str, *, realm: str, nonce: bytes) -> Credential:
    """Return what signs the next requests."""
    key = turn.make_integrity_key(username, realm, password)
    return Credential(username=username, realm=realm, nonce=nonce, key=key)


def binding_request(transaction_id: bytes, *, change: int = 0, size: int = 0) -> bytes:
    """Return a question for the mapped address.

    Args:
        transaction_id: Drawn by the caller.
        change: CHANGE_BOTH or CHANGE_PORT, or 0 for neither.
        size: Bytes to pad it to, where it is smaller; a multiple of 4.
    """
    attributes: dict[str, Any] = {"CHANGE-REQUEST": change} if change else {}
    return _padded(_message(stun.Method.BINDING, transaction_id, attributes), size)


def allocate_request(transaction_id: bytes, credential: Credential | None) -> bytes:
    """Return a request for a relayed address."""
    attributes = {"REQUESTED-TRANSPORT": turn.UDP_TRANSPORT}
    return _message(stun.Method.ALLOCATE, transaction_id, attributes, credential)


def bind_request(
    transaction_id: bytes, credential: Credential, *, channel: int, peer: Endpoint
) -> bytes:
    """Return a request that binds a channel to a peer, and so permits it."""
    attributes = {"CHANNEL-NUMBER": channel, "XOR-PEER-ADDRESS": peer}
    return _message(stun.Method.CHANNEL_BIND, transaction_id, attributes, credential)


def release_request(transaction_id: bytes, credential: Credential) -> bytes:
    """Return a request that ends an allocation."""
    return _message(stun.Method.REFRESH, transaction_id, {"LIFETIME": 0}, credential)


def maybe_answer_untrusted(data: bytes, *, key: bytes | None = None) -> Answer | None:
    """Return what an answer says; None of what is none, or of what nobody can read.

    Args:
        data: A datagram, or a message of a stream.
        key: What an authentic answer is signed with.
    """
    try:
        message = stun.parse_message(data)
    except (ValueError, struct.error):  # aioice's own, and of fields that are too short
        return None
    if message.message_class not in (stun.Class.RESPONSE, stun.Class.ERROR):
        return None
    fields = message.attributes
    error = None
    if message.message_class == stun.Class.ERROR:
        error = message.error_code or 0
    return Answer(
        transaction_id=message.transaction_id,
        error=error,
        mapped=_usable(fields.get("XOR-MAPPED-ADDRESS") or fields.get("MAPPED-ADDRESS")),
        other=_usable(fields.get("OTHER-ADDRESS")),
        relayed=_usable(fields.get("XOR-RELAYED-ADDRESS")),
        lifetime=fields.get("LIFETIME"),
        realm=_short(fields.get("REALM")),
        nonce=_short(fields.get("NONCE")),
        authentic=key is not None and message.check_message_integrity(key),
    )


def _message(
    method: stun.Method,
    transaction_id: bytes,
    attributes: dict[str, Any],
    credential: Credential | None = None,
) -> bytes:
    message = stun.Message(method, stun.Class.REQUEST, transaction_id, attributes)
    if credential is not None:
        message.attributes["USERNAME"] = credential.username
        message.attributes["NONCE"] = credential.nonce
        message.attributes["REALM"] = credential.realm
        message.add_message_integrity(credential.key)
    return bytes(message)


def _padded(message: bytes, size: int) -> bytes:
    """Make a message longer by an attribute that every server looks past."""
    room = size - len(message) - _ATTRIBUTE.size
    if room < 0:
        return message
    longer = message + _ATTRIBUTE.pack(_PADDING_TYPE, room) + bytes(room)
    return stun.set_body_length(longer, len(longer) - stun.HEADER_LENGTH)


def _usable(endpoint: Endpoint | None) -> Endpoint | None:
    """Return an address that can be sent to, or None."""
    if endpoint is None or not endpoint[1]:
        return None
    ip = ipaddress.ip_address(endpoint[0])
    return None if ip.is_multicast or ip.is_unspecified else endpoint


def _short(value: Any) -> Any:
    """Return a text that the server may have sent, unless it is longer than allowed."""
    return value if value is not None and len(value) <= _MAX_TEXT else None
