"""The way of a file, from the code to the final acknowledgement: what wires the sender's side.

::

    sender                      rendezvous                     receiver
      │ allocate ────────────────▶ │                               │   rendezvous
      │ ◀─ nameplate               │ ◀──────────────────── claim   │
      │ ◀──────────── SPAKE2 messages, key confirmation ─────────▶ │   pairing
      │ ◀──────────── sealed: hello, offer/answer, candidates ───▶ │   peer
      │ ◀═══════════════ ICE, DTLS, SCTP, peer to peer ══════════▶ │   datapath
      │  proposal ─▶   ◀─ accept   frames ═▶   ◀─ written          │   transfer
      │  end ─▶                                       ◀─ complete  │   files

:func:`send` (to the code, and then :func:`serve_one`) reads top-down like this picture, as
:func:`rtcsend.receiving.receive` does. When the connection is lost, the two meet again and go on
(:func:`rtcsend.session.carry`, :mod:`rtcsend.reconnecting`). Whatever else goes wrong, on either
side and in any stage, ends in one error of :mod:`rtcsend.errors`, and the other side is told
(:class:`rtcsend.farewell.Line`).
"""

import asyncio
import os
import platform
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from rtcsend.code.code import Code, generate_code, parse_code_untrusted
from rtcsend.errors import SOMEBODY_BETWEEN, WrongCode
from rtcsend.events import CodeReady, Done, Paired
from rtcsend.meeting.by_words import PAIRING_TIMEOUT, SILENT, Visit, within
from rtcsend.meeting.front_door import FrontDoor
from rtcsend.meeting.met import Met
from rtcsend.meeting.place import Place
from rtcsend.options import Emit, Questions, SendOptions
from rtcsend.pairing.keys import Role
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.reconnecting import Link, Terms
from rtcsend.rendezvous.client import RendezvousClient
from rtcsend.rendezvous.ice_urls import parse_ice_url
from rtcsend.rendezvous.messages import IceServer
from rtcsend.session import carry, check_environment, greeting, loading_webrtc
from rtcsend.sources import Opener, source_for_each
from rtcsend.standstill import told_when_still
from rtcsend.tasks import first_of
from rtcsend.transfer.frames import payload_size
from rtcsend.transfer.rate import RateLimiter
from rtcsend.transfer.sending import Sending

if TYPE_CHECKING:
    from types import ModuleType


async def send(options: SendOptions, *, questions: Questions, emit: Emit) -> Done:
    """Send to one receiver, or to several; return when all have verified and saved everything.

    Cancelling it tells the other side, and takes at most about two seconds.

    Raises:
        RtcsendError: Whatever ended it; docs/cli.md lists them all.
    """
    check_environment()
    async with AsyncExitStack() as stack:
        open_source = await stack.enter_async_context(source_for_each(options, emit=emit))
        ice_servers = [parse_ice_url(url) for url in options.ice]

        async def service() -> Service:
            webrtc = await stack.enter_async_context(loading_webrtc())
            return Service(options, ice_servers, open_source, webrtc, questions)

        if options.to is None:
            done = await _serve_by_words(stack, options, service, emit)
        else:
            done = await _serve_known(stack, options, await service(), emit)
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


async def _serve_known(
    stack: AsyncExitStack, options: SendOptions, service: Service, emit: Emit
) -> Done:
    """Send to the known machine that is named."""
    # The keys of machines: not for those who have a code.
    from rtcsend.known.store import Store  # noqa: PLC0415
    from rtcsend.meeting.known_sending import come_to  # noqa: PLC0415

    known = come_to(options, store=Store(), emit=emit)
    return await serve_one(service, await stack.enter_async_context(known), emit)


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
    return await _serve_several(service, door, client, code, new_code=new_code, emit=emit)


async def _serve_several(
    service: Service,
    door: FrontDoor,
    client: RendezvousClient,
    code: Code,
    *,
    new_code: Callable[[], Code],
    emit: Emit,
) -> Done:
    """Send to all who come, on terms that have one limit and one person together."""
    # Not for one receiver.
    from rtcsend.serving.one_by_one import OneByOne  # noqa: PLC0415
    from rtcsend.serving.several import Several  # noqa: PLC0415

    limit, now = service.options.limit, asyncio.get_running_loop().time()
    terms = replace(
        service,
        questions=OneByOne(service.questions),
        pool=RateLimiter(limit, now=now) if limit else None,
    )
    serve = partial(serve_one, terms)
    several = Several(service.options, door=door, new_code=new_code, serve=serve, emit=emit)
    return await several.run(client, code)


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
        ours = greeting(options, webrtc)
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
            return await carry(
                link,
                connection,
                lambda now: sending.run(
                    now.channels, payload_size=payload_size(now.max_message_size)
                ),
                is_over=lambda: sending.is_over,
                position=lambda: sending.position,
            )


async def _compare(questions: Questions, verification: str) -> None:
    if not await questions.verification_matches(verification):
        raise WrongCode("The verification strings did not match.", hint=SOMEBODY_BETWEEN)
