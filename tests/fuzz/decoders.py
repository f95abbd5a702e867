"""The table of decoders: what each is called with, and the errors that it documents.

A new decoder is one more line in DECODERS; test_decoders.py finds those that were forgotten.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rtcsend.code.code import complete, parse_code_untrusted
from rtcsend.datapath.sctp.wire import (
    check_packet_untrusted,
    chunks_untrusted,
    parameters_untrusted,
    parse_init_untrusted,
    parse_sack_untrusted,
)
from rtcsend.errors import (
    IncompatiblePeer,
    PeerProtocolError,
    UnsafePath,
    UsageError,
    WrongCode,
)
from rtcsend.files.journal import NotAJournal, parse_journal_untrusted
from rtcsend.files.paths import safe_name_untrusted, safe_path_untrusted
from rtcsend.files.tree_journal import parse_tree_journal_untrusted
from rtcsend.known.record import parse_machine_untrusted
from rtcsend.pairing.envelope import MAX_PLAINTEXT
from rtcsend.peer.candidate import maybe_parse_candidate_untrusted
from rtcsend.peer.description import parse_description_untrusted
from rtcsend.peer.signals import parse_signal_untrusted
from rtcsend.rendezvous.frames import parse_client_message_untrusted, parse_server_message_untrusted
from rtcsend.rendezvous.ice_urls import maybe_usable_untrusted, parse_ice_url
from rtcsend.rendezvous.messages import IceServer
from rtcsend.rendezvous.server_url import normalise_server_url
from rtcsend.rendezvous.wire import BadMessage, decode_base64url_untrusted
from rtcsend.strict_json import parse_object_untrusted
from rtcsend.transfer.frames import parse_frame_untrusted
from rtcsend.transfer.messages import parse_control_untrusted
from signal_server.outputs import RequestRefused
from signal_server.outputs import parse_frame_untrusted as parse_server_frame_untrusted
from signal_server.store.entries import BadEntry
from signal_server.store.redis_scripts import parse_reserved_untrusted
from signal_server.store.replica import parse_published_untrusted
from tests.fuzz import known, seeds
from tests.fuzz.stateful import (
    TAG,
    answer_lan_untrusted,
    deliver_chunks_untrusted,
    make_proposal_untrusted,
    open_box_untrusted,
    pair_confirmation_untrusted,
    pair_untrusted,
    read_announcement_untrusted,
    read_list_untrusted,
    read_page_untrusted,
    reset_streams_untrusted,
)

Errors = tuple[type[Exception], ...]
PEER: Final = (PeerProtocolError,)
BAD: Final = (BadMessage,)
USAGE: Final = (UsageError,)
UNSAFE: Final = (UnsafePath,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """One function that reads what others wrote."""

    name: str
    read: Callable[[bytes], object]
    errors: Errors
    """All that it may raise; nothing else, whatever the bytes."""
    seeds: tuple[bytes, ...]
    """Valid input, or nearly so, from the vectors and from real output."""
    covers: tuple[str, ...] = ()
    """Names of the functions behind it, when they are not the one that is called."""
    is_slow: bool = False
    """Takes milliseconds, for its arithmetic."""


def from_text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    """Let a decoder of text take bytes; what is no UTF-8 becomes lone surrogates, as in argv."""

    @functools.wraps(read)
    def read_bytes(data: bytes) -> object:
        return read(data.decode(errors="surrogateescape"))

    return read_bytes


def check(decoder: Decoder, data: bytes) -> bool:
    """Return whether the decoder takes the bytes.

    Raises:
        Exception: One that the decoder does not document: a finding.
    """
    try:
        decoder.read(data)
    except decoder.errors:
        return False
    return True


def text(
    name: str, read: Callable[[str], object], errors: Errors, examples: tuple[bytes, ...]
) -> Decoder:
    """Return the line of a decoder of text."""
    function = read.func if isinstance(read, functools.partial) else read
    return Decoder(
        name=name,
        read=from_text(read),
        errors=errors,
        seeds=examples,
        covers=(function.__name__,),
    )


def raw(  # a line of the table says all of it
    name: str,
    read: Callable[[bytes], object],
    errors: Errors,
    examples: tuple[bytes, ...],
    *covers: str,
    is_slow: bool = False,
) -> Decoder:
    """Return the line of a decoder of bytes."""
    names = (getattr(read, "__name__", ""), *covers)
    return Decoder(
        name=name, read=read, errors=errors, seeds=examples, covers=names, is_slow=is_slow
    )


def _check_packet(data: bytes) -> object:
    check_packet_untrusted(data, tag=TAG, zero_checksum=True)
    return list(chunks_untrusted(data))


def _usable_ice(url: str) -> object:
    return maybe_usable_untrusted(IceServer((url,), url, url))


_json = functools.partial(parse_object_untrusted, max_size=MAX_PLAINTEXT)
_offer = functools.partial(parse_description_untrusted, "offer")
_answer = functools.partial(parse_description_untrusted, "answer")
_name_posix = functools.partial(safe_name_untrusted, windows=False)
_name_windows = functools.partial(safe_name_untrusted, windows=True)
_path_posix = functools.partial(safe_path_untrusted, windows=False)
_path_windows = functools.partial(safe_path_untrusted, windows=True)

DECODERS: Final = (
    # What people type, and what scripts pass on.
    text("code", parse_code_untrusted, USAGE, seeds.CODES),
    text("code completion", complete, (), seeds.CODES),
    text("server URL", normalise_server_url, USAGE, seeds.SERVER_URLS),
    text("ICE URL", parse_ice_url, USAGE, seeds.ICE_URLS),
    # The rendezvous, both ways, and how it is found.
    text("client message", parse_client_message_untrusted, BAD, seeds.CLIENT_MESSAGES),
    text("server's frame", parse_server_frame_untrusted, (RequestRefused,), seeds.CLIENT_MESSAGES),
    text("server message", parse_server_message_untrusted, BAD, seeds.SERVER_MESSAGES),
    text("base64url", decode_base64url_untrusted, BAD, seeds.BASE64URL),
    text("named ICE URL", _usable_ice, (), seeds.ICE_URLS),
    raw(
        "log entry",
        parse_published_untrusted,
        (BadEntry,),
        seeds.LOG_ENTRIES,
        "parse_entry_untrusted",
        "parse_id_untrusted",
    ),
    raw("kept nameplate", parse_reserved_untrusted, (), seeds.KEPT_NAMEPLATES),
    raw("announcement file", read_announcement_untrusted, (), seeds.ANNOUNCEMENTS),
    raw("LAN answer", answer_lan_untrusted, (), seeds.LAN_ANSWERS),
    # Pairing, and what is told through sealed boxes.
    raw("sealed box", open_box_untrusted, PEER, seeds.SEALED_BOXES),
    raw(
        "SPAKE2 message",
        pair_untrusted,
        (WrongCode, IncompatiblePeer, PeerProtocolError),
        seeds.PAIRING_BODIES,
        is_slow=True,
    ),
    raw(
        "key confirmation",
        pair_confirmation_untrusted,
        (WrongCode, PeerProtocolError),
        seeds.PAIRING_BODIES,
    ),
    # Known machines: how they are introduced, kept, found, and made sure of.
    raw(
        "introduction",
        known.read_introduction_untrusted,
        (PeerProtocolError, IncompatiblePeer),
        known.INTRODUCTIONS,
        "parse_introduction_untrusted",
    ),
    raw("machine's file", parse_machine_untrusted, (ValueError,), known.MACHINES),
    text("note", known.is_note_untrusted, (), known.NOTES),
    raw(
        "ephemeral key",
        known.take_first_untrusted,
        (WrongCode, IncompatiblePeer, PeerProtocolError),
        known.FIRST_BODIES,
    ),
    raw(
        "signature",
        known.take_second_untrusted,
        (WrongCode, IncompatiblePeer, PeerProtocolError),
        known.SECOND_BODIES,
    ),
    text("strict JSON", _json, PEER, seeds.SIGNALS + seeds.CONTROL),
    raw("strict JSON in bytes", _json, PEER, seeds.SIGNALS + seeds.CONTROL),
    raw("signal", parse_signal_untrusted, PEER, seeds.SIGNALS),
    text("offer", _offer, PEER, seeds.DESCRIPTIONS),
    text("answer", _answer, PEER, seeds.DESCRIPTIONS),
    text("candidate", maybe_parse_candidate_untrusted, PEER, seeds.CANDIDATES),
    # The data path.
    raw("SCTP packet", _check_packet, PEER, seeds.SCTP_PACKETS),
    raw("INIT", parse_init_untrusted, PEER, seeds.SCTP_VALUES),
    raw("SACK", parse_sack_untrusted, PEER, seeds.SCTP_VALUES),
    raw("parameters", lambda data: list(parameters_untrusted(data)), (), seeds.SCTP_VALUES),
    raw("stream reset", reset_streams_untrusted, (), seeds.SCTP_VALUES),
    raw(
        "chunks to an association",
        deliver_chunks_untrusted,
        (),
        seeds.SCTP_CHUNKS,
        "parse_ack_untrusted",
    ),
    # The transfer, and the names in it.
    text("control message", parse_control_untrusted, PEER, seeds.CONTROL),
    raw("page", read_page_untrusted, (PeerProtocolError, UnsafePath), seeds.PAGES),
    raw(
        "list of entries",
        read_list_untrusted,
        (PeerProtocolError, UnsafePath),
        seeds.LISTS,
        "parse_list_untrusted",
        "parse_page_untrusted",
    ),
    raw("frame", parse_frame_untrusted, PEER, seeds.FRAMES),
    raw("journal", parse_journal_untrusted, (NotAJournal,), seeds.JOURNALS),
    raw("tree journal", parse_tree_journal_untrusted, (NotAJournal,), seeds.TREE_JOURNALS),
    text("name", _name_posix, UNSAFE, seeds.NAMES),
    text("name on Windows", _name_windows, UNSAFE, seeds.NAMES),
    text("path", _path_posix, UNSAFE, seeds.PATHS),
    text("path on Windows", _path_windows, UNSAFE, seeds.PATHS),
    text("paths of a proposal", make_proposal_untrusted, UNSAFE, seeds.PATHS),
)

BY_NAME: Final = {decoder.name: decoder for decoder in DECODERS}
