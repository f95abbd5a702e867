"""What is told of one TURN server by one way: the allocation, and how fast the relay is.

Shell around :mod:`~rtcsend.doctor.relaying`. Place in the flow: one of the checks of
:mod:`rtcsend.doctor.run`.
"""

import asyncio
import os
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Final

from rtcsend.doctor.allocation import Allocation, Refusal
from rtcsend.doctor.burst import DRAIN, DURATION
from rtcsend.doctor.codec import Endpoint
from rtcsend.doctor.findings import Check, Status, Value
from rtcsend.doctor.host import FAMILIES, maybe_source, resolve
from rtcsend.doctor.knocking import knock
from rtcsend.doctor.links import Driver, Link, stream_link, udp_link
from rtcsend.doctor.reasons import reason_of, seen_through, slug_of
from rtcsend.doctor.relaying import RelayProbe
from rtcsend.doctor.servers import Server, Transport
from rtcsend.proxy.settings import Proxy
from rtcsend.proxy.tunnel import maybe_proxy

CONNECT_TIMEOUT: Final = 4.0  # seconds for TCP and TLS together
RELEASE_TIMEOUT: Final = 0.5  # seconds to give an allocation back; else it ends by itself
MEASURE_TIME: Final = DURATION + DRAIN + 1.0  # seconds that a measurement may take

_EPHEMERAL: Final = re.compile(r"([0-9]{9,11})(?::.*)?", re.ASCII | re.DOTALL)
"""A user name that holds its end: draft-uberti-behave-turn-rest-00, as most servers have it."""

_REFUSALS: Final = {
    Refusal.SILENT: "It does not answer: it is dead, or blocked on the way.",
    Refusal.CREDENTIAL: "It refuses the credential: user or password is wrong.",
    Refusal.QUOTA: "Its quota is used up: this user has too many allocations there.",
    Refusal.CAPACITY: "It is full.",
    Refusal.FORBIDDEN: "It forbids an allocation to this user or from this network.",
    Refusal.ELSEWHERE: "It sends its users to another server, which is not followed.",
    Refusal.NO_TURN: "It does not understand an allocation: is it a STUN server only?",
    Refusal.OTHER: "It refuses an allocation.",
}

Emit = Callable[[Check], None]


class RelayCheck:
    """One look at one TURN server.

    Args:
        server: Whom, by which way.
        emit: Takes what is found.

    Attributes:
        works: It has granted an allocation.
        heard: It has answered at all.
    """

    def __init__(self, server: Server, *, emit: Emit) -> None:
        self.works = self.heard = False
        self._server, self._emit = server, emit
        self._proxy: Proxy | None = None
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    @property
    def transport(self) -> Transport:
        """The way to it."""
        return self._server.transport

    async def run(self, *, turn: asyncio.Lock | None, end: float) -> None:
        """Ask for an allocation, and measure.

        Args:
            turn: Held while it measures, so that bursts do not share the line; None: do not.
            end: When the whole run is over, in the loop's seconds.
        """
        try:
            self._proxy = self._find_proxy()
            endpoint = await self._resolve()
            async with self._link(endpoint) as link:
                probe = RelayProbe(self._server, entropy=os.urandom, now=self._loop.time())
                async with Driver(probe, [link]) as driver:
                    try:
                        await self._ask(probe, driver, endpoint)
                        if self.works and turn is not None:
                            await self._measure(probe, driver, endpoint, turn=turn, end=end)
                        await self._release(probe, driver)
                    finally:
                        self._let_go(probe, driver)
        except OSError as exc:
            seen = seen_through(self._proxy, exc)
            self._tell("allocation", "failed", reason_of(seen), timed=True, reason=slug_of(seen))

    def _find_proxy(self) -> Proxy | None:
        """Return the proxy that leads to it, and say that there is one.

        Raises:
            ProxyFailed: The one that is set cannot be used.
        """
        server = self._server
        if server.transport == "udp":
            return None
        secure = server.transport == "tls"
        proxy = maybe_proxy(server.host, server.port, secure=secure, purpose="turn")
        if proxy is not None:
            self._tell("proxy", "note", f"goes through the proxy {proxy.name}")
        return proxy

    async def _resolve(self) -> Endpoint:
        """Return where it is, by an IP version that has a route; a proxy looks names up itself.

        Raises:
            OSError: The name is not known.
        """
        if self._proxy is not None:
            return self._server.host, self._server.port
        endpoints = await resolve(self._server.host, self._server.port)
        routed = [endpoint for endpoint in endpoints if maybe_source(endpoint) is not None]
        return (routed or endpoints)[0]

    @asynccontextmanager
    async def _link(self, endpoint: Endpoint) -> AsyncIterator[Link]:
        """Open a way to it.

        Raises:
            OSError: It does not connect.
        """
        if self._server.transport == "udp":
            family = FAMILIES[6 if ":" in endpoint[0] else 4]
            with udp_link(family, server=endpoint) as link:
                yield link
            return
        tls = ssl.create_default_context() if self._server.transport == "tls" else None
        name, patience = self._server.host, CONNECT_TIMEOUT
        async with stream_link(
            endpoint, server_name=name, tls=tls, patience=patience, proxy=self._proxy
        ) as stream:
            yield stream

    async def _ask(self, probe: RelayProbe, driver: Driver, endpoint: Endpoint) -> None:
        whole = await driver.run(lambda: probe.asked)
        first = probe.first
        self.heard = first.rtt is not None
        granted = first.granted
        if granted is None:
            text, reason = (
                self._refusal(first)
                if whole
                else ("It closed the connection: is it a TURN server?", "closed")
            )
            silent = first.refusal is Refusal.SILENT and self._server.transport == "udp"
            if silent and (refused := await knock(endpoint)) is not None:
                text, reason = refused.text, refused.slug
            self._tell("allocation", "failed", text, timed=True, reason=reason, error=first.error)
            return
        self.works = True
        address, port = granted.relayed
        host = f"[{address}]" if ":" in address else address
        self._tell(
            "allocation",
            "ok",
            f"relays at {host}:{port}, for {granted.lifetime} s",
            timed=True,
            address=address,
            port=port,
            lifetime=granted.lifetime,
        )

    def _refusal(self, first: Allocation) -> tuple[str, str]:
        refusal = first.refusal or Refusal.OTHER
        if refusal is Refusal.CREDENTIAL and _has_expired(self._server.username):
            return "It refuses the credential, which has expired.", "expired"
        text = _REFUSALS[refusal]
        if refusal is Refusal.OTHER and first.error is not None:
            text = f"It refuses an allocation, with error {first.error}."
        return text, refusal.value

    async def _measure(
        self,
        probe: RelayProbe,
        driver: Driver,
        endpoint: Endpoint,
        *,
        turn: asyncio.Lock,
        end: float,
    ) -> None:
        async with turn:
            if self._loop.time() + MEASURE_TIME > end:
                self._tell("throughput", "skipped", "not measured: no time was left")
                return
            try:
                async with self._link(endpoint) as second, driver.with_link(second):
                    await self._burst(probe, driver)
            except OSError as exc:
                text = f"Not measured: a second connection failed. {reason_of(exc)}"
                self._tell("throughput", "skipped", text, reason=slug_of(exc))

    async def _burst(self, probe: RelayProbe, driver: Driver) -> None:
        try:
            probe.measure(now=self._loop.time())
            with suppress(TimeoutError):
                async with asyncio.timeout(MEASURE_TIME):
                    await driver.run(lambda: probe.measured)
            self._tell_speed(probe)
            await self._release(probe, driver)
        finally:
            self._let_go(probe, driver)

    def _tell_speed(self, probe: RelayProbe) -> None:
        speed = probe.speed()
        if speed is None or not speed.bytes_per_s:
            why = probe.refusal.value if probe.refusal is not None else "nothing came through"
            self._tell(
                "throughput",
                "note",
                f"not measured: it does not relay to itself ({why})",
                bytes_per_s=None,
            )
            return
        least = "at least " if speed.limited else ""
        lost = f", {speed.lost} of {speed.sent} packets lost" if speed.lost else ""
        self._tell(
            "throughput",
            "ok",
            f"{least}{speed.bytes_per_s / 1e6:.1f} MB/s{lost}",
            bytes_per_s=speed.bytes_per_s,
            limited=speed.limited,
            lost=speed.lost,
            sent=speed.sent,
        )

    async def _release(self, probe: RelayProbe, driver: Driver) -> None:
        probe.finish(now=self._loop.time())
        with suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_TIMEOUT):
                await driver.run(lambda: probe.done)

    def _let_go(self, probe: RelayProbe, driver: Driver) -> None:
        """Say, without waiting, that nothing is needed any more: the time may be over."""
        probe.finish(now=self._loop.time())
        driver.flush()

    def _tell(
        self, check: str, status: Status, text: str, *, timed: bool = False, **values: Value
    ) -> None:
        ms = round((self._loop.time() - self._began) * 1000, 1) if timed else None
        self._emit(
            Check(
                area="turn",
                check=check,
                target=self._server.name,
                status=status,
                ms=ms,
                text=text,
                values=values,
            )
        )


def _has_expired(username: str) -> bool:
    """Return whether a user name holds a time that is over."""
    match = _EPHEMERAL.fullmatch(username)
    return match is not None and int(match[1]) < datetime.now(UTC).timestamp()
