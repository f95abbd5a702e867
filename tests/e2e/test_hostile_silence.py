"""Somebody who lives, and does not go on: given up, here by commands in a hurry.

That the true patience ends as well is shown on virtual time: tests/transfer/test_patience.py.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from rtcsend.errors import RtcsendError
from rtcsend.transfer.receiver import RECEIVE_WINDOW
from tests.e2e.hostile.peer import Peer
from tests.e2e.hostile.receiver_tricks import NARROW, answer
from tests.e2e.hostile.receiver_tricks import SIZE as FILM_SIZE
from tests.e2e.hostile.sender_tricks import SIZE, after_accept, then
from tests.e2e.hostile.trick import Play, Trick, says
from tests.e2e.hostile.victims import ForkServer
from tests.e2e.processes import Machine, listing, random_file
from tests.transfer.wire import PING, checking, end, written

pytestmark = [pytest.mark.e2e, pytest.mark.hostile]

HURRIED = "tests.e2e.hostile.hurried"
STUCK = "tests.e2e.hostile.stuck_disk"


def endless(say: Callable[[Peer, int], Awaitable[None]]) -> Play:
    """Return a play that says something five times a second, until the other side has closed."""

    async def play(peer: Peer) -> None:
        with suppress(RtcsendError):
            for number in count():
                await say(peer, number)
                await asyncio.sleep(0.2)

    return play


ALIVE = endless(lambda peer, _number: peer.say(PING))
BYTES = endless(lambda peer, number: peer.frame(number))
ACKNOWLEDGED = endless(lambda peer, number: peer.say(written(number)))
SAID = endless(lambda peer, number: peer.say(checking(1 + number, sent=1 << 20)))


def silence(name: str, play: Play, sentence: str = "does not go on", **fields: str) -> Trick:
    return Trick(name=name, play=play, sentence=sentence, **fields)  # type: ignore[arg-type]


SENDERS = [
    silence(
        "before a proposal",
        ALIVE,
        "proposed nothing",
        code="peer-never-came",
        told="peer-never-came",
    ),
    silence("after it was accepted", after_accept(ALIVE)),
    silence("a byte now and then", after_accept(BYTES)),
    silence("checking without an end", after_accept(SAID)),
    silence("the data never comes", after_accept(then(says(end(SIZE)), ALIVE))),
]


async def everything_but_complete(peer: Peer) -> None:
    taken = 0
    await peer.say(answer())
    while True:
        message = await peer.channels.receive()
        if isinstance(message, bytes):
            taken += len(message) - 16
            await peer.say(written(taken))
        elif json.loads(message)["type"] == "end":
            break
    await ALIVE(peer)


RECEIVERS = [
    silence("nothing written", then(says(NARROW), ALIVE)),
    silence("a byte now and then", then(says(NARROW), ACKNOWLEDGED)),
    silence("digests that never come", then(says(answer(blocks=2)), ALIVE)),
    silence("never complete", everything_but_complete),
]


def machine_of(folder: Path, trick: Trick) -> Machine:
    """Return a machine of its own: all of them wait at the same time."""
    own = folder / trick.name
    (own / "out").mkdir(parents=True)
    return Machine(own)


async def test_senders(tmp_path: Path, forks: ForkServer, rendezvous: str) -> None:
    async def test(trick: Trick) -> None:
        machine = machine_of(tmp_path, trick)
        out = machine.folder / "out"
        await forks.receive(machine, rendezvous, out, trick, module=HURRIED)
        assert listing(out) == []
        machine.check()

    await asyncio.gather(*map(test, SENDERS))


async def test_receivers(tmp_path: Path, forks: ForkServer, rendezvous: str) -> None:
    film = random_file(tmp_path / "film.iso", FILM_SIZE)

    async def test(trick: Trick) -> None:
        machine = machine_of(tmp_path, trick)
        await forks.send(machine, rendezvous, film, trick, module=HURRIED)
        machine.check()

    await asyncio.gather(*map(test, RECEIVERS))


async def overrun(peer: Peer) -> None:
    await peer.content(bytes(RECEIVE_WINDOW + 1))


async def test_a_sender_that_ignores_the_window(
    machine: Machine, out: Path, forks: ForkServer, rendezvous: str
) -> None:
    trick = Trick(name="", play=after_accept(overrun, size=1 << 26), sentence="window allows")
    await forks.receive(machine, rendezvous, out, trick, module=STUCK)
    assert listing(out) == []
