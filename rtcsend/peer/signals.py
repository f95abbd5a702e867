"""What the two sides tell each other through sealed boxes, before they are connected.

Pure. Each is one JSON object; docs/transfer-protocol.md has the full text.

==================== ============================== ===================================
type                 fields                         meaning
==================== ============================== ===================================
``hello``            ``protocols`` ``agent``        first box of each side: versions
                     ``route`` ``datapath``         routes it allows, its data path
``offer``            ``sdp`` ``sctp_init``          from the sender, once
``answer``           ``sdp`` ``sctp_init``          from the receiver, once
``candidate``        ``candidate``                  one of at most MAX_CANDIDATES
``end-of-candidates``                               no more will come (RFC 8838 §13)
``again``                                           this side lost the path: meet again
``abort``            ``code`` ``reason``            this side ends: :mod:`rtcsend.abort`
==================== ============================== ===================================

Types that are unknown are read over, so that a later version can say more.
"""

import json
from dataclasses import dataclass, replace
from typing import Final, Literal

from rtcsend.abort import error_from_abort_untrusted
from rtcsend.base64url import decode_base64url_untrusted, encode_base64url
from rtcsend.errors import IncompatiblePeer, NoRoute, PeerProtocolError, RtcsendError
from rtcsend.options import RoutePolicy
from rtcsend.pairing.envelope import MAX_PLAINTEXT
from rtcsend.peer.candidate import MAX_CANDIDATE_LENGTH, Candidate, maybe_parse_candidate_untrusted
from rtcsend.peer.description import MAX_SDP_LENGTH, Description, parse_description_untrusted
from rtcsend.strict_json import JsonObject, parse_object_untrusted, take_int, take_list, take_str

TRANSFER_PROTOCOLS: Final = (1,)
"""Versions of docs/transfer-protocol.md that this side speaks, best first."""

MAX_CANDIDATES: Final = 64  # of one side; a host with ten addresses and two relays has about 30
_MAX_PROTOCOLS: Final = 16
_MAX_AGENT_LENGTH: Final = 100
_MAX_DATAPATH: Final = 255
_MAX_SCTP_INIT: Final = 1_024  # characters; ours has 55
_MAX_TYPE_LENGTH: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Versions and wishes; the first box of each side."""

    protocols: tuple[int, ...] = TRANSFER_PROTOCOLS
    agent: str
    route: RoutePolicy
    datapath: int = 0
    """Which data path this side has; see :mod:`rtcsend.datapath.choice`. 0: any."""


@dataclass(frozen=True, slots=True)
class DescriptionSignal:
    """An offer or an answer."""

    description: Description


@dataclass(frozen=True, slots=True)
class CandidateSignal:
    """A candidate; None for one of a kind that is not used, and is passed over."""

    candidate: Candidate | None


@dataclass(frozen=True, slots=True)
class EndOfCandidates:
    """The other side has no more candidates."""


@dataclass(frozen=True, slots=True)
class AgainSignal:
    """The other side has lost the path, and is on its way to the meeting."""


@dataclass(frozen=True, slots=True)
class AbortSignal:
    """The other side has ended; ``error`` is how this side ends."""

    error: RtcsendError


@dataclass(frozen=True, slots=True)
class UnknownSignal:
    """Something that a later version says."""


SentSignal = Hello | DescriptionSignal | CandidateSignal | EndOfCandidates | AgainSignal
Signal = SentSignal | AbortSignal | UnknownSignal


def serialize_signal(signal: SentSignal) -> bytes:
    """Return the JSON of a signal. For aborts see :func:`serialize_message`."""
    message: JsonObject
    match signal:
        case Hello():
            message = {
                "type": "hello",
                "protocols": list(signal.protocols),
                "agent": signal.agent,
                "route": signal.route.value,
                "datapath": signal.datapath,
            }
        case DescriptionSignal():
            description = signal.description
            message = {"type": description.type, "sdp": description.to_sdp()}
            if description.sctp_init is not None:
                message["sctp_init"] = encode_base64url(description.sctp_init)
        case CandidateSignal():
            message = {"type": "candidate", "candidate": str(signal.candidate)}
        case EndOfCandidates():
            message = {"type": "end-of-candidates"}
        case AgainSignal():
            message = {"type": "again"}
    return serialize_message(message)


def serialize_message(message: JsonObject) -> bytes:
    """Return a message as compact UTF-8 JSON."""
    return json.dumps(message, separators=(",", ":")).encode()


def parse_signal_untrusted(plaintext: bytes) -> Signal:
    """Return the signal that a box held.

    Raises:
        PeerProtocolError: It is malformed.
    """
    message = parse_object_untrusted(plaintext, max_size=MAX_PLAINTEXT)
    match take_str(message, "type", max_length=_MAX_TYPE_LENGTH):
        case "hello":
            return _parse_hello(message)
        case "offer":
            return _parse_description(message, "offer")
        case "answer":
            return _parse_description(message, "answer")
        case "candidate":
            text = take_str(message, "candidate", max_length=MAX_CANDIDATE_LENGTH)
            return CandidateSignal(maybe_parse_candidate_untrusted(text))
        case "end-of-candidates":
            return EndOfCandidates()
        case "again":
            return AgainSignal()
        case "abort":
            return AbortSignal(error_from_abort_untrusted(message))
        case _:
            return UnknownSignal()


def common_protocol(ours: Hello, theirs: Hello) -> int:
    """Return the highest version of the transfer protocol that both sides speak.

    Raises:
        IncompatiblePeer: There is none.
    """
    if not theirs.protocols:
        raise IncompatiblePeer(
            "The other side does not transfer anything: it runs “rtcsend pair”.",
            hint="Run “rtcsend pair” on both machines, or neither.",
            for_peer="This side transfers, and does not run “rtcsend pair”.",
        )
    common = [version for version in ours.protocols if version in theirs.protocols]
    if not common:
        raise IncompatiblePeer("The other side speaks another version of the transfer protocol.")
    return max(common)


def common_route(ours: RoutePolicy, theirs: RoutePolicy) -> RoutePolicy:
    """Return the policy for this side when both sides' wishes are to hold.

    Raises:
        NoRoute: One allows relays only, the other none.
    """
    if {ours, theirs} == {RoutePolicy.RELAY_ONLY, RoutePolicy.DIRECT_ONLY}:
        raise NoRoute(
            "One side allows relays only, and the other allows none.",
            hint="Leave out --relay-only on the one side, or --direct-only on the other.",
        )
    return theirs if RoutePolicy.DIRECT_ONLY is theirs else ours


def _parse_hello(message: JsonObject) -> Hello:
    protocols = take_list(message, "protocols", max_length=_MAX_PROTOCOLS)
    if not all(type(version) is int for version in protocols):
        raise PeerProtocolError("The other side's greeting has malformed versions.")
    try:
        route = RoutePolicy(message.get("route"))
    except ValueError as exc:
        raise PeerProtocolError("The other side's greeting has an unknown route.") from exc
    agent = take_str(message, "agent", max_length=_MAX_AGENT_LENGTH)
    datapath = take_int({"datapath": 0, **message}, "datapath", high=_MAX_DATAPATH)
    return Hello(protocols=tuple(protocols), agent=agent, route=route, datapath=datapath)


def _parse_description(message: JsonObject, kind: Literal["offer", "answer"]) -> DescriptionSignal:
    sdp = take_str(message, "sdp", max_length=MAX_SDP_LENGTH)
    description = parse_description_untrusted(kind, sdp)
    if "sctp_init" not in message:
        return DescriptionSignal(description)
    init = decode_base64url_untrusted(take_str(message, "sctp_init", max_length=_MAX_SCTP_INIT))
    if init is None:
        raise PeerProtocolError("The other side's description has a malformed “sctp_init”.")
    return DescriptionSignal(replace(description, sctp_init=init))
