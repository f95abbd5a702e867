"""``rtcsend pair``: two machines get to know each other, inside one pairing by words.

::

    code ─▶ SPAKE2 ─▶ hello ◀▶ hello ─▶ introduction ◀▶ introduction ─▶ (disk) ─▶ kept ◀▶ kept

A shell. What is said is in :mod:`rtcsend.pairing.introduction`, what is kept in
:mod:`rtcsend.known.store`. A side that fails tells the other one, which then keeps nothing.
"""

import asyncio
import os
from contextlib import AsyncExitStack, suppress
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rtcsend import __version__
from rtcsend.abort import abort_message
from rtcsend.code.code import generate_code, parse_code_untrusted
from rtcsend.errors import IncompatiblePeer, PeerAborted, RtcsendError, UsageError, WrongCode
from rtcsend.events import CodeReady, Known, Paired
from rtcsend.known.names import check_name
from rtcsend.known.record import Machine
from rtcsend.known.store import Store, now
from rtcsend.meeting.by_words import PAIRING_TIMEOUT, SILENT, Visit, come_to_code, within
from rtcsend.meeting.front_door import FrontDoor
from rtcsend.meeting.mailbox import BodyMailbox
from rtcsend.meeting.met import Met
from rtcsend.meeting.place import Place
from rtcsend.options import Emit, PairOptions, RoutePolicy, SendOptions
from rtcsend.pairing.envelope import Opener, Sealer
from rtcsend.pairing.introduction import (
    check_kept_untrusted,
    fingerprint,
    introduction,
    kept,
    pair_secret,
    parse_introduction_untrusted,
)
from rtcsend.pairing.keys import Role, SessionKeys
from rtcsend.peer.signals import (
    AbortSignal,
    Hello,
    parse_signal_untrusted,
    serialize_message,
    serialize_signal,
)
from rtcsend.standstill import told_when_still
from rtcsend.strict_json import JsonObject

FAREWELL_TIMEOUT: Final = 1.5  # seconds; who presses Ctrl-C does not wait for more
_TRANSFERS: Final = "The other side transfers, and does not run “rtcsend pair”."
_PAIR_AGAIN: Final = "The code is used up: run “rtcsend pair” again on both machines."
_UNSURE: Final = "The other side went away before it had said that it knows this machine."


async def introduce(options: PairOptions, *, emit: Emit) -> Known:
    """Get to know the machine on the other side; return when both know each other.

    Raises:
        UsageError: The name is none, or taken; the other side is this very machine.
        CannotWrite: The keys cannot be kept.
        RtcsendError: Whatever else ended it; docs/cli.md lists them all.
    """
    store = Store()
    name = check_name(options.name)
    if not options.may_replace:
        store.check_free(name)
    own = store.identity()
    async with AsyncExitStack() as stack:
        role = Role.SENDER if options.code is None else Role.RECEIVER
        meet = _show_code if role is Role.SENDER else _take_code
        try:
            met = await meet(stack, options, emit)
        except WrongCode as exc:
            exc.hint = _PAIR_AGAIN
            raise
        emit(Paired(verification=met.keys.verification))
        talk = _Talk(role, met.keys, met.mailbox)
        try:
            key = await _exchange_keys(talk, own, role=role, keys=met.keys)
            secret = pair_secret(met.keys)
            machine = Machine(name=name, key=key, secret=secret, paired=int(now()))
            store.add(machine, may_replace=options.may_replace)
            await _both_keep(store, machine, talk)
        except BaseException as exc:
            await talk.tell(exc)
            raise
        if options.server is not None:
            store.keep_permit(met.client.url, met.client.permit)
    known = Known(
        machine=name,
        fingerprint=machine.fingerprint,
        own_fingerprint=fingerprint(own.public_key().public_bytes_raw()),
    )
    emit(known)
    return known


async def _exchange_keys(
    talk: "_Talk", own: Ed25519PrivateKey, *, role: Role, keys: SessionKeys
) -> bytes:
    """Return the public key of the other machine, which has this one's then.

    Raises:
        UsageError: It is this very machine.
        RtcsendError: It does something else, or has ended.
    """
    await talk.greet()
    await talk.say(introduction(own, role=role, keys=keys))
    key = parse_introduction_untrusted(await talk.hear(), role=role.peer, keys=keys)
    if key == own.public_key().public_bytes_raw():
        raise UsageError(
            "The other side is this very machine.",
            hint="Run the two commands on two machines, or as two users.",
        )
    return key


async def _both_keep(store: Store, machine: Machine, talk: "_Talk") -> None:
    """Return when the other side has this machine's key on its disk, too.

    Raises:
        RtcsendError: It has not; then this side does not know it either, unless it just went away.
    """
    try:
        await talk.say(kept())
        check_kept_untrusted(await talk.hear())
    except PeerAborted as exc:
        if exc.told_by_peer:
            store.forget(machine)
            raise
        raise PeerAborted(
            _UNSURE, hint="If it does not, run “rtcsend pair” again, with --replace."
        ) from exc
    except BaseException:
        store.forget(machine)
        raise


async def _show_code(stack: AsyncExitStack, options: PairOptions, emit: Emit) -> Met:
    """Show a code, and wait for who has it."""
    wanted = SendOptions(paths=(), server=options.server, token=options.token)
    door = await stack.enter_async_context(FrontDoor(wanted, nameplate=None))
    client = await stack.enter_async_context(door.place())
    code = generate_code(door.nameplate, words=options.words, entropy=os.urandom)
    await door.announce()
    emit(CodeReady(code=str(code), server=door.public_url, embedded=door.is_embedded))
    visit = Visit(Role.SENDER, code, client, place=Place(client.url))
    await visit.begin()
    await within(options.timeout, visit.wait(), "The other side did not come.")
    async with told_when_still(emit):
        return await visit.pair()


async def _take_code(stack: AsyncExitStack, options: PairOptions, emit: Emit) -> Met:
    """Come to who shows the code."""
    return await come_to_code(stack, options, parse_code_untrusted(options.code or ""), emit=emit)


class _Talk:
    """What the two say in sealed boxes."""

    def __init__(self, role: Role, keys: SessionKeys, mailbox: BodyMailbox) -> None:
        self._mailbox = mailbox
        self._sealer = Sealer(keys.sealing[role])
        self._opener = Opener(keys.sealing[role.peer])

    async def greet(self) -> None:
        """Say hello as before a transfer, so that who came for one hears what this is.

        Raises:
            RtcsendError: The other side does something else, or has ended.
        """
        hello = Hello(protocols=(), agent=f"rtcsend/{__version__}", route=RoutePolicy.ANY)
        await self._mailbox.send(self._sealer.seal(serialize_signal(hello)))
        match parse_signal_untrusted(await self.hear()):
            case Hello(protocols=()):
                return
            case Hello():
                raise IncompatiblePeer(_TRANSFERS, hint="Run “rtcsend pair” on both machines.")
            case AbortSignal(error=error):
                raise error
            case _:
                raise IncompatiblePeer("The other side did not greet first.")

    async def say(self, message: JsonObject) -> None:
        """Seal and queue a message."""
        await self._mailbox.send(self._sealer.seal(serialize_message(message)))

    async def hear(self) -> bytes:
        """Return the next message, opened.

        Raises:
            PeerAborted: The other side went away.
            PeerNeverCame: It says nothing.
            PeerProtocolError: A box was tampered with.
        """
        body = await within(PAIRING_TIMEOUT, self._mailbox.receive_body(), SILENT)
        if body is None:
            raise PeerAborted("The other side went away before the two knew each other.")
        return self._opener.open_untrusted(body)

    async def tell(self, exc: BaseException) -> None:
        """Tell the other side that this one ends, unless it has said so itself."""
        error = exc if isinstance(exc, RtcsendError) else PeerAborted("The user stopped it.")
        if not error.told_by_peer:
            with suppress(RtcsendError, TimeoutError):
                async with asyncio.timeout(FAREWELL_TIMEOUT):
                    await self.say(abort_message(error))
