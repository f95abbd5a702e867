"""The way of a file, from the code to the final acknowledgement: what wires the receiver's side.

:func:`receive` reads top-down like the picture of :mod:`rtcsend.sending`.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rtcsend.code.code import parse_code_untrusted
from rtcsend.errors import ConnectionLost, RtcsendError
from rtcsend.events import Done, Paired
from rtcsend.meeting.by_words import SILENT, come_to_code, within
from rtcsend.meeting.met import Met
from rtcsend.options import Emit, Questions, ReceiveOptions
from rtcsend.pairing.keys import Role
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.reconnecting import Link, Terms
from rtcsend.rendezvous.ice_urls import parse_ice_url
from rtcsend.rendezvous.messages import IceServer
from rtcsend.session import carry, check_environment, greeting, loading_webrtc
from rtcsend.standstill import told_when_still
from rtcsend.target import Target
from rtcsend.transfer.ports import Decide, Offer, Sink
from rtcsend.transfer.receiving import Receiving

if TYPE_CHECKING:
    from types import ModuleType

    from rtcsend.connecting import Connection

LINGER: Final = 10.0  # seconds for a sender that may not know that all is saved to come back
LOOK_INTERVAL: Final = 0.25  # seconds; only while the path is lost
_SAVED: Final = "The receiver has saved everything, but could not tell the sender in time."


async def receive(options: ReceiveOptions, *, questions: Questions, emit: Emit) -> Done:
    """Receive once, by a code or from a known machine; return when all is under its final name.

    Cancelling it tells the other side, and takes at most about two seconds.

    Raises:
        RtcsendError: Whatever ended it; docs/cli.md lists them all.
    """
    check_environment()
    async with AsyncExitStack() as stack:
        code = parse_code_untrusted(options.code) if not options.from_machines else None
        ice_servers = [parse_ice_url(url) for url in options.ice]
        target = await stack.enter_async_context(Target(options, questions=questions, emit=emit))
        webrtc = await stack.enter_async_context(loading_webrtc())
        if code is None:
            # The keys of machines: not for those who have a code.
            from rtcsend.known.store import Store  # noqa: PLC0415
            from rtcsend.meeting.known_receiving import first_to_come  # noqa: PLC0415

            met = await first_to_come(stack, options, store=Store(), emit=emit)
        else:
            met = await come_to_code(stack, options, code, emit=emit)
        return await receive_from(
            met, options, ice_servers, target=target, webrtc=webrtc, emit=emit
        )


async def receive_from(
    met: Met,
    options: ReceiveOptions,
    ice_servers: Sequence[IceServer],
    *,
    target: Target,
    webrtc: "asyncio.Task[ModuleType]",
    emit: Emit,
) -> Done:
    """Receive from who has come; return when all is safe, and the sender knows."""
    emit(Paired(verification=met.keys.verification, machine=met.machine))
    terms = Terms(
        role=Role.RECEIVER,
        keys=met.keys,
        place=met.place,
        ice_servers=ice_servers,
        timeout=options.timeout,
        emit=emit,
    )
    signalling = SealedSignalling(met.mailbox, met.keys, Role.RECEIVER)
    async with Link(terms, signalling, rendezvous=met.client) as link:
        ours = greeting(options, await webrtc)
        await signalling.send(ours)
        # With --verify two people compare before the sender says hello.
        async with nullcontext() if options.verify else told_when_still(emit):
            hello = await within(options.timeout, signalling.receive_hello(), SILENT)
        receiving = Receiving(
            decide=_naming(met, target.decide),
            limit=options.limit,
            emit=emit,
            clock=asyncio.get_running_loop().time,
        )
        connection = await link.connect(
            await webrtc, ours=ours, theirs=hello, ice_servers=met.client.ice_servers
        )
        done = await _received(link, connection, receiving)
    done = replace(done, text=target.text)
    emit(done)
    return done


def _naming(met: Met, decide: Decide) -> Decide:
    """Return ``decide``, told of the sender by the name that is proven, if it has one."""

    async def decide_named(offer: Offer) -> Sink | None:
        return await decide(replace(offer, sender=met.machine or offer.sender))

    return decide_named


async def _received(link: Link, connection: "Connection", receiving: Receiving) -> Done:
    """Receive until the sender knows; a file that is safe is safe also when it does not."""

    async def give_up() -> None:
        while not receiving.is_over:  # noqa: ASYNC110 - by a disk that outlives connections
            await asyncio.sleep(LOOK_INTERVAL)
        await asyncio.sleep(LINGER)
        raise ConnectionLost("The sender did not come back.")

    async with aclosing(receiving):
        try:
            return await carry(
                link,
                connection,
                lambda now: receiving.run(now.channels),
                is_over=lambda: receiving.is_over,
                position=lambda: receiving.position,
                give_up=give_up,
            )
        except RtcsendError as exc:
            await receiving.aclose()  # the disk may just be about to finish
            if receiving.done is None:
                raise
            if not exc.told_by_peer:
                await link.line.tell(ConnectionLost(_SAVED))  # should the sender still come
            return receiving.done
