"""The STUN servers of one IP family, all asked from one port while it is entered.

Where one is silent by UDP, it is asked by TCP a second later: that it answers there means that
UDP is blocked, and not that the server is dead. Beside that the network is asked what it says
(:mod:`~rtcsend.doctor.knocking`).

Shell around :mod:`~rtcsend.doctor.nat`, :mod:`~rtcsend.doctor.path_mtu` and
:mod:`~rtcsend.doctor.binding`. Place in the flow: :mod:`rtcsend.doctor.stun_checks` has two.
"""

import asyncio
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from rtcsend.doctor.binding import StreamBinding
from rtcsend.doctor.codec import Endpoint
from rtcsend.doctor.host import FAMILIES, maybe_source
from rtcsend.doctor.knocking import Refused, knock
from rtcsend.doctor.links import WHOLE_DATAGRAMS, Driver, UdpLink, stream_link, udp_link
from rtcsend.doctor.nat import MAPPING, Binding, NatProbe
from rtcsend.doctor.nat_sentences import Nat, with_own_address
from rtcsend.doctor.path_mtu import MtuProbe, Size
from rtcsend.tasks import cancel_all

PATIENCE: Final = 1.0  # seconds without an answer by UDP, after which TCP is tried
TCP_TIMEOUT: Final = 2.0  # seconds for that


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What became of a question."""

    binding: Binding | None
    by_tcp: bool
    """There was no answer by UDP, and one by TCP."""
    refused: Refused | None
    """What the network has said instead of an answer by UDP."""


class StunFamily:
    """Asks the servers of one IP version.

    Args:
        version: 4 or 6.
    """

    def __init__(self, version: int) -> None:
        self._version = version
        self._probe = NatProbe(entropy=os.urandom)
        self._loop = asyncio.get_running_loop()
        self._stack = AsyncExitStack()
        self._links: list[UdpLink] = []
        self._driver: Driver | None = None
        self._running: asyncio.Task[bool] | None = None
        self._settled: dict[Endpoint, asyncio.Event] = {}
        self._idle = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Open the two ports.

        Raises:
            OSError: This machine has no such IP.
        """
        try:
            for _ in range(2):
                link = self._stack.enter_context(udp_link(FAMILIES[self._version]))
                self._links.append(link)
            self._driver = await self._stack.enter_async_context(Driver(self._probe, self._links))
        except OSError:
            await self._stack.aclose()
            raise
        self._running = self._loop.create_task(self._driver.run(self._look))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await cancel_all([task for task in (self._running,) if task is not None])
        await self._stack.aclose()

    async def ask(self, server: Endpoint) -> Heard:
        """Ask a server for the mapped address; return what it says, or after three seconds."""
        assert self._driver is not None, "it is entered"
        settled = self._settled.setdefault(server, asyncio.Event())
        self._idle.clear()
        self._probe.add_server(server, now=self._loop.time())
        self._driver.wake()
        by_tcp, refused = False, None
        try:
            async with asyncio.timeout(PATIENCE):
                await settled.wait()
        except TimeoutError:
            by_tcp, refused, _ = await asyncio.gather(
                _answers_by_tcp(server), knock(server), settled.wait()
            )
        binding = self._probe.bindings.get(server)
        if binding is not None:
            return Heard(binding=binding, by_tcp=False, refused=None)
        return Heard(binding=None, by_tcp=by_tcp, refused=refused)

    async def nat(self) -> Nat | None:
        """Return what kind of NAT there is, once all that were asked are settled."""
        await self._idle.wait()
        return self.nat_by_now()

    def nat_by_now(self) -> Nat | None:
        """Return what is known of the NAT; None when nobody has answered."""
        first = next(iter(self._probe.bindings.items()), None)
        if first is None:
            return None
        server, binding = first
        own = maybe_source(server) or "", self._links[MAPPING].port
        mapping, preserved = with_own_address(self._probe.mapping(), mapped=binding.mapped, own=own)
        return Nat(
            version=self._version,
            mapping=mapping,
            filtering=self._probe.filtering(),
            port_preserved=preserved,
        )

    async def path_mtu(self, server: Endpoint, *, rtt: float) -> Size | None:
        """Return how large a packet the way to a server takes; None when nobody can tell."""
        if not WHOLE_DATAGRAMS:
            return None
        probe = MtuProbe(server, rtt=rtt, now=self._loop.time(), entropy=os.urandom)
        with udp_link(FAMILIES[self._version], whole=True) as link:
            async with Driver(probe, [link]) as driver:
                await driver.run(lambda: probe.done)
        return probe.result()

    def _look(self) -> bool:
        """Tell who waits; asked by the driver whenever something may have changed."""
        for server, event in self._settled.items():
            if self._probe.settled(server):
                event.set()
        if self._probe.done:
            self._idle.set()
        return False


async def _answers_by_tcp(server: Endpoint) -> bool:
    """Return whether a STUN server answers by TCP."""
    probe = StreamBinding(entropy=os.urandom, now=asyncio.get_running_loop().time())
    try:
        async with (
            asyncio.timeout(TCP_TIMEOUT),
            stream_link(server, server_name="", tls=None, patience=TCP_TIMEOUT) as link,
            Driver(probe, [link]) as driver,
        ):
            await driver.run(lambda: probe.done)
    except OSError:  # a timeout is one
        pass
    return probe.answered
