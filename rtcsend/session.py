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
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rtcsend import __version__
from rtcsend.code.code import Code, generate_code, parse_code_untrusted
from rtcsend.errors import (
    ConnectionLost,
    PeerAborted,
    PeerNeverCame,
    RtcsendError,
    WrongCode,
)
from rtcsend.events import CodeReady, Done, Paired
from rtcsend.front_door import FrontDoor
from rtcsend.mailbox import BodyMailbox
from rtcsend.meeting import Place
from rtcsend.options import CommonOptions, Emit, Questions, ReceiveOptions, SendOptions
from rtcsend.pairing.keys import Role, SessionKeys
from rtcsend.pairing.machine import PairingMachine, State
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.peer.signals import Hello
from rtcsend.reconnecting import Link, Terms
from rtcsend.rendezvous.client import RendezvousClient
from rtcsend.rendezvous.discovery import find_rendezvous
from rtcsend.rendezvous.embedded import lan_allowed
from rtcsend.rendezvous.ice_urls import parse_ice_url
from rtcsend.rendezvous.messages import IceServer
from rtcsend.rendezvous.websocket import dial_websocket
from rtcsend.sources import opened_source
from rtcsend.target import Target
from rtcsend.tasks import first_of
from rtcsend.trace import Step, note
from rtcsend.transfer.frames import payload_size
from rtcsend.transfer.ports import Source
from rtcsend.transfer.receiving import Receiving
from rtcsend.transfer.sending import Sending

if TYPE_CHECKING:
    from types import ModuleType

    from rtcsend.connecting import Connection

LINGER: Final = 10.0  # seconds for a sender that may not know that all is saved to come back
LOOK_INTERVAL: Final = 0.25  # seconds; only while the path is lost
PAIRING_TIMEOUT: Final = 30.0  # seconds; two programs that have met need no person any more
_SAVED: Final = "The receiver has saved everything, but could not tell the sender in time."
_SILENT: Final = "The other side came, but says nothing."
_WEBRTC: Final = "rtcsend.connecting"  # imports aiortc, which takes about half a second

T = TypeVar("T")


async def send(options: SendOptions, *, questions: Questions, emit: Emit) -> Done:
    """Send to one receiver; return when that has verified and saved everything.

    Cancelling it tells the other side, and takes at most about two seconds.

    Raises:
        RtcsendError: Whatever ended it; docs/cli.md lists them all.
    """
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(opened_source(options, emit=emit))
        wanted = None if options.code is None else parse_code_untrusted(options.code)
        ice_servers = [parse_ice_url(url) for url in options.ice]

        number = None if wanted is None else wanted.nameplate
        door = await stack.enter_async_context(FrontDoor(options, nameplate=number))
        client = await stack.enter_async_context(door.place())
        code = wanted or generate_code(door.nameplate, words=options.words, entropy=os.urandom)
        await door.announce()
        emit(CodeReady(code=str(code), server=door.public_url, embedded=door.is_embedded))

        webrtc = await stack.enter_async_context(_loading_webrtc())
        service = Service(options, code, ice_servers, webrtc=webrtc, questions=questions)
        done = await serve_one(service, source, client, emit=emit)
    emit(done)
    return done


@dataclass(frozen=True, slots=True)
class Service:
    """What is the same for each receiver of a sender."""

    options: SendOptions
    code: Code
    ice_servers: Sequence[IceServer]
    """Of the user."""
    webrtc: "asyncio.Task[ModuleType]"
    """Loads :mod:`rtcsend.connecting`."""
    questions: Questions


async def serve_one(
    service: Service, source: Source, client: RendezvousClient, *, emit: Emit
) -> Done:
    """Wait at a nameplate for one receiver; return when that has saved everything.

    Args:
        service: The code, and the terms.
        source: What to send.
        client: At the nameplate.
        emit: Told what becomes of this receiver; the caller tells of the end.

    Raises:
        RtcsendError: Whatever ended it; the other side was told.
    """
    options = service.options
    mailbox = BodyMailbox(client)
    pairing = _pairing(Role.SENDER, service.code)
    await _begin_pairing(pairing, mailbox)  # it waits there for whoever comes
    await _within(options.timeout, mailbox.wait_for_peer(), "The other side did not come.")
    keys = await _pair(pairing, mailbox)
    emit(Paired(verification=keys.verification))

    terms = Terms(
        role=Role.SENDER,
        keys=keys,
        place=Place(client.url),
        ice_servers=service.ice_servers,
        timeout=options.timeout,
        emit=emit,
    )
    signalling = SealedSignalling(mailbox, keys, Role.SENDER)
    async with Link(terms, signalling, rendezvous=client) as link:
        hello = None
        if options.verify:
            hello = await _within(PAIRING_TIMEOUT, signalling.receive_hello(), _SILENT)
            await first_of(_compare(service.questions, keys.verification), link.line.watch())
        webrtc = await service.webrtc
        ours = _hello(options, webrtc)
        await signalling.send(ours)
        sending = Sending(
            source,
            sender=platform.node(),
            limit=options.limit,
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
            lambda now: sending.run(now.channels, payload_size=payload_size(now.max_message_size)),
            is_over=lambda: sending.is_over,
            position=lambda: sending.position,
        )


async def receive(options: ReceiveOptions, *, questions: Questions, emit: Emit) -> Done:
    """Receive one file; return when it is verified, synced and under its final name.

    Cancelling it tells the other side, and takes at most about two seconds.

    Raises:
        RtcsendError: Whatever ended it; docs/cli.md lists them all.
    """
    async with AsyncExitStack() as stack:
        code = parse_code_untrusted(options.code)
        ice_servers = [parse_ice_url(url) for url in options.ice]
        target = await stack.enter_async_context(Target(options, questions=questions, emit=emit))

        webrtc = await stack.enter_async_context(_loading_webrtc())
        place = await _find_rendezvous(options, code.nameplate)
        client = await stack.enter_async_context(_client_at(place))
        await client.claim(code.nameplate)
        note(Step.NAMEPLATE, how="claimed")

        mailbox = BodyMailbox(client)
        pairing = _pairing(Role.RECEIVER, code)
        await _begin_pairing(pairing, mailbox)
        keys = await _pair(pairing, mailbox)
        emit(Paired(verification=keys.verification))

        terms = Terms(
            role=Role.RECEIVER,
            keys=keys,
            place=place,
            ice_servers=ice_servers,
            timeout=options.timeout,
            emit=emit,
        )
        signalling = SealedSignalling(mailbox, keys, Role.RECEIVER)
        async with Link(terms, signalling, rendezvous=client) as link:
            ours = _hello(options, await webrtc)
            await signalling.send(ours)
            hello = await _within(options.timeout, signalling.receive_hello(), _SILENT)
            receiving = Receiving(
                decide=target.decide,
                limit=options.limit,
                emit=emit,
                clock=asyncio.get_running_loop().time,
            )
            connection = await link.connect(
                await webrtc, ours=ours, theirs=hello, ice_servers=client.ice_servers
            )
            done = await _received(link, connection, receiving)
    emit(done)
    done = replace(done, text=target.text)
    return done


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


def _client_at(place: Place) -> RendezvousClient:
    return RendezvousClient(place.url, dial=partial(dial_websocket, proxied=not place.is_near))


async def _find_rendezvous(options: ReceiveOptions, nameplate: str) -> Place:
    """Return where the rendezvous is: at the named server, or wherever it is found."""
    if options.server is not None:
        return Place(options.server)

    async def look() -> str:
        return await find_rendezvous(nameplate, lan=lan_allowed())

    return Place(await look(), look_again=look)


@asynccontextmanager
async def _loading_webrtc() -> AsyncIterator["asyncio.Task[ModuleType]"]:
    """Import aiortc in a thread while people and servers take their time."""
    task = asyncio.create_task(asyncio.to_thread(import_module, _WEBRTC))
    try:
        yield task
    finally:
        await asyncio.gather(task, return_exceptions=True)


def _pairing(role: Role, code: Code) -> PairingMachine:
    return PairingMachine(
        role, nameplate=code.nameplate, password=code.password, entropy=os.urandom
    )


async def _begin_pairing(pairing: PairingMachine, mailbox: BodyMailbox) -> None:
    await mailbox.send(pairing.start())
    note(Step.PAIRING, message="sent")


async def _pair(pairing: PairingMachine, mailbox: BodyMailbox) -> SessionKeys:
    """Return the keys, when both sides have proven that they know the words."""

    async def exchange() -> SessionKeys:
        while pairing.state is not State.CONFIRMED:
            body = await mailbox.receive_body()
            if body is None:
                raise PeerAborted("The other side went away before the pairing was done.")
            note(Step.PAIRING, message="received")
            if answer := pairing.receive_body_untrusted(body):
                await mailbox.send(answer)
        note(Step.PAIRING, message="confirmed")
        return pairing.keys

    return await _within(PAIRING_TIMEOUT, exchange(), _SILENT)


async def _compare(questions: Questions, verification: str) -> None:
    if not await questions.verification_matches(verification):
        raise WrongCode(
            "The verification strings did not match.",
            hint="Somebody may be between the two machines: try again over another network.",
        )


def _hello(options: CommonOptions, webrtc: "ModuleType") -> Hello:
    return Hello(
        agent=f"rtcsend/{__version__}", route=options.route, datapath=webrtc.local_version()
    )


async def _within(timeout: float, waiting: Coroutine[Any, Any, T], sentence: str) -> T:  # noqa: ASYNC109
    """Return what ``waiting`` returns; PeerNeverCame with ``sentence`` after ``timeout`` s."""
    try:
        async with asyncio.timeout(timeout):
            return await waiting
    except TimeoutError as exc:
        raise PeerNeverCame(sentence) from exc
