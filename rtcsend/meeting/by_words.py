"""Two sides meet by the words of a code: what pairing takes, at one mailbox.

::

    sender     first message ─▶ (waits in the mailbox)     receiver comes
               ◀────────────── first message, confirmation ────────────── │
               confirmation ─────────────────────────────────────────────▶

A shell around :class:`~rtcsend.pairing.machine.PairingMachine`. Place in the flow: between the
rendezvous and everything that takes a :class:`~rtcsend.meeting.met.Met`.
"""

import asyncio
import os
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, TypeVar

from rtcsend.code.code import Code
from rtcsend.errors import PeerAborted, PeerNeverCame
from rtcsend.meeting.mailbox import BodyMailbox
from rtcsend.meeting.met import Met
from rtcsend.meeting.place import Place
from rtcsend.options import CommonOptions, Emit
from rtcsend.pairing.keys import Role, SessionKeys
from rtcsend.pairing.machine import PairingMachine, State
from rtcsend.rendezvous.client import RendezvousClient
from rtcsend.rendezvous.discovery import find_rendezvous
from rtcsend.rendezvous.lan import lan_allowed
from rtcsend.rendezvous.websocket import dial_websocket
from rtcsend.standstill import told_when_still
from rtcsend.trace import Step, note

PAIRING_TIMEOUT: Final = 30.0  # seconds; two programs that have met need no person any more
SILENT: Final = "The other side came, but says nothing."

T = TypeVar("T")


class Visit:
    """One side of one pairing.

    Args:
        role: Which side.
        code: Of both.
        client: At the nameplate of the code; whoever entered it ends it.
        place: Of the rendezvous.
    """

    def __init__(self, role: Role, code: Code, client: RendezvousClient, *, place: Place) -> None:
        self.client = client
        self._place = place
        self._mailbox = BodyMailbox(client)
        self._pairing = PairingMachine(
            role, nameplate=code.nameplate, password=code.password, entropy=os.urandom
        )

    async def begin(self) -> None:
        """Send the first message, which waits for whoever comes. To be called once."""
        await self._mailbox.send(self._pairing.start())
        note(Step.PAIRING, message="sent")

    async def wait(self) -> None:
        """Return when the other side has come."""
        await self._mailbox.wait_for_peer()

    async def pair(self) -> Met:
        """Return when both sides have proven that they know the words.

        Raises:
            WrongCode: They are not the same.
            PeerAborted: The other side went away before it had proven anything.
            PeerNeverCame: It says nothing.
            RtcsendError: It pairs in another way, or breaks the protocol.
        """
        keys = await within(PAIRING_TIMEOUT, self._exchange(), SILENT)
        return Met(keys=keys, client=self.client, mailbox=self._mailbox, place=self._place)

    async def _exchange(self) -> SessionKeys:
        pairing, mailbox = self._pairing, self._mailbox
        while pairing.state is not State.CONFIRMED:
            body = await mailbox.receive_body()
            if body is None:
                raise PeerAborted("The other side went away before the pairing was done.")
            note(Step.PAIRING, message="received")
            if answer := pairing.receive_body_untrusted(body):
                await mailbox.send(answer)
        note(Step.PAIRING, message="confirmed")
        return pairing.keys


async def come_to_code(
    stack: AsyncExitStack, options: CommonOptions, code: Code, *, emit: Emit
) -> Met:
    """Come to the sender that shows the code, and pair with it; ``stack`` ends the mailbox.

    ``emit`` is told when it is there, and says nothing.

    Raises:
        RtcsendError: It is not there, or the words are not the same.
    """
    place = await _find_rendezvous(options, code.nameplate)
    client = await stack.enter_async_context(_client_at(place))
    await client.claim(code.nameplate)
    note(Step.NAMEPLATE, how="claimed")
    visit = Visit(Role.RECEIVER, code, client, place=place)
    await visit.begin()
    async with told_when_still(emit):
        return await visit.pair()


def _client_at(place: Place) -> RendezvousClient:
    return RendezvousClient(place.url, dial=partial(dial_websocket, proxied=not place.is_near))


async def _find_rendezvous(options: CommonOptions, nameplate: str) -> Place:
    """Return where the rendezvous is: at the named server, or wherever it is found."""
    if options.server is not None:
        return Place(options.server)

    async def look() -> str:
        return await find_rendezvous(nameplate, lan=lan_allowed())

    return Place(await look(), look_again=look)


async def within(timeout: float, waiting: Coroutine[Any, Any, T], sentence: str) -> T:  # noqa: ASYNC109
    """Return what ``waiting`` returns; PeerNeverCame with ``sentence`` after ``timeout`` s."""
    try:
        async with asyncio.timeout(timeout):
            return await waiting
    except TimeoutError as exc:
        raise PeerNeverCame(sentence) from exc
