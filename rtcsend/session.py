"""The way of a file, from the code to the final acknowledgement: the one place that wires it.

::

    sender                      rendezvous                     receiver
      │ allocate ────────────────▶ │                               │   rendezvous
      │ ◀─ nameplate               │ ◀──────────────────── claim   │
      │ ◀──────────── SPAKE2 messages, key confirmation ─────────▶ │   pairing
      │ ◀──────────── sealed: hello, offer/answer, candidates ───▶ │   peer
      │ ◀═══════════════ ICE, DTLS, SCTP, peer to peer ══════════▶ │   datapath
      │  proposal ─▶   ◀─ accept   frames ═▶   ◀─ written          │   transfer
      │  end ─▶                                       ◀─ complete  │   files

:func:`send` (to the code, and then :func:`serve_one`) and :func:`receive` read top-down like this
picture. When the connection is lost, the two meet again and go on (:func:`_carry`,
:mod:`rtcsend.reconnecting`). Whatever else goes wrong, on either side and in any stage, ends in one
error of :mod:`rtcsend.errors`, and the other side is told (:class:`rtcsend.farewell.Line`).
"""

import asyncio
import os
import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn

from rtcsend import __version__
from rtcsend.code.code import Code, generate_code, parse_code_untrusted
from rtcsend.errors import (
    SOMEBODY_BETWEEN,
    ConnectionLost,
    RtcsendError,
    WrongCode,
)
from rtcsend.events import CodeReady, Done, Paired
from rtcsend.known.store import Store
from rtcsend.meeting.by_words import PAIRING_TIMEOUT, SILENT, Visit, come_to_code, within
from rtcsend.meeting.front_door import FrontDoor
from rtcsend.meeting.known_receiving import first_to_come
from rtcsend.meeting.known_sending import come_to
from rtcsend.meeting.met import Met
from rtcsend.meeting.place import Place
from rtcsend.options import CommonOptions, Emit, Questions, ReceiveOptions, SendOptions
from rtcsend.pairing.keys import Role
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.peer.signals import Hello
from rtcsend.reconnecting import Link, Terms
from rtcsend.rendezvous.ice_urls import parse_ice_url
from rtcsend.rendezvous.messages import IceServer
from rtcsend.serving.listening import serve_known
from rtcsend.serving.several import OneByOne, Several
from rtcsend.sources import Opener, source_for_each
from rtcsend.standstill import told_when_still
from rtcsend.target import Target
from rtcsend.tasks import first_of
from rtcsend.transfer.frames import payload_size
from rtcsend.transfer.ports import Decide, Offer, Sink
from rtcsend.transfer.rate import RateLimiter
from rtcsend.transfer.receiving import Receiving
from rtcsend.transfer.sending import Sending

if TYPE_CHECKING:
    from types import ModuleType

    from rtcsend.connecting import Connection

LINGER: Final = 10.0  # seconds for a sender that may not know that all is saved to come back
LOOK_INTERVAL: Final = 0.25  # seconds; only while the path is lost
_SAVED: Final = "The receiver has saved everything, but could not tell the sender in time."
_WEBRTC: Final = "rtcsend.connecting"  # imports aiortc, which takes about half a second


async def send(options: SendOptions, *, questions: Questions, emit: Emit) -> Done:
    """Send to one receiver, or to several; return when all have verified and saved everything.

    Cancelling it tells the other side, and takes at most about two seconds.

    Raises:
        RtcsendError: Whatever ended it; docs/cli.md lists them all.
    """
    async with AsyncExitStack() as stack:
        open_source = await stack.enter_async_context(source_for_each(options, emit=emit))
        ice_servers = [parse_ice_url(url) for url in options.ice]

        async def service() -> Service:
            webrtc = await stack.enter_async_context(_loading_webrtc())
            return Service(options, ice_servers, open_source, webrtc, questions)

        if options.to is None:
            done = await _serve_by_words(stack, options, service, emit)
        else:
            terms = await service()
            known = come_to(options, store=Store(), emit=emit)
            done = await serve_one(terms, await stack.enter_async_context(known), emit)
    emit(done)
    return done


@dataclass(frozen=True, slots=True)
class Service:
    """What is the same for each receiver of a sender."""

    options: SendOptions
    ice_servers: Sequence[IceServer]
    """Of the user."""
    open_source: Opener
    webrtc: "asyncio.Task[ModuleType]"
    """Loads :mod:`rtcsend.connecting`."""
    questions: Questions
    pool: RateLimiter | None = None
    """Of all receivers together."""


async def _serve_by_words(
    stack: AsyncExitStack,
    options: SendOptions,
    terms: Callable[[], Awaitable[Service]],
    emit: Emit,
) -> Done:
    """Show a code, and send to whoever has it; ``terms`` are slow to make, and wait for that."""
    wanted = None if options.code is None else parse_code_untrusted(options.code)
    number = None if wanted is None else wanted.nameplate
    door = await stack.enter_async_context(FrontDoor(options, nameplate=number))
    client = await stack.enter_async_context(door.place())

    def new_code() -> Code:
        code = wanted or generate_code(door.nameplate, words=options.words, entropy=os.urandom)
        server = door.public_url
        emit(CodeReady(code=str(code), server=server, embedded=door.is_embedded))
        return code

    await door.announce()
    code = new_code()
    service = await terms()
    if not options.is_for_several:
        visit = Visit(Role.SENDER, code, client, place=Place(client.url))
        await visit.begin()  # it waits there for whoever comes
        await within(options.timeout, visit.wait(), "The other side did not come.")
        async with told_when_still(emit):
            met = await visit.pair()
        return await serve_one(service, met, emit)
    serve = partial(serve_one, _for_several(service))
    several = Several(options, door=door, new_code=new_code, serve=serve, emit=emit)
    return await several.run(client, code)


def _for_several(service: Service) -> Service:
    """Return the terms of receivers that have one limit and one person together."""
    limit, now = service.options.limit, asyncio.get_running_loop().time()
    return replace(
        service,
        questions=OneByOne(service.questions),
        pool=RateLimiter(limit, now=now) if limit else None,
    )


async def serve_one(service: Service, met: Met, emit: Emit) -> Done:
    """Send to one receiver; return when that has verified and saved everything.

    Args:
        service: The terms.
        met: The receiver.
        emit: Told what becomes of it; the caller tells of the end.

    Raises:
        RtcsendError: Whatever ended it; the other side was told.
    """
    options, client = service.options, met.client
    emit(Paired(verification=met.keys.verification, machine=met.machine))
    terms = Terms(
        role=Role.SENDER,
        keys=met.keys,
        place=met.place,
        ice_servers=service.ice_servers,
        timeout=options.timeout,
        emit=emit,
    )
    signalling = SealedSignalling(met.mailbox, met.keys, Role.SENDER)
    async with Link(terms, signalling, rendezvous=client) as link:
        hello = None
        if options.verify:
            hello = await within(PAIRING_TIMEOUT, signalling.receive_hello(), SILENT)
            await first_of(_compare(service.questions, met.keys.verification), link.line.watch())
        webrtc = await service.webrtc
        ours = _hello(options, webrtc)
        await signalling.send(ours)
        async with service.open_source(emit) as source:
            sending = Sending(
                source,
                sender=platform.node(),
                limit=options.limit,
                compress=options.compress,
                pool=service.pool,
                sharers=options.receivers,
                answer_timeout=options.timeout,
                emit=emit,
                clock=asyncio.get_running_loop().time,
                entropy=os.urandom,
            )
            connection = await link.connect(
                webrtc, ours=ours, theirs=hello, ice_servers=client.ice_servers
            )
            return await _carry(
                link,
                connection,
                lambda now: sending.run(
                    now.channels, payload_size=payload_size(now.max_message_size)
                ),
                is_over=lambda: sending.is_over,
                position=lambda: sending.position,
            )


async def receive(options: ReceiveOptions, *, questions: Questions, emit: Emit) -> Done:
    """Receive once, by a code or from a known machine; return when all is under its final name.

    Cancelling it tells the other side, and takes at most about two seconds.

    Raises:
        RtcsendError: Whatever ended it; docs/cli.md lists them all.
    """
    async with AsyncExitStack() as stack:
        code = parse_code_untrusted(options.code) if not options.from_machines else None
        ice_servers = [parse_ice_url(url) for url in options.ice]
        target = await stack.enter_async_context(Target(options, questions=questions, emit=emit))
        webrtc = await stack.enter_async_context(_loading_webrtc())
        if code is None:
            met = await first_to_come(stack, options, store=Store(), emit=emit)
        else:
            met = await come_to_code(stack, options, code, emit=emit)
        return await _receive_from(
            met, options, ice_servers, target=target, webrtc=webrtc, emit=emit
        )


async def listen(options: ReceiveOptions, *, questions: Questions, emit: Emit) -> NoReturn:
    """Receive from known machines, whenever one comes, until it is cancelled.

    Each event but the first, which says who is waited for, tells of which visit it is.

    Raises:
        RtcsendError: Nobody can come (any more); not what goes wrong in one visit.
    """
    ice_servers = [parse_ice_url(url) for url in options.ice]
    async with _loading_webrtc() as webrtc:
        one_by_one = OneByOne(questions)

        async def serve(met: Met, emit: Emit) -> None:
            async with Target(options, questions=one_by_one, emit=emit) as target:
                await _receive_from(
                    met, options, ice_servers, target=target, webrtc=webrtc, emit=emit
                )

        async with Target(options, questions=one_by_one, emit=emit):
            pass  # the folder is there
        await serve_known(options, serve=serve, emit=emit)


async def _receive_from(
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
        ours = _hello(options, await webrtc)
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


async def _carry(
    link: Link,
    connection: "Connection",
    run: "Callable[[Connection], Coroutine[Any, Any, Done]]",
    *,
    is_over: Callable[[], bool],
    position: Callable[[], int],
    give_up: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> Done:
    """Run a transfer over one connection after the other, until it is done.

    ``position`` says how far it has come, so that two who meet again and again and move nothing
    come to an end. ``give_up`` runs beside each attempt to meet again, and raises when that is
    enough.
    """
    while True:
        try:
            return await first_of(run(connection), link.watch(is_over=is_over))
        except ConnectionLost as lost:
            watchers = () if give_up is None else (give_up(),)
            connection = await first_of(link.meet_again(lost, position=position()), *watchers)


async def _received(link: Link, connection: "Connection", receiving: Receiving) -> Done:
    """Receive until the sender knows; a file that is safe is safe also when it does not."""

    async def give_up() -> None:
        while not receiving.is_over:  # noqa: ASYNC110 - by a disk that outlives connections
            await asyncio.sleep(LOOK_INTERVAL)
        await asyncio.sleep(LINGER)
        raise ConnectionLost("The sender did not come back.")

    async with aclosing(receiving):
        try:
            return await _carry(
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


@asynccontextmanager
async def _loading_webrtc() -> AsyncIterator["asyncio.Task[ModuleType]"]:
    """Import aiortc in a thread while people and servers take their time."""
    task = asyncio.create_task(asyncio.to_thread(import_module, _WEBRTC))
    try:
        yield task
    finally:
        await asyncio.gather(task, return_exceptions=True)


async def _compare(questions: Questions, verification: str) -> None:
    if not await questions.verification_matches(verification):
        raise WrongCode("The verification strings did not match.", hint=SOMEBODY_BETWEEN)


def _hello(options: CommonOptions, webrtc: "ModuleType") -> Hello:
    return Hello(
        agent=f"rtcsend/{__version__}", route=options.route, datapath=webrtc.local_version()
    )
