"""The rendezvous is killed, and comes back without its memory: at every stage of a transfer."""

import asyncio
from typing import Final

from tests.faults.network import Fault, Networked, Watch, losses, sent_twice
from tests.faults.scene import Pair

SLOW_RTT: Final = 600.0  # milliseconds; so that there is a moment between pairing and connection


async def while_waiting(networked: Networked) -> Pair:
    """Kill it and start it again while a sender waits: its code stays the same.

    The receiver may be there before the sender is back, and then looks again.
    """
    lab, scene = networked.lab, networked.scene
    lab.links(rtt_ms=SLOW_RTT)
    command = ("--server", networked.server)
    async with networked.machine.send(scene.film, *command, wrapper=lab.alice.inside) as sender:
        code = await sender.code()
        _forget(networked)
        receive = (code, "-o", scene.out, "--wait", "60", *command)
        async with networked.machine.receive(*receive, wrapper=lab.bob.inside) as receiver:
            pair = Pair(sender, receiver)
            await pair.succeed()
    scene.check_whole(pair)
    return pair


async def while_pairing(networked: Networked) -> Pair:
    """Kill it and start it again between the pairing and the connection.

    Nothing has travelled. Both must end, with an error that says what happened.
    """
    lab, scene = networked.lab, networked.scene
    lab.links(rtt_ms=SLOW_RTT)
    command = ("--server", networked.server)
    async with networked.machine.send(scene.film, *command, wrapper=lab.alice.inside) as sender:
        receive = (await sender.code(), "-o", scene.out, *command)
        async with networked.machine.receive(*receive, wrapper=lab.bob.inside) as receiver:
            pair = Pair(sender, receiver)
            await asyncio.gather(sender.event("paired"), receiver.event("paired"))
            _forget(networked)
            await asyncio.gather(sender.exit(), receiver.exit())
    scene.check_gone()
    return pair


async def while_reconnecting(networked: Networked) -> Fault:
    """Kill it, cut the path, start it again: it has never heard of the two."""
    lab = networked.lab
    async with networked.moving() as pair:
        word = Watch(pair.receiver, networked.scene)
        lab.kill("rendezvous")
        lab.a.cut()
        await asyncio.gather(*(side.event("reconnecting") for side in (pair.sender, pair.receiver)))
        lab.start_again("rendezvous")
        seen = len(pair.receiver.events)
        loop = asyncio.get_running_loop()
        lab.a.heal()
        healed = loop.time()
        await pair.receiver.event("progress", after=seen)
        flowing = loop.time() - healed
        await pair.succeed()
        await word.aclose()
    networked.scene.check_whole(pair)
    return Fault(
        said=None,
        noticed=None,
        flowing=flowing,
        twice=sent_twice(pair, word),
        losses=losses(pair.receiver),
    )


async def amid_the_file(networked: Networked) -> Pair:
    """Kill it and start it again while the file moves, which nobody needs to notice."""
    async with networked.moving() as pair:
        _forget(networked)
        await pair.succeed()
    networked.scene.check_whole(pair)
    return pair


def _forget(networked: Networked) -> None:
    networked.lab.kill("rendezvous")
    networked.lab.start_again("rendezvous")
