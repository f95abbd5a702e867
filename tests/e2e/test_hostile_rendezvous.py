"""A rendezvous that lies: neither side connects, nothing is written, and both say why.

Most of it runs both sides in this process, on a clock that is moved when nobody says anything;
the last tests run two real processes.
"""

import asyncio
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rtcsend import receiving, sending
from rtcsend.errors import RtcsendError
from rtcsend.events import CodeReady, Event, Proposal
from rtcsend.options import Conflict, ReceiveOptions, SendOptions
from rtcsend.pairing.keys import Role
from rtcsend.tasks import cancel_all
from tests.e2e.processes import Machine, listing, random_file
from tests.fakes.clock import skip
from tests.fakes.hostile_rendezvous import (
    KINDS,
    Attack,
    Drop,
    Flip,
    Forge,
    Frames,
    HostileRendezvous,
    Kind,
    OwnPairing,
    Reflect,
    Reorder,
    Replay,
    SwapDescriptions,
)

pytestmark = pytest.mark.e2e

CODE = "7-guitar-velvet"
DEADLINE = 90.0  # seconds; all of them end by themselves, most in a fraction of a second
QUIET = 15  # looks, 0.02 s apart, at which nothing more was said: who waits then waits in vain
LEAP = 6.0  # seconds that the clock is moved then
PEER_NEVER_CAME, WRONG_CODE, INCOMPATIBLE = 13, 20, 21
NO_ROUTE, LOST, ABORTED, PROTOCOL = 30, 31, 41, 43
CHANGED = "A sealed message was changed on the way."
OUT_OF_STEP = "A sealed message was lost, repeated or reordered on the way."

FORGED_OFFER = json.dumps(
    {
        "type": "offer",
        "sdp": "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
        "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=setup:actpass\r\n"
        f"a=fingerprint:sha-256 {':'.join(['AA'] * 32)}\r\n",
    }
).encode()


@dataclass
class Side:
    """How one side ended, and what it told its user."""

    events: list[Event] = field(default_factory=list)
    error: RtcsendError | None = None

    @property
    def exit_code(self) -> int:
        return 0 if self.error is None else self.error.exit_code

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]


class Yes:
    """Accepts everything."""

    async def accept(self, proposal: Proposal) -> bool:
        return True

    async def conflict(self, name: str) -> Conflict:
        return Conflict.ASK

    async def verification_matches(self, verification: str) -> bool:
        return True


class Pair:
    """A sender and a receiver in this process."""

    def __init__(self, folder: Path) -> None:
        self.source = random_file(folder / "film.iso", 100_000)
        self.out = folder / "out"
        self.out.mkdir()
        self.sender = Side()
        self.receiver = Side()

    async def run(self, server: HostileRendezvous, *, hurried: bool = False) -> None:
        """Run both to their ends; ``hurried``: these are the deadlines of who waits in vain."""
        shown = asyncio.Event()
        timeout = DEADLINE / 3 if hurried else DEADLINE

        def on_sender_event(event: Event) -> None:
            self.sender.events.append(event)
            if isinstance(event, CodeReady):
                shown.set()

        async def send() -> None:
            options = SendOptions(
                paths=(self.source,), server=server.url, code=CODE, timeout=timeout
            )
            try:
                await sending.send(options, questions=Yes(), emit=on_sender_event)
            except RtcsendError as exc:
                self.sender.error = exc
            finally:
                shown.set()

        async def receive() -> None:
            await shown.wait()
            options = ReceiveOptions(code=CODE, output=self.out, server=server.url, timeout=timeout)
            try:
                await receiving.receive(options, questions=Yes(), emit=self.receiver.events.append)
            except RtcsendError as exc:
                self.receiver.error = exc

        hurrying = asyncio.create_task(_hurry(server)) if hurried else None
        try:
            async with asyncio.TaskGroup() as group:  # what hangs is ended by pytest
                group.create_task(send())
                group.create_task(receive())
        finally:
            if hurrying is not None:
                await cancel_all([hurrying])

    def check_nothing_happened(self) -> None:
        """Check that neither side connected, and nothing was written."""
        for side in (self.sender, self.receiver):
            assert side.error is not None
            assert "connected" not in side.names
            assert {"proposal", "progress", "done"}.isdisjoint(side.names)
            text = side.error.message + side.error.hint
            assert text.isprintable()
        assert listing(self.out) == []

    def side(self, role: Role) -> Side:
        return self.sender if role is Role.SENDER else self.receiver

    def check_ends(
        self, victim: Role, codes: Collection[int], others: Collection[int], *, kind: Kind = "hello"
    ) -> None:
        """Check that nothing happened, how the side that was lied to ended, and the other.

        Args:
            victim: Who was lied to.
            codes: One of these is its exit code.
            others: And of these the other side's.
            kind: What was hit. By "end" the way may have been found, which is theirs alone; yet it
                ends with this.
        """
        if kind == "end":
            codes, others = {*codes, LOST}, {*others, LOST}
            assert None not in (self.sender.error, self.receiver.error)
            assert not (self.out / self.source.name).exists()
        else:
            self.check_nothing_happened()
        assert self.side(victim).exit_code in codes, self.side(victim).error
        assert self.side(victim.peer).exit_code in others, self.side(victim.peer).error


async def _hurry(server: HostileRendezvous) -> None:
    """Move the clock whenever nothing happens any more, from the blow on.

    Not the deadlines are shorter: a machine that is busy would run into them before the blow.
    """
    await server.struck.wait()
    while True:
        said = server.said
        for _ in range(QUIET):
            await asyncio.sleep(0.02)
        if server.said == said:
            skip(LEAP)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


both_ways = pytest.mark.parametrize("origin", Role, ids=lambda role: f"from {role.value}")
every_kind = pytest.mark.parametrize("kind", KINDS)


async def test_an_honest_pair_goes_through_it(pair: Pair) -> None:
    async with HostileRendezvous() as server:
        await pair.run(server)
    assert (pair.sender.error, pair.receiver.error) == (None, None)
    assert (pair.out / "film.iso").read_bytes() == pair.source.read_bytes()
    for role in Role:
        assert tuple(dict.fromkeys(server.seen[role])) == KINDS, "every kind is there to be hit"


FLIPS = [
    *((kind, position, bit) for kind in KINDS[:2] for position, bit in ((0.2, 0), (1.0, 7))),
    # All sealed bodies are boxes, of which tests/pairing/test_envelope.py changes every byte.
    *((kind, position, bit) for kind in KINDS for position, bit in ((0.0, 1), (0.5, 5))),
]


@both_ways
@pytest.mark.parametrize(("kind", "position", "bit"), FLIPS)
async def test_a_flipped_bit(
    pair: Pair, origin: Role, kind: Kind, position: float, bit: int
) -> None:
    attack = Flip(origin, kind, position=position, bit=bit)
    async with HostileRendezvous(attack) as server:
        await pair.run(server)
    assert attack.hits == 1
    codes = {
        # It is another point, and so another key, or none; or another protocol's first byte.
        "SPAKE2 message": {WRONG_CODE, PROTOCOL} if position else {PROTOCOL, INCOMPATIBLE},
        "confirmation": {PROTOCOL} if position == 0.0 else {WRONG_CODE},
    }.get(kind, {PROTOCOL})
    # The other side hears of it (sealed, or by its departure), or finds the same.
    pair.check_ends(origin.peer, codes, {WRONG_CODE, ABORTED, PROTOCOL}, kind=kind)
    victim = pair.side(origin.peer)
    if kind not in ("SPAKE2 message", "confirmation") and victim.exit_code != LOST:
        assert str(victim.error) == (OUT_OF_STEP if position == 0.0 else CHANGED)


@both_ways
@every_kind
async def test_a_replayed_body(pair: Pair, origin: Role, kind: Kind) -> None:
    attack = Replay(origin, kind)
    async with HostileRendezvous(attack) as server:
        await pair.run(server)
    assert attack.hits == 1
    pair.check_ends(origin.peer, {PROTOCOL}, {ABORTED, PROTOCOL}, kind=kind)


@both_ways
@pytest.mark.parametrize("kind", KINDS[:-1])
async def test_a_lost_body(pair: Pair, origin: Role, kind: Kind) -> None:
    attack = Drop(origin, kind)
    async with HostileRendezvous(attack) as server:
        await pair.run(server, hurried=True)
    assert attack.hits == 1
    # The next body has the wrong number; where none comes before an answer, nobody speaks.
    codes = {PROTOCOL, PEER_NEVER_CAME, ABORTED}
    pair.check_ends(origin.peer, codes, codes)


@both_ways
async def test_a_lost_last_body_costs_nothing(pair: Pair, origin: Role) -> None:
    """A server may always keep quiet; end-of-candidates only makes failing faster."""
    attack = Drop(origin, "end")
    async with HostileRendezvous(attack) as server:
        await pair.run(server)
    assert attack.hits == 1
    assert (pair.sender.error, pair.receiver.error) == (None, None)
    assert (pair.out / "film.iso").read_bytes() == pair.source.read_bytes()


@both_ways
@pytest.mark.parametrize("kind", KINDS[:-1])
async def test_two_bodies_in_the_wrong_order(pair: Pair, origin: Role, kind: Kind) -> None:
    attack = Reorder(origin, kind)
    async with HostileRendezvous(attack) as server:
        await pair.run(server, hurried=True)
    assert attack.hits == 1
    codes = {PROTOCOL, PEER_NEVER_CAME, ABORTED}
    pair.check_ends(origin.peer, codes, codes)


@both_ways
@every_kind
async def test_a_body_reflected_to_its_own_side(pair: Pair, origin: Role, kind: Kind) -> None:
    attack = Reflect(origin, kind)
    async with HostileRendezvous(attack) as server:
        await pair.run(server, hurried=True)
    assert attack.hits == 1
    codes, others = {WRONG_CODE, PROTOCOL}, {ABORTED, PEER_NEVER_CAME, PROTOCOL}
    pair.check_ends(origin, codes, others, kind=kind)


async def test_offer_and_answer_swapped(pair: Pair) -> None:
    attack = SwapDescriptions()
    async with HostileRendezvous(attack) as server:
        await pair.run(server)
    assert attack.hits == 2
    pair.check_ends(Role.SENDER, {PROTOCOL}, {PROTOCOL})


@pytest.mark.parametrize("confirm", [True, False], ids=["confirms", "repeats"])
async def test_its_own_pairing_in_the_middle(pair: Pair, confirm: bool) -> None:
    attack = OwnPairing(b"zebra-zebra", confirm=confirm)
    async with HostileRendezvous(attack) as server:
        await pair.run(server)
    assert attack.hits >= 2
    pair.check_ends(Role.SENDER, {WRONG_CODE}, {WRONG_CODE})
    assert "paired" not in pair.sender.names + pair.receiver.names


@both_ways
@pytest.mark.parametrize("kind", KINDS[2:4])
async def test_a_box_sealed_by_itself(pair: Pair, origin: Role, kind: Kind) -> None:
    attack = Forge(origin, kind, plaintext=FORGED_OFFER)
    async with HostileRendezvous(attack) as server:
        await pair.run(server)
    assert attack.hits == 1
    pair.check_ends(origin.peer, {PROTOCOL}, {PROTOCOL})
    assert str(pair.side(origin.peer).error) == CHANGED


@both_ways
async def test_a_description_that_is_not_sealed(pair: Pair, origin: Role) -> None:
    class Unsealed(Forge):
        def strike(self, body: bytes) -> list[tuple[Role, bytes]]:
            return [(self.origin.peer, self.plaintext)]

    attack = Unsealed(origin, "description", plaintext=FORGED_OFFER)
    async with HostileRendezvous(attack) as server:
        await pair.run(server)
    pair.check_ends(origin.peer, {PROTOCOL}, {PROTOCOL})


# What is no message of the protocol, or no sane one.

DEEP = "[" * 30_000
MESSAGE = '{"type":"message","body":"%s"}'
BAD_FRAMES: dict[str, str | bytes] = {
    "empty": "",
    "no JSON": "hello",
    "binary": b'{"type":"welcome"}',
    "no object": "[]",
    "nested": DEEP,
    "nested in an object": '{"type":' + DEEP,
    "nested and closed": '{"type":"peer","state":"joined","x":' + "[" * 900 + "]" * 900 + "}",
    "too large": MESSAGE % ("A" * 65_536),
    "too large by far": MESSAGE % ("A" * 5_000_000),
    "unknown type": '{"type":"exec","command":"rm"}',
    "no type": "{}",
    "a type that is no text": '{"type":{"type":"message"}}',
    "a name twice": '{"type":"peer","state":"joined","state":"left"}',
    "huge number": '{"type":"resumed","received":' + "9" * 5000 + "}",
    "NaN": '{"type":"resumed","received":NaN}',
    "no base64": MESSAGE % "%%%",
    "surrogate": MESSAGE % "\\ud800",
    "unknown presence": '{"type":"peer","state":"\\u001b[31mdead"}',
    "error without a code": '{"type":"error"}',
}


@pytest.mark.parametrize(
    ("at", "name"),
    [
        *(("welcome", name) for name in BAD_FRAMES),
        # Afterwards this one is a known message with a field that nobody reads.
        *(("granted", name) for name in BAD_FRAMES if name != "nested and closed"),
    ],
)
async def test_frames_outside_the_protocol(pair: Pair, at: Any, name: str) -> None:
    async with HostileRendezvous(frames=[Frames(at, [BAD_FRAMES[name]])]) as server:
        await pair.run(server)
    pair.check_nothing_happened()
    for side in (pair.sender, pair.receiver):
        # The receiver may find a server that has already lost its sender.
        assert side.error is not None
        assert side.exit_code == 11, side.error
        assert "does not follow the protocol" in str(side.error)


@pytest.mark.parametrize(
    "code",
    [
        *("not-found", "crowded", "rate-limited", "bad-message", "too-large", "expired", "full"),
        *("unauthorized", "\x1b]0;owned\x07"),
    ],
)
@pytest.mark.parametrize("at", ["welcome", "granted", "joined"])
async def test_errors_that_shout(pair: Pair, at: Any, code: str) -> None:
    shout = "\x1b[2J\x07\u202eowned\n" * 50
    frame = json.dumps({"type": "error", "code": code, "message": shout})
    async with HostileRendezvous(frames=[Frames(at, [frame])]) as server:
        await pair.run(server)
    pair.check_nothing_happened()
    for side in (pair.sender, pair.receiver):
        assert side.exit_code == (12 if code in ("not-found", "expired") else 11)


BAD_ICE_SERVERS: dict[str, list[Any]] = {
    "too many": [{"urls": ["stun:127.0.0.1:9"]}] * 1_000,
    "too many URLs": [{"urls": ["stun:127.0.0.1:9"] * 1_000}],
    "no list": [{"urls": "stun:127.0.0.1:9"}],
    "no objects": ["stun:127.0.0.1:9", 7, None],
    "other schemes": [{"urls": ["file:///etc/passwd"]}],
    "no text": [{"urls": [7]}],
    "long": [{"urls": ["turn:" + "a" * 10_000]}],
    "user name that is no text": [{"urls": ["turn:127.0.0.1:9"], "username": {"a": 1}}],
}


@pytest.mark.parametrize("name", BAD_ICE_SERVERS)
async def test_absurd_ice_servers(pair: Pair, name: str) -> None:
    async with HostileRendezvous(ice_servers=BAD_ICE_SERVERS[name]) as server:
        await pair.run(server)
    pair.check_nothing_happened()
    assert {pair.sender.exit_code, pair.receiver.exit_code} == {11}


USELESS_ICE_SERVERS: dict[str, list[Any]] = {
    "malformed": [
        {"urls": ["stun:[::1", "stun:a:b:c", "turn:?transport=udp", "stun:x?transport=udp"]}
    ],
    "impossible port": [{"urls": ["stun:127.0.0.1:99999", "turn:127.0.0.1:70000"]}],
    "no such host": [{"urls": ["stun:no-such-host.invalid:3478"]}],
    "dots": [{"urls": ["stun:a..b:3478", "stun:.:3478"]}],
    "long label": [{"urls": ["stun:" + "a" * 200 + ":3478"]}],
    "TURN without credentials": [{"urls": ["turn:127.0.0.1:9"]}],
    "TURN without a password": [{"urls": ["turn:127.0.0.1:9?transport=tcp"], "username": "x"}],
    "unknown transport": [{"urls": ["turn:127.0.0.1:9?transport=sctp"], "username": "x"}],
    "TURN that nobody runs": [
        {"urls": ["turn:127.0.0.1:9?transport=tcp"], "username": "x", "credential": "y\u202e"}
    ],
}


@pytest.mark.parametrize("name", USELESS_ICE_SERVERS)
async def test_useless_ice_servers_are_passed_over(pair: Pair, name: str) -> None:
    """They are of no use, and no harm: the direct way is found all the same."""
    async with HostileRendezvous(ice_servers=USELESS_ICE_SERVERS[name]) as server:
        await pair.run(server)
    assert (pair.sender.error, pair.receiver.error) == (None, None)
    assert (pair.out / "film.iso").read_bytes() == pair.source.read_bytes()


async def test_a_flood_of_messages_while_it_waits(pair: Pair) -> None:
    flood = Frames("granted", [MESSAGE % ("A" * 1_000)] * 3_000, to=Role.SENDER)
    async with HostileRendezvous(frames=[flood]) as server:
        await pair.run(server, hurried=True)
    # What comes is the first word of somebody, whose presence may have been missed.
    pair.check_ends(Role.SENDER, {INCOMPATIBLE, PROTOCOL}, {PEER_NEVER_CAME, ABORTED})


@both_ways
async def test_a_flood_of_messages(pair: Pair, origin: Role) -> None:
    flood = Frames("joined", [MESSAGE % ("U" * 60_000)] * 200, to=origin)
    async with HostileRendezvous(frames=[flood]) as server:
        await pair.run(server)
    pair.check_ends(origin, {INCOMPATIBLE, PROTOCOL}, {ABORTED})


async def test_a_flood_of_presence(pair: Pair) -> None:
    here_and_away = ['{"type":"peer","state":"away"}', '{"type":"peer","state":"back"}'] * 500
    async with HostileRendezvous(frames=[Frames("joined", here_and_away)]) as server:
        await pair.run(server)
    assert (pair.sender.error, pair.receiver.error) == (None, None)


# Two real processes.


@pytest.mark.parametrize(
    ("attack", "sender_code", "receiver_code"),
    [
        (OwnPairing(b"zebra-zebra", confirm=True), WRONG_CODE, WRONG_CODE),
        (Flip(Role.SENDER, "description", position=0.5, bit=0), PROTOCOL, PROTOCOL),
    ],
    ids=["own pairing", "changed offer"],
)
async def test_two_processes_end_alike(
    machine: Machine, attack: Attack, sender_code: int, receiver_code: int
) -> None:
    source = random_file(machine.folder / "film.iso", 1_000)
    out = machine.folder / "out"
    out.mkdir()
    async with HostileRendezvous(attack) as server:
        async with machine.send(source, "--server", server.url, "--code", CODE) as sender:
            await sender.code()
            async with machine.receive(
                CODE, "-o", out, "--server", server.url, "--timeout", "20"
            ) as receiver:
                assert (await sender.exit(), await receiver.exit()) == (sender_code, receiver_code)
    assert attack.hits
    for side in (sender, receiver):
        await side.fails("wrong-code" if sender_code == WRONG_CODE else "peer-protocol")
    assert listing(out) == []


async def test_two_processes_and_a_shouting_server(machine: Machine) -> None:
    source = random_file(machine.folder / "film.iso", 1_000)
    frame = json.dumps({"type": "error", "code": "full", "message": "\x1b[31mno\x07"})
    async with HostileRendezvous(frames=[Frames("joined", [frame])]) as server:
        async with machine.send(source, "--server", server.url, "--code", CODE) as sender:
            await sender.code()
            async with machine.receive(CODE, "--server", server.url) as receiver:
                assert (await sender.exit(), await receiver.exit()) == (11, 11)
    for side in (sender, receiver):
        await side.fails("refused")
    assert listing(machine.folder / "run") == []
