"""Session descriptions: the SDP of a peer connection that carries DataChannels alone.

Pure. An offer or answer names the DTLS certificate's fingerprints and the ICE credentials;
candidates travel by themselves (trickle, RFC 8838). What is written here is what browsers
read and write for ``createDataChannel`` and nothing else, so that a page can be the other
side. Sources: RFC 8841 (SCTP over DTLS in SDP), RFC 8839 (ICE), RFC 8122 and RFC 8842
(fingerprint, setup), RFC 9429 (JSEP).
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from rtcsend.errors import PeerProtocolError

MAX_SDP_LENGTH: Final = 16 * 1024  # characters; a description without candidates has about 700
MAX_FINGERPRINTS: Final = 8
DEFAULT_MAX_MESSAGE_SIZE: Final = 65_536  # bytes; RFC 8841 §6.1, when the attribute is absent
MAX_MESSAGE_SIZE: Final = 262_144  # bytes; what aiortc reassembles, and Chromium sends at most
SCTP_PORT: Final = 5000  # RFC 8841 §11's example, and what everybody uses
MIN_MESSAGE_SIZE: Final = 1_200  # bytes; less would make frames pointless
MAX_U64: Final = 2**64 - 1

DescriptionType = Literal["offer", "answer"]
Setup = Literal["actpass", "active", "passive"]

_HEX_SIZES: Final = {"sha-256": 32, "sha-384": 48, "sha-512": 64}  # bytes of digest
_ICE_CREDENTIAL: Final = re.compile(r"[A-Za-z0-9+/]{4,256}")
_MIN_ICE_PASSWORD: Final = 22  # characters; RFC 8839 §5.4
_MID: Final = re.compile(r"[!-~]{1,32}")
_ATTRIBUTE: Final = re.compile(r"a=([a-z0-9-]{1,32})(?::(.*))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One side's half of a peer connection. Holds the ICE password: never to be logged."""

    type: DescriptionType
    ice_ufrag: str
    ice_pwd: str
    fingerprints: tuple[tuple[str, str], ...]
    """Pairs (algorithm in lower case, digest as upper-case hexadecimal with colons)."""
    setup: Setup
    max_message_size: int = MAX_MESSAGE_SIZE
    sctp_port: int = SCTP_PORT
    mid: str = "0"
    sctp_init: bytes | None = None
    """The association's INIT chunk, for a data path that needs no handshake if both sides tell
    theirs; opaque here, and beside the SDP, not in it."""

    def __repr__(self) -> str:
        return f"Description(type={self.type!r}, setup={self.setup!r})"

    def to_sdp(self) -> str:
        """Return the description as SDP, lines ended by CR LF."""
        lines = [
            "v=0",
            "o=- 1 1 IN IP4 0.0.0.0",
            "s=-",
            "t=0 0",
            f"a=group:BUNDLE {self.mid}",
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{self.mid}",
            "a=ice-options:trickle",
            f"a=ice-ufrag:{self.ice_ufrag}",
            f"a=ice-pwd:{self.ice_pwd}",
            *(f"a=fingerprint:{algorithm} {digest}" for algorithm, digest in self.fingerprints),
            f"a=setup:{self.setup}",
            f"a=sctp-port:{self.sctp_port}",
            f"a=max-message-size:{self.max_message_size}",
        ]
        return "".join(f"{line}\r\n" for line in lines)


def parse_description_untrusted(description_type: DescriptionType, sdp: str) -> Description:
    """Return what an SDP says.

    Raises:
        PeerProtocolError: It is malformed, holds anything but one DataChannel section, or
            lacks what a connection needs.
    """
    attributes = _attributes(sdp)
    ufrag, password = _one(attributes, "ice-ufrag"), _one(attributes, "ice-pwd")
    if not (_ICE_CREDENTIAL.fullmatch(ufrag) and _ICE_CREDENTIAL.fullmatch(password)):
        raise PeerProtocolError("The other side's description has malformed ICE credentials.")
    if len(password) < _MIN_ICE_PASSWORD:
        raise PeerProtocolError("The other side's description has a short ICE password.")
    mid = _one(attributes, "mid", default="0")
    if not _MID.fullmatch(mid):
        raise PeerProtocolError("The other side's description has a malformed media identifier.")
    return Description(
        type=description_type,
        ice_ufrag=ufrag,
        ice_pwd=password,
        fingerprints=_fingerprints(attributes.get("fingerprint", [])),
        setup=_setup(description_type, _one(attributes, "setup")),
        max_message_size=_max_message_size(attributes),
        sctp_port=_number(_one(attributes, "sctp-port", default=str(SCTP_PORT)), 1, 65_535),
        mid=mid,
    )


def _attributes(sdp: str) -> dict[str, list[str]]:
    """Return the values of all attributes by name, of session and media level together."""
    if len(sdp) > MAX_SDP_LENGTH:
        raise PeerProtocolError("The other side's description is too long.")
    attributes: dict[str, list[str]] = {}
    media = []
    for line in sdp.splitlines():
        if line.startswith("m="):
            media.append(line)
        if match := _ATTRIBUTE.fullmatch(line):
            attributes.setdefault(match[1], []).append(match[2] or "")
    if len(media) != 1 or not re.fullmatch(
        r"m=application [0-9]{1,5} UDP/DTLS/SCTP webrtc-datachannel", media[0]
    ):
        raise PeerProtocolError("The other side's description is not one for DataChannels.")
    return attributes


def _one(attributes: dict[str, list[str]], name: str, *, default: str | None = None) -> str:
    values = attributes.get(name, [] if default is None else [default])
    if len(values) != 1:
        raise PeerProtocolError(f"The other side's description needs {name} exactly once.")
    return values[0]


def _fingerprints(values: list[str]) -> tuple[tuple[str, str], ...]:
    """Return the fingerprints; every one must be of an algorithm that is checked.

    aiortc passes over algorithms that it does not know; refusing them here leaves no
    fingerprint unchecked. Source: RFC 8122 §5.
    """
    if not 1 <= len(values) <= MAX_FINGERPRINTS:
        raise PeerProtocolError("The other side's description has no usable fingerprint.")
    found = []
    for value in values:
        algorithm, _, digest = value.partition(" ")
        size = _HEX_SIZES.get(algorithm.lower())
        if size is None or not re.fullmatch(
            rf"[0-9A-F]{{2}}(:[0-9A-F]{{2}}){{{size - 1}}}", digest.upper()
        ):
            raise PeerProtocolError("The other side's description has a malformed fingerprint.")
        found.append((algorithm.lower(), digest.upper()))
    return tuple(found)


def _setup(description_type: DescriptionType, text: str) -> Setup:
    """Return the DTLS role that is offered or chosen. Source: RFC 8842 §5.2, §5.3."""
    if description_type == "offer" and text == "actpass":
        return "actpass"
    if description_type == "answer" and text == "active":
        return "active"
    if description_type == "answer" and text == "passive":
        return "passive"
    raise PeerProtocolError("The other side's description has an impossible DTLS role.")


def _max_message_size(attributes: dict[str, list[str]]) -> int:
    """Return the largest message that may be sent, in bytes. Source: RFC 8841 §6.1."""
    default = str(DEFAULT_MAX_MESSAGE_SIZE)
    size = _number(_one(attributes, "max-message-size", default=default), 0, MAX_U64)
    if size == 0:  # no limit
        return MAX_MESSAGE_SIZE
    if size < MIN_MESSAGE_SIZE:
        raise PeerProtocolError("The other side takes no messages of a useful size.")
    return min(size, MAX_MESSAGE_SIZE)


def _number(text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,20}", text) or not low <= int(text) <= high:
        raise PeerProtocolError("The other side's description has an impossible number.")
    return int(text)
