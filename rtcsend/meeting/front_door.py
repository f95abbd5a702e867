"""Where a sender waits for those who have its code: a rendezvous, and a nameplate there.

::

    open ─▶ allocate ─▶ announce ─▶ somebody claims it ─▶ allocate the same one again ─▶ …

A nameplate that was claimed is free again at once (docs/rendezvous-protocol.md, "Nameplates"),
so one number lets in one receiver after the other, each at a mailbox and a socket of its own.

A shell. Does not: know the words of the code. Place in the flow: opened by
:mod:`rtcsend.sending`; used again for each further receiver by :mod:`rtcsend.serving.several`.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rtcsend.options import SendOptions
from rtcsend.rendezvous.client import RendezvousClient
from rtcsend.rendezvous.websocket import dial_websocket
from rtcsend.trace import Step, note

if TYPE_CHECKING:
    from rtcsend.rendezvous.embedded import Embedded


class FrontDoor:
    """A context in which a rendezvous is there: the named server, or one in this process.

    Args:
        options: Name the server, and hold its token.
        nameplate: The one to take; None: whichever is free.
    """

    def __init__(self, options: SendOptions, *, nameplate: str | None) -> None:
        self._options = options
        self._wanted = nameplate
        self._granted: str | None = None
        self._embedded: Embedded | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._options.server is None:
            # The whole server, which nobody needs who names another.
            from rtcsend.rendezvous.embedded import embedded_rendezvous  # noqa: PLC0415

            rendezvous = embedded_rendezvous(crowd=self._options.is_for_several)
            self._embedded = await self._stack.enter_async_context(rendezvous)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def is_embedded(self) -> bool:
        """Whether the rendezvous runs in this process."""
        return self._embedded is not None

    @property
    def public_url(self) -> str:
        """Where it is, as a receiver's ``--server`` takes it."""
        return self._embedded.public_url if self._embedded else str(self._options.server)

    @property
    def nameplate(self) -> str:
        """The number; known from the first :meth:`place` on."""
        assert self._granted is not None, "a place was opened"
        return self._granted

    @asynccontextmanager
    async def place(self) -> AsyncIterator[RendezvousClient]:
        """Within it, one receiver can come to the nameplate: the same one each time.

        Raises:
            RendezvousError: The server does not answer, or refuses; somebody else has the number.
        """
        url = self._embedded.local_url if self._embedded else str(self._options.server)
        dial = partial(dial_websocket, proxied=not self.is_embedded)
        async with RendezvousClient(url, dial=dial) as client:
            self._granted = await client.allocate(self._number(), auth=self._options.token)
            note(Step.NAMEPLATE, how="allocated")
            yield client

    async def announce(self) -> None:
        """Let receivers on this machine and in the LAN find an embedded rendezvous."""
        if self._embedded:
            await self._embedded.announce(self.nameplate)

    def _number(self) -> str | None:
        known = self._granted or self._wanted
        return known or (self._embedded.free_nameplate() if self._embedded else None)
