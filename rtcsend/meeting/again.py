"""One meeting of two sides that have lost each other: from a URL to a new sealed channel.

::

    meet(derived name) ─▶ nonces ◀▶ confirmations ◀▶ hello ◀▶ hello

A shell around :class:`~rtcsend.pairing.reunion.ReunionMachine`. Whatever fails here ends this
meeting only; that another follows is the matter of :mod:`rtcsend.reconnecting`.
Source: docs/transfer-protocol.md, "Meeting again".
"""

import asyncio
import os
from functools import partial
from types import TracebackType
from typing import Final, Self

from rtcsend.abort import abort_message, error_from_abort_untrusted
from rtcsend.errors import PeerAborted, PeerNeverCame, RtcsendError
from rtcsend.meeting.mailbox import BodyMailbox
from rtcsend.meeting.place import Place
from rtcsend.pairing.keys import Role
from rtcsend.pairing.reunion import (
    MAX_FAREWELL,
    ReunionMachine,
    State,
    mailbox_name,
    seal_farewell,
)
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.peer.signals import Hello, serialize_message
from rtcsend.rendezvous.client import RendezvousClient
from rtcsend.rendezvous.messages import IceServer
from rtcsend.rendezvous.redial import redial
from rtcsend.strict_json import parse_object_untrusted

RESUME_TIMEOUT: Final = 3.0  # seconds for a broken socket to come back, before a new meeting
EXCHANGE_TIMEOUT: Final = 6.0  # seconds for two programs that have met; three round trips


class Meeting:
    """A context from the mailbox to its end.

    Args:
        role: Which side this is.
        reconnection: The secret of the pairing.
        place: Of the rendezvous.
    """

    def __init__(self, role: Role, *, reconnection: bytes, place: Place) -> None:
        self._role = role
        self._reconnection = reconnection
        self._place = place
        self._client = RendezvousClient(
            place.url,
            first_timeout=place.patience,
            retry_for=RESUME_TIMEOUT,
            dial=partial(redial, proxied=not place.is_near),
        )
        self._signalling: SealedSignalling | None = None
        self._said_farewell = False
        self.is_entered = False
        """Whether this side is in the mailbox."""

    @property
    def ice_servers(self) -> tuple[IceServer, ...]:
        """What the rendezvous offers."""
        return self._client.ice_servers

    async def __aenter__(self) -> Self:
        """Come to the mailbox.

        Raises:
            RendezvousError: The rendezvous does not answer, or refuses.
        """
        await self._client.__aenter__()
        try:
            name = mailbox_name(self._reconnection)
            await self._client.meet(name, permit=self._place.permit)
        except BaseException:
            await self._client.release()
            raise
        self.is_entered = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave; a farewell stays for who comes later."""
        self.is_entered = False
        if self._said_farewell:
            await self._client.hang_up()
        else:
            await self._client.release()

    def redial(self) -> None:
        """Come back by another socket: this one may lead nowhere."""
        self._client.redial()

    async def wait_attached(self) -> None:
        """Return when the socket works, or when it is all over."""
        await self._client.wait_attached()

    async def greet(self, ours: Hello) -> tuple[SealedSignalling, Hello]:
        """Wait for the other side; return new sealed signalling and its greeting.

        Raises:
            RtcsendError: This meeting has failed; or, told by the peer, it has ended.
        """
        mailbox = BodyMailbox(self._client)
        machine = ReunionMachine(self._role, reconnection=self._reconnection, entropy=os.urandom)
        await mailbox.send(machine.start())
        await self._take_body(machine, mailbox)  # as long as it takes
        try:
            async with asyncio.timeout(EXCHANGE_TIMEOUT):
                while machine.state is not State.CONFIRMED:
                    await self._take_body(machine, mailbox)
                signalling = SealedSignalling(mailbox, machine.keys, self._role)
                self._signalling = signalling
                self._place.permit = self._client.permit or self._place.permit
                await signalling.send(ours)
                return signalling, await signalling.receive_hello()
        except TimeoutError as exc:
            raise PeerNeverCame("The other side came, but says nothing.") from exc

    async def say_farewell(self, error: RtcsendError) -> None:
        """Tell the other side that this one ends; also when it has not come yet."""
        if self._signalling is not None:
            await self._signalling.send_abort(error)
            return
        body = seal_farewell(
            serialize_message(abort_message(error)),
            reconnection=self._reconnection,
            role=self._role,
            entropy=os.urandom,
        )
        self._said_farewell = True
        await self._client.send(body)

    async def _take_body(self, machine: ReunionMachine, mailbox: BodyMailbox) -> None:
        body = await mailbox.receive_body()
        if body is None:
            raise PeerAborted("The other side left the meeting.")
        answer = machine.receive_body_untrusted(body)
        if machine.state is State.ENDED:
            message = parse_object_untrusted(machine.farewell, max_size=MAX_FAREWELL)
            raise error_from_abort_untrusted(message)
        if answer is not None:
            await mailbox.send(answer)
