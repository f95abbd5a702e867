"""SIGKILL: one of the two is gone from one instruction to the next; then both are started again."""

import asyncio
import random
import signal
from typing import Final

from tests.e2e.processes import Side, listing
from tests.faults.scene import OURS, Pair, Resumption, Scene, saved

PHASES: Final = ("paired", "connected", "proposal")
"""Moments before there are any bytes."""
EARLIER_PHASES: Final = 20  # one moment in so many is one of these
KILLED: Final = -signal.SIGKILL


async def kill(scene: Scene, *, who: str, seed: int) -> Resumption:
    """Kill a side at a seeded moment, and let the two go on with a new code.

    Args:
        scene: With nothing in the folder.
        who: ``sender`` or ``receiver``.
        seed: Of the moment. Most are drawn evenly over the bytes that arrive.
    """
    rng = random.Random(f"{who} {seed}")
    async with scene.both() as pair:
        await _moment(scene, pair, rng)
        await end_one(pair, who)
    scene.check_gone()
    if scene.copy.exists():  # it was saved in that very moment
        assert scene.is_whole()
        return Resumption(there=scene.size, resumed=scene.size, carried=0)
    assert set(listing(scene.out)) <= set(OURS)
    return await scene.go_on_spared()


async def kill_repeatedly(scene: Scene, *, times: int, seed: int) -> list[Resumption]:
    """Kill one of the two again and again, each time when new bytes have come; then end well."""
    rng = random.Random(seed)
    results = []
    for number in range(times):
        there, start = scene.there(), scene.length()
        async with scene.both() as pair:
            share = (scene.size - start) // (times - number + 1)
            await scene.arrived(start + 1 + rng.randrange(share), pair.receiver)
            await end_one(pair, rng.choice(("sender", "receiver")))
        results.append(Resumption(there=there, resumed=saved(pair.receiver), carried=None))
    return [*results, await scene.go_on_spared()]


async def end_one(pair: Pair, who: str) -> None:
    """Kill one side; stop the other, as its user does."""
    victim, other = pair.of(who)
    victim.process.kill()
    assert await victim.exit() in (KILLED, 0)
    await stop(other)


async def stop(side: Side) -> None:
    """Press Ctrl-C at a side whose other side is gone."""
    if side.process.returncode is None:
        side.signal(signal.SIGINT)
    if await side.exit() == 0:  # it had all that it needs
        await side.succeeds()
    elif side.last()["code"] != "aborted":
        await side.fails("interrupted")


async def time_to_notice(pair: Pair, who: str) -> tuple[float, float]:
    """Kill a side; return after how many seconds the other says a word of it, and reconnects."""
    victim, other = pair.of(who)
    loop = asyncio.get_running_loop()
    victim.process.kill()
    killed = loop.time()
    first = asyncio.create_task(_first_word(other))
    await other.event("reconnecting")
    noticed = loop.time() - killed
    await stop(other)
    await victim.exit()
    return await first - killed, noticed


async def _first_word(side: Side) -> float:
    events = [asyncio.create_task(side.event(name)) for name in ("stalled", "reconnecting")]
    await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
    now = asyncio.get_running_loop().time()
    for event in events:
        event.cancel()
    await asyncio.gather(*events, return_exceptions=True)
    return now


async def _moment(scene: Scene, pair: Pair, rng: random.Random) -> None:
    """Return at a moment that is drawn."""
    if rng.randrange(EARLIER_PHASES) == 0:
        await pair.receiver.event(rng.choice(PHASES))
        await asyncio.sleep(rng.random() / 10)
    else:
        await scene.arrived(rng.randrange(scene.size), pair.receiver)
