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

:func:`send` and :func:`receive` each read top-down like this picture. Whatever goes wrong,
on either side and in any stage, ends in one error of :mod:`rtcsend.errors`, and the other
side is told (:class:`rtcsend.farewell.Line`).
"""

import asyncio
import os
import platform
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rtcsend import __version__
from rtcsend.code.code import Code, generate_code, parse_code_untrusted
from rtcsend.errors import PeerAborted, PeerNeverCame, WrongCode
from rtcsend.events import CodeReady, Done, Paired
from rtcsend.farewell import Line
from rtcsend.files.source import FileSource
from rtcsend.options import CommonOptions, Emit, Questions, ReceiveOptions, SendOptions
from rtcsend.pairing.keys import Role, SessionKeys
from rtcsend.pairing.machine import PairingMachine, State
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.peer.signals import Hello, common_protocol, common_route
from rtcsend.rendezvous.client import MessageReceived, PeerPresence, RendezvousClient
from rtcsend.rendezvous.discovery import find_rendezvous
from rtcsend.rendezvous.embedded import Embedded, embedded_rendezvous, lan_allowed
from rtcsend.rendezvous.ice_urls import parse_ice_url
from rtcsend.target import Target
from rtcsend.tasks import first_of
from rtcsend.transfer.frames import payload_size
from rtcsend.transfer.receiving import Receiving
from rtcsend.transfer.sending import Sending

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import ModuleType

    from rtcsend.connecting import Connection
    from rtcsend.rendezvous.messages import IceServer

PAIRING_TIMEOUT: Final = 30.0  # seconds; two programs that have met need no person any more
_SILENT: Final = "The other side came, but says nothing."
_WEBRTC: Final = "rtcsend.connecting"  # imports aiortc, which takes about half a second

T = TypeVar("T")


async def send(options: SendOptions, *, questions: Questions, emit: Emit) -> Done:
    """Send one file; return when the receiver has verified and saved it.

    Cancelling it tells the other side, and takes at most about two seconds.

    Raises:
        RtcsendError: Whatever ended it; docs/cli.md lists them all.
    """
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(await FileSource.open(options.paths[0]))
        wanted = None if options.code is None else parse_code_untrusted(options.code)
        ice_servers = [parse_ice_url(url) for url in options.ice]

        client, embedded = await _open_rendezvous(stack, options)
        nameplate = await client.allocate(wanted.nameplate if wanted else None)
        code = wanted or generate_code(nameplate, words=options.words, entropy=os.urandom)
        if embedded:
            await embedded.announce(nameplate)
        server = embedded.public_url if embedded else str(options.server)
        emit(CodeReady(code=str(code), server=server, embedded=embedded is not None))

        webrtc = await stack.enter_async_context(_loading_webrtc())
        mailbox = _Mailbox(client)
        pairing = _pairing(Role.SENDER, code)
        first_body = pairing.start()
        await _within(options.timeout, mailbox.wait_for_peer(), "The other side did not come.")
        keys = await _pair(pairing, first_body, mailbox)
        emit(Paired(verification=keys.verification))

        signalling = SealedSignalling(mailbox, keys, Role.SENDER)
        async with Line(signalling) as line:
            hello = await _within(PAIRING_TIMEOUT, signalling.receive_hello(), _SILENT)
            if options.verify:
                await first_of(_compare(questions, keys.verification), line.watch())
            ours = _hello(options, await webrtc)
            await signalling.send(ours)
            servers = [*ice_servers, *client.welcome.ice_servers]
            attempt = _attempt(
                await webrtc, Role.SENDER, ours, hello, servers=servers, signalling=signalling
            )
            connection = await stack.enter_async_context(attempt)
            line.channels = connection.channels
            emit(connection.connected)
            sending = Sending(
                connection.channels,
                source,
                sender=platform.node(),
                payload_size=payload_size(connection.max_message_size),
                limit=options.limit,
                answer_timeout=options.timeout,
                emit=emit,
                clock=asyncio.get_running_loop().time,
            )
            done = await first_of(sending.run(), line.watch(is_over=lambda: sending.is_over))
    emit(done)
    return done


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
        url = options.server or await find_rendezvous(code.nameplate, lan=lan_allowed())
        client = RendezvousClient(url)
        await stack.enter_async_context(client)
        await client.claim(code.nameplate)

        mailbox = _Mailbox(client)
        pairing = _pairing(Role.RECEIVER, code)
        keys = await _pair(pairing, pairing.start(), mailbox)
        emit(Paired(verification=keys.verification))

        signalling = SealedSignalling(mailbox, keys, Role.RECEIVER)
        async with Line(signalling) as line:
            ours = _hello(options, await webrtc)
            await signalling.send(ours)
            hello = await _within(options.timeout, signalling.receive_hello(), _SILENT)
            servers = [*ice_servers, *client.welcome.ice_servers]
            attempt = _attempt(
                await webrtc, Role.RECEIVER, ours, hello, servers=servers, signalling=signalling
            )
            connection = await stack.enter_async_context(attempt)
            line.channels = connection.channels
            emit(connection.connected)
            receiving = Receiving(
                connection.channels,
                decide=target.decide,
                limit=options.limit,
                emit=emit,
                clock=asyncio.get_running_loop().time,
            )
            done = await first_of(receiving.run(), line.watch(is_over=lambda: receiving.is_over))
    emit(done)
    return done


async def _open_rendezvous(
    stack: AsyncExitStack, options: CommonOptions
) -> tuple[RendezvousClient, Embedded | None]:
    """Return a client of the named server, or of one that runs in this process."""
    embedded = None
    if options.server is None:
        embedded = await stack.enter_async_context(embedded_rendezvous())
    client = RendezvousClient(embedded.local_url if embedded else str(options.server))
    return await stack.enter_async_context(client), embedded


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


async def _pair(pairing: PairingMachine, first_body: bytes, mailbox: "_Mailbox") -> SessionKeys:
    """Return the keys, when both sides have proven that they know the words."""

    async def exchange() -> SessionKeys:
        await mailbox.send(first_body)
        while pairing.state is not State.CONFIRMED:
            body = await mailbox.receive_body()
            if body is None:
                raise PeerAborted("The other side went away before the pairing was done.")
            if answer := pairing.receive_body_untrusted(body):
                await mailbox.send(answer)
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


def _attempt(
    webrtc: "ModuleType",
    role: Role,
    ours: Hello,
    theirs: Hello,
    *,
    servers: "Sequence[IceServer]",
    signalling: SealedSignalling,
) -> "AbstractAsyncContextManager[Connection]":
    """Return the context of a connection on the terms that both sides agree to.

    Raises:
        IncompatiblePeer: There is no common protocol version.
        NoRoute: One allows relays only, the other none.
    """
    common_protocol(ours, theirs)
    connection: AbstractAsyncContextManager[Connection] = webrtc.connected(
        role,
        route=common_route(ours.route, theirs.route),
        ice_servers=servers,
        signalling=signalling,
        peer_datapath=theirs.datapath,
    )
    return connection


async def _within(timeout: float, waiting: Coroutine[Any, Any, T], sentence: str) -> T:  # noqa: ASYNC109
    """Return what ``waiting`` returns; PeerNeverCame with ``sentence`` after ``timeout`` s."""
    try:
        async with asyncio.timeout(timeout):
            return await waiting
    except TimeoutError as exc:
        raise PeerNeverCame(sentence) from exc


class _Mailbox:
    """The rendezvous as pairing and peer see it: bodies, and whether somebody is there."""

    def __init__(self, client: RendezvousClient) -> None:
        self._client = client

    async def wait_for_peer(self) -> None:
        """Return when the other side has joined."""
        while await self._client.receive() != PeerPresence("joined"):
            pass  # nothing else means anything yet

    async def send(self, body: bytes) -> None:
        """Queue a body for the other side; when that has left, its last words say why."""
        if not self._client.peer_left:
            await self._client.send(body)

    async def receive_body(self) -> bytes | None:
        """Return the next body; None when the other side has left for good."""
        while True:
            match await self._client.receive():
                case MessageReceived(body=body):
                    return body
                case PeerPresence(state="left"):
                    return None
                case PeerPresence():
                    pass
