"""All checks, side by side, within one time; then what they mean.

::

    this machine ──▶ addresses, routes
    rendezvous ──▶ steps ──▶ its ICE servers ─┐
    --ice ────────────────────────────────────┴▶ STUN ──▶ NAT, path MTU      ─▶ conclusion
                                               └▶ TURN ──▶ allocation, burst

The servers of the command line are asked at once, those of the rendezvous when it has named
them. What has not answered when the time is over is told as such.

Shell. Place in the flow: called by :mod:`rtcsend.cli.doctor`. Source: docs/cli.md.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final

from rtcsend.doctor.conclusion import Relay, Rendezvous, Summary, conclude
from rtcsend.doctor.findings import Area, Check, Conclusion, Value
from rtcsend.doctor.host import has_only_ipv6, machine_checks
from rtcsend.doctor.relays import relays_of_meeting
from rtcsend.doctor.rendezvous import RendezvousCheck
from rtcsend.doctor.servers import Server, servers_of
from rtcsend.doctor.stun_checks import StunChecks
from rtcsend.doctor.turn_checks import RelayCheck
from rtcsend.rendezvous.ice_urls import maybe_usable_untrusted, parse_ice_url
from rtcsend.rendezvous.lan import browse_lan, lan_allowed
from rtcsend.rendezvous.local import any_local
from rtcsend.rendezvous.messages import IceServer
from rtcsend.rendezvous.server_url import normalise_server_url

DEFAULT_TIMEOUT: Final = 10.0  # seconds for everything
LAN_TIME: Final = 2.0  # seconds; as for receive, and a little less: here nobody needs to be found
_MARGIN: Final = 0.5  # seconds at the end, to give allocations back and to close

Emit = Callable[[Check], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorOptions:
    """What the user asks for, as it was typed."""

    server: str | None = None
    ice: tuple[str, ...] = ()
    throughput: bool = True
    timeout: float = DEFAULT_TIMEOUT
    """Seconds for everything."""


async def examine(options: DoctorOptions, *, emit: Emit) -> Conclusion:
    """Check everything, and return what it means.

    Args:
        options: What is asked for.
        emit: Takes each finding, when it is there; called on the loop.

    Raises:
        UsageError: An address cannot be understood.
    """
    url = None if options.server is None else normalise_server_url(options.server)
    ice = tuple(parse_ice_url(text) for text in options.ice)
    return await _Examination(options, emit=emit).run(url, ice)


class _Examination:
    """One run."""

    def __init__(self, options: DoctorOptions, *, emit: Emit) -> None:
        self._options, self._emit = options, emit
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + options.timeout
        self._soft_end = self._end - min(_MARGIN, options.timeout / 4)
        self._one_burst = asyncio.Lock() if options.throughput else None
        self._relays: list[RelayCheck] = []
        self._asked: set[str] = set()
        self._rendezvous = Rendezvous.NOT_NAMED

    async def run(self, url: str | None, ice: tuple[IceServer, ...]) -> Conclusion:
        for check in await asyncio.to_thread(lambda: list(machine_checks())):
            self._emit(check)
        async with StunChecks(emit=self._emit) as stun:
            async with asyncio.TaskGroup() as self._group:
                await asyncio.gather(
                    self._servers(servers_of(ice), stun), self._meeting_place(url, stun)
                )
                await self._bounded(stun.nat(), area="nat", check="mapping", target="")
            return self._conclude(stun)

    def _conclude(self, stun: StunChecks) -> Conclusion:
        by_tcp = any(one.works for one in self._relays if one.transport != "udp")
        udp, mapping, filtering = stun.summary(tcp_works=by_tcp)
        relay = Relay.NOT_NAMED
        if self._relays:
            relay = Relay.WORKS if any(one.works for one in self._relays) else Relay.FAILED
        return conclude(
            Summary(
                rendezvous=self._rendezvous,
                udp=udp,
                mapping=mapping,
                filtering=filtering,
                relay=relay,
                only_ipv6=has_only_ipv6(),
            )
        )

    async def _meeting_place(self, url: str | None, stun: StunChecks) -> None:
        """Look at the rendezvous, and ask the servers that it names."""
        if url is None:
            looking = self._discover()
            self._group.create_task(
                self._bounded(looking, area="rendezvous", check="lan", target="")
            )
            return
        self._rendezvous = Rendezvous.FAILED
        named: list[IceServer] = []
        looking = self._look_at(url, named)
        await self._bounded(looking, area="rendezvous", check="timeout", target=url)
        await self._servers(servers_of(named), stun)

    async def _look_at(self, url: str, named: list[IceServer]) -> None:
        """Look at the rendezvous; add the servers that it names and that can be used."""
        welcome = await RendezvousCheck(url, emit=self._emit).run()
        if welcome is not None:
            self._rendezvous = Rendezvous.WORKS
            offered = (*welcome.ice_servers, *await relays_of_meeting(url))
            usable = map(maybe_usable_untrusted, offered)
            named += [server for server in usable if server is not None]

    async def _discover(self) -> None:
        """Say what receive would find without --server; that there is nothing is no fault."""
        here = await asyncio.to_thread(any_local)
        text = "a sender waits here" if here else "no sender waits here, which is no fault"
        self._tell("local", text, found=int(here))
        if not lan_allowed():
            self._tell("lan", "not searched: RTCSEND_DISCOVERY=local", found=None)
            return
        services = await browse_lan(timeout=min(LAN_TIME, self._options.timeout / 2))
        found = {0: "no sender was found, which is no fault", 1: "1 sender was found"}
        text = found.get(len(services), f"{len(services)} senders were found")
        self._tell("lan", text, found=len(services))

    async def _servers(self, servers: Iterable[Server], stun: StunChecks) -> None:
        """Ask servers that were not asked before; return when STUN has been, TURN goes on."""
        asking = []
        for server in servers:
            if server.name in self._asked:
                continue
            self._asked.add(server.name)
            if server.relay:
                self._group.create_task(self._relay(server, stun))
            if server.transport == "udp":
                asking.append(self._bounded_stun(stun.ask(server), server))
        await asyncio.gather(*asking)

    async def _bounded_stun(self, asking: Coroutine[Any, Any, None], server: Server) -> None:
        area: Area | None = None if server.relay else "stun"
        await self._bounded(asking, area=area, check="binding", target=server.name)

    async def _relay(self, server: Server, stun: StunChecks) -> None:
        check = RelayCheck(server, emit=self._emit)
        self._relays.append(check)
        looking = check.run(turn=self._one_burst, end=self._soft_end)
        await self._bounded(looking, area="turn", check="allocation", target=server.name)
        if server.transport == "udp":
            stun.on_udp(answered=check.heard)

    async def _bounded(
        self, work: Coroutine[Any, Any, None], *, area: Area | None, check: str, target: str
    ) -> None:
        """Run a check until the time is over; then tell that it was not finished.

        Args:
            work: The check.
            area: Of what is told then; None: nothing is.
            check: Of the same.
            target: Of the same.
        """
        try:
            async with asyncio.timeout_at(self._soft_end):
                await work
        except TimeoutError:
            if area is None:
                return
            self._emit(
                Check(
                    area=area,
                    check=check,
                    target=target,
                    status="failed",
                    ms=None,
                    text=f"Not finished within the {self._options.timeout:g} seconds of --timeout.",
                    values={"reason": "timeout"},
                )
            )

    def _tell(self, check: str, text: str, **values: Value) -> None:
        self._emit(
            Check(
                area="rendezvous",
                check=check,
                target="",
                status="ok",
                ms=None,
                text=text,
                values=values,
            )
        )
