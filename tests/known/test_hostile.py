"""A server that swaps, changes, repeats and makes up bodies at a door gets nobody in."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rtcsend.errors import (
    IncompatiblePeer,
    PeerNeverCame,
    PeerProtocolError,
    WrongCode,
)
from rtcsend.meeting import by_keys
from rtcsend.pairing.keys import Role
from rtcsend.pairing.known import KnownMachine
from tests.known.hostile_doors import Attack, HostileDoors, honest
from tests.known.pairs import STEP, Pair, both

PATIENCE = 1.0  # seconds for two to meet that never may
ENDS = (WrongCode, PeerNeverCame, PeerProtocolError, IncompatiblePeer)
Bodies = tuple[list[bytes], list[bytes]]


def changing(kind: bytes) -> Attack:
    """Flip one bit of each body of a kind."""

    def attack(body: bytes) -> Bodies:
        changed = bytes([*body[:-1], body[-1] ^ 1])
        return [changed if body[:1] == kind else body], []

    return attack


def reflecting(kind: bytes) -> Attack:
    """Give each body of a kind back to who has sent it."""
    return lambda body: ([], [body]) if body[:1] == kind else honest(body)


def repeating(kind: bytes) -> Attack:
    """Deliver the first body of a kind in the place of all later ones, of both sides."""
    first: list[bytes] = []

    def attack(body: bytes) -> Bodies:
        if body[:1] != kind:
            return honest(body)
        first.append(body)
        return [first[0]], []

    return attack


def losing(kind: bytes) -> Attack:
    return lambda body: ([], []) if body[:1] == kind else honest(body)


def in_the_middle() -> Attack:
    """Make an exchange with each side by itself, with keys of its own."""
    own = Ed25519PrivateKey.generate()
    machines = {
        b"K": KnownMachine(
            Role.RECEIVER, own=own, peer=bytes(32), secret=bytes(32), entropy=os.urandom
        ),
        b"L": KnownMachine(
            Role.SENDER, own=own, peer=bytes(32), secret=bytes(32), entropy=os.urandom
        ),
    }
    firsts = {kind: machine.start() for kind, machine in machines.items()}

    def attack(body: bytes) -> Bodies:
        kind = body[:1]
        if kind not in machines:
            return [], []
        # The other side gets a first body of its own; this one the rest of the exchange with it.
        answer = machines.pop(kind).receive_body_untrusted(body)
        own_first = firsts[b"L" if kind == b"K" else b"K"]
        return [own_first], [firsts[kind], answer or b""]

    return attack


def noise() -> Attack:
    return lambda body: ([os.urandom(len(body))], [])


@pytest.mark.parametrize(
    "make",
    [
        lambda: changing(b"K"),
        lambda: changing(b"L"),
        lambda: changing(b"M"),
        lambda: reflecting(b"K"),
        lambda: reflecting(b"L"),
        lambda: reflecting(b"M"),
        lambda: repeating(b"M"),
        lambda: losing(b"L"),
        lambda: losing(b"M"),
        in_the_middle,
        noise,
    ],
)
async def test_it_gets_nobody_in(
    make: Callable[[], Attack], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_keys, "EXCHANGE_TIMEOUT", 0.3)
    async with HostileDoors(make()) as server:
        pair = Pair(tmp_path, server.url)
        async with pair.doors(None) as doors:
            guest = asyncio.create_task(doors.next_guest())
            with pytest.raises(ENDS) as caught:
                async with pair.sending(patience=PATIENCE):
                    pytest.fail("somebody was let in")
            assert isinstance(caught.value, ENDS)
            assert not caught.value.told_by_peer
            assert not guest.done()
            # And when it has had enough they meet, in their own time.
            server.attack = honest
            monkeypatch.undo()
            async with asyncio.timeout(STEP), pair.sending() as sender:
                await both(sender, await guest)
                await guest.result().aclose()


async def test_it_sees_nothing_that_it_could_compare(tmp_path: Path) -> None:
    async with HostileDoors(honest) as server:
        pair = Pair(tmp_path, server.url)
        public = [
            store.identity().public_key().public_bytes_raw()
            for store in (pair.desktop, pair.laptop)
        ]
        for _ in range(2):
            async with pair.doors() as doors, pair.sending():
                await (await doors.next_guest()).aclose()
        seen = b"".join(server.seen)
        assert not any(key in seen for key in public)
        assert len(set(server.seen)) == len(server.seen) == 8
