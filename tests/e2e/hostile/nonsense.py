"""What is no message at all: the same for both sides, as the first thing that they say."""

import json
from collections.abc import Iterator

from rtcsend.datapath.data_channel import PPID_BINARY, PPID_STRING, PPID_STRING_EMPTY
from tests.e2e.hostile.peer import Peer
from tests.e2e.hostile.trick import Trick, says

CONTROL, DATA = 0, 1  # streams
EVIL = "\x1b]0;root\x07\u202e\x1b[2J\nAccept? [Y/n] y"
DCEP = 50  # RFC 8832: opens channels; ours are agreed on


def texts() -> Iterator[tuple[str, str, str]]:
    """Yield name, text, and what is said about it."""
    yield "half of a message", '{"type":', "not valid JSON"
    yield "escape sequences", "\x1b]0;root\x07\x1b[2J", "not valid JSON"
    yield "a long message", json.dumps({"type": "ping", "more": "x" * 70_000}), "too long"
    yield "256 KiB", json.dumps({"type": "ping", "more": "x" * (262_144 - 32)}), "too long"
    yield "256 KiB, each character four bytes", "\U0001f4a3" * 65_536, "not valid JSON"
    yield "one wide character, and as many as fit", "\U0001f4a3" + "x" * 262_000, "too long"
    yield "deep", '{"type":"ping","more":' + "[" * 30_000 + "]" * 30_000 + "}", "nested"
    yield "deep, and never closed", '{"type":' * 7_000, "nested"
    yield "many keys", json.dumps({str(key): key for key in range(4_000)}), "bad “type”"
    yield "a huge integer", '{"type":"ping","more":' + "9" * 60_000 + "}", "not valid JSON"
    yield "2^53", '{"type":"ping","more":9007199254740992}', "not valid JSON"
    yield "2^63", '{"type":"ping","more":9223372036854775808}', "not valid JSON"
    yield "a fraction", '{"type":"ping","more":1.5}', "not valid JSON"
    yield "an exponent", '{"type":"ping","more":1e400}', "not valid JSON"
    yield "not a number", '{"type":"ping","more":NaN}', "not valid JSON"
    yield "minus infinity", '{"type":"ping","more":-Infinity}', "not valid JSON"
    yield "a key twice", '{"type":"ping","type":"ping"}', "not valid JSON"
    yield "a byte order mark", '\ufeff{"type":"ping"}', "not valid JSON"
    yield "a list", '["ping"]', "no JSON object"
    yield "a number", "1", "no JSON object"
    yield "an unknown type", '{"type":"shutdown"}', "unknown type"
    yield "a long type", json.dumps({"type": "x" * 33}), "bad “type”"
    yield "no type", "{}", "bad “type”"
    yield "a type that is a list", '{"type":["ping"]}', "bad “type”"
    yield "an abort without an end", '{"type":"abort","code":"x","reason":"' + "x" * 501 + '"}', ""


async def text_as_data(peer: Peer) -> None:
    peer.raw(DATA, PPID_STRING, b'{"type":"ping"}')


async def binary_as_control(peer: Peer) -> None:
    peer.raw(CONTROL, PPID_BINARY, b'{"type":"ping"}')


async def an_empty_text(peer: Peer) -> None:
    peer.raw(CONTROL, PPID_STRING_EMPTY, b"\0")


async def an_empty_text_as_data(peer: Peer) -> None:
    peer.raw(DATA, PPID_STRING_EMPTY, b"\0")


async def no_utf8(peer: Peer) -> None:
    peer.raw(CONTROL, PPID_STRING, b'{"type":"\xff\xfe"}')


async def too_large_for_a_message(peer: Peer) -> None:
    peer.raw(CONTROL, PPID_STRING, b"x" * (4 << 20))


def aborts() -> Iterator[Trick]:
    """Yield aborts that are well formed, and what they do to a terminal or a script."""

    def abort(name: str, code: str, ends: str, *, reason: str = EVIL, sentence: str = "") -> Trick:
        text = json.dumps({"type": "abort", "code": code, "reason": reason})
        return Trick(
            name=name, play=says(text), code=ends, sentence=sentence, told=None, quotes=True
        )

    yield abort("an abort that paints", "cannot-read", "aborted", sentence="Accept? [Y/n] y")
    yield abort("an abort of no reason", "declined", "declined", reason="", sentence="stopped")
    yield abort("an abort of half characters", "bug", "aborted", reason="\udc80 \ud800 " * 9)
    yield abort("an abort of another protocol", "\x1b[2J", "aborted", reason="\x9b2J" * 125)
    yield abort("an abort that blames us", "peer-protocol", "peer-protocol", sentence="at fault")
    yield abort("an abort about a digest", "digest-mismatch", "digest-mismatch")


NONSENSE = [
    *(Trick(name=name, play=says(text), sentence=said) for name, text, said in texts()),
    Trick(name="text on the data channel", play=text_as_data, sentence="mixed up"),
    Trick(name="binary on the control channel", play=binary_as_control, sentence="mixed up"),
    Trick(name="an empty text", play=an_empty_text, sentence="not valid JSON"),
    Trick(name="an empty text as data", play=an_empty_text_as_data, sentence="mixed up"),
    Trick(name="no UTF-8", play=no_utf8, sentence="unknown type"),
    Trick(name="a message of 4 MiB", play=too_large_for_a_message, sentence="too large"),
    *aborts(),
]


async def oddities(peer: Peer) -> None:
    """Say what a reader has to read over."""
    for stream in (0, 1, 2, 7, 65_534):
        for ppid in (0, DCEP, 52, 54, 0xFFFF_FFFF):
            peer.raw(stream, ppid, b"\x03\0\0\0\0\0\0\0\0\0\0\0")
    for stream in (2, 3, 1_000):
        for ppid in (PPID_STRING, PPID_BINARY):
            peer.raw(stream, ppid, b"x" * 100_000)
    await peer.say('{"type":"ping","more":{"of":["this",{"and":"that"}]}}')
    await peer.say(' {"more":"\\ud800\\u0000", "type":\n"\\u0070ing"}\r\n')


async def flood_of_pings(peer: Peer) -> None:
    for _ in range(30_000):
        await peer.say('{"type":"ping"}')


async def flood_of_large_pings(peer: Peer) -> None:
    text = json.dumps({"type": "ping", "more": "x" * 65_000})
    for _ in range(100):
        await peer.say(text)


async def flood_elsewhere(peer: Peer) -> None:
    """16 MiB on a stream that nobody reads."""
    for _ in range(256):
        peer.raw(9, PPID_BINARY, bytes(65_536))
    await peer.all_sent()


HARMLESS = [oddities, flood_of_pings, flood_of_large_pings, flood_elsewhere]
"""Odd, or far too much, and no error: the transfer goes on."""
