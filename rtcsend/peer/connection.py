"""One peer connection: ICE and DTLS of aiortc, put together by their ORTC classes.

A shell. What goes over DTLS, the association and its channels, is the next stage's, and comes
in as a :class:`~rtcsend.peer.ports.DataPath`. aiortc's RTCPeerConnection would do all of it,
but gathers before it gives a description away, takes one fixed path through its stages, and
hides the transports that the data path builds on. Here each stage is its own line in
:meth:`PeerConnection.connect`.

Roles are fixed: the sender of the files offers, is the controlling ICE agent and the DTLS
server; the receiver answers, is controlled and the DTLS client. Sources: RFC 8445 §6.1.1,
RFC 8842 §5.3 (``setup:active``), RFC 8831 (DataChannels).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import aioice
from aiortc import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCIceCandidate,
    RTCIceGatherer,
    RTCIceParameters,
    RTCIceServer,
    RTCIceTransport,
)
from aiortc.rtcicetransport import connection_kwargs

from rtcsend.errors import NoRoute
from rtcsend.events import Connected
from rtcsend.options import RoutePolicy
from rtcsend.pairing.keys import Role
from rtcsend.peer.candidate import Candidate
from rtcsend.peer.description import Description, DescriptionType
from rtcsend.peer.ice import IceConnection
from rtcsend.peer.ports import DataPath
from rtcsend.rendezvous.ice_urls import maybe_usable_untrusted
from rtcsend.rendezvous.messages import IceServer

_RTT_TIMEOUT: Final = 1.0  # seconds to wait for the one check that measures the round trip
_CANDIDATES_TIMEOUT: Final = 1.0  # seconds for candidates that the first check has overtaken
_FINGERPRINT: Final = "sha-256"  # the one algorithm that every implementation has; RFC 8122 §5

logger = logging.getLogger("rtcsend.peer")

MakeDataPath = Callable[[RTCDtlsTransport, IceConnection], DataPath]


class PeerConnection:
    """One attempt to connect to the other side; used once.

    Order of calls: :meth:`gather`, :meth:`local_description` (before or after gathering),
    :meth:`connect` with the other side's description, :meth:`add_remote_candidate` at any
    time after that description is known, :meth:`close` always.

    Args:
        role: The sender offers.
        ice_servers: aioice uses the first STUN and the first TURN server among them.
        route: With ``RELAY_ONLY`` no address of this machine is gathered; with
            ``DIRECT_ONLY`` no relay is.
        make_path: Makes what goes over the DTLS connection.

    Attributes:
        path: What ``make_path`` made.
        on_closed: Called once when the connection ends by itself, not by :meth:`close`.
    """

    def __init__(
        self,
        role: Role,
        *,
        ice_servers: Sequence[IceServer],
        route: RoutePolicy,
        make_path: MakeDataPath,
    ) -> None:
        self._role = role
        self._route = route
        self.on_closed: Callable[[], None] = _nothing
        self._ice_connection = _ice_connection(role, ice_servers, route)
        gatherer = RTCIceGatherer(iceServers=[])
        gatherer._connection = self._ice_connection  # the seam for a subclass
        self._gatherer = gatherer
        self._ice = RTCIceTransport(gatherer)
        self._dtls = RTCDtlsTransport(self._ice, [RTCCertificate.generateCertificate()])
        self._dtls._set_role("server" if role is Role.SENDER else "client")
        self.path = make_path(self._dtls, self._ice_connection)
        self._no_more_candidates = asyncio.Event()
        self._closing = False
        self._dtls.on("statechange", self._on_dtls_state)

    async def gather(self) -> list[Candidate]:
        """Return the local candidates, in at most about 4 s.

        Raises:
            NoRoute: There is none: no network, or no relay and only relays are allowed.
        """
        await self._gatherer.gather()
        if self._no_more_candidates.is_set():
            await self._ice.addRemoteCandidate(None)
        found = [_to_candidate(candidate) for candidate in self._gatherer.getLocalCandidates()]
        logger.debug("= gathered %s", [(c.type, c.address, c.port) for c in found])
        if found:
            return found
        if self._route is RoutePolicy.RELAY_ONLY:
            raise NoRoute(
                "Only relays are allowed, and no TURN server gave one.",
                hint="Check the TURN server's address and credential, given by --ice or the "
                "rendezvous server, or leave --relay-only out.",
            )
        raise NoRoute("This machine has no network address.", hint="Connect it to a network.")

    def local_description(self, description_type: DescriptionType) -> Description:
        """Return this side's description, candidates apart."""
        ice = self._gatherer.getLocalParameters()
        fingerprints = self._dtls.getLocalParameters().fingerprints
        return Description(
            type=description_type,
            ice_ufrag=ice.usernameFragment or "",
            ice_pwd=ice.password or "",
            fingerprints=tuple(
                (fingerprint.algorithm, fingerprint.value)
                for fingerprint in fingerprints
                if fingerprint.algorithm == _FINGERPRINT
            ),
            setup="actpass" if description_type == "offer" else "active",
        )

    async def add_remote_candidate(self, candidate: Candidate | None) -> None:
        """Add a candidate of the other side; None when no more will come."""
        if candidate is None:
            # aioice gives a component up when the other side ends without a candidate for it,
            # and would then gather none: that is not this machine's lack of a network.
            self._no_more_candidates.set()
            if self._gatherer.state == "completed":
                await self._ice.addRemoteCandidate(None)
            return
        if candidate.type == "relay" and self._route is RoutePolicy.DIRECT_ONLY:
            return
        try:
            await self._ice.addRemoteCandidate(_from_candidate(candidate))
        except (OSError, ValueError) as exc:
            # A hidden (.local) address whose look-up found UDP port 5353 taken, or a
            # candidate after end-of-candidates: the others remain.
            logger.info("! remote candidate dropped: %s", type(exc).__name__)

    async def connect(self, remote: Description) -> Connected:
        """Connect to the side that ``remote`` describes; return how.

        The caller has gathered before, and sets a deadline: without one a failure takes
        more than a minute.

        Raises:
            NoRoute: No candidate pair works, or the other end is not who it should be.
        """
        if self._role is Role.SENDER and remote.setup == "passive":
            self._dtls._set_role("client")  # RFC 8842 §5.3: the answerer chose
        await self._ice.start(
            RTCIceParameters(usernameFragment=remote.ice_ufrag, password=remote.ice_pwd)
        )
        if self._ice.state != "completed":
            raise NoRoute("The two machines cannot reach each other.")
        rtt = asyncio.create_task(self._ice_connection.measure_rtt())
        try:
            await self._secure(remote)
            async with asyncio.timeout(_RTT_TIMEOUT):
                rtt_s = await rtt
        except TimeoutError:
            rtt_s = None
        finally:
            rtt.cancel()
        await self._wait_for_overtaken_candidates()
        return self._connected(rtt_s)

    async def _secure(self, remote: Description) -> None:
        """DTLS with the fingerprint that came sealed, then the SCTP association."""
        fingerprints = [
            RTCDtlsFingerprint(algorithm=algorithm, value=value)
            for algorithm, value in remote.fingerprints
        ]
        await self._dtls.start(RTCDtlsParameters(fingerprints=fingerprints))
        if self._dtls.state != "connected":
            raise NoRoute("The machine at the other end could not prove who it is.")
        await self.path.open(remote)

    async def _wait_for_overtaken_candidates(self) -> None:
        """Wait for what may still be on its way through the rendezvous, but not for long.

        A check that arrives before its candidate makes that peer-reflexive until it is
        signalled (RFC 8445 §7.3.1.3): a relay would be reported as a direct way.
        """
        pair = self._ice_connection.selected_pair()
        if pair is not None and pair.remote_type == "prflx":
            with suppress(TimeoutError):
                async with asyncio.timeout(_CANDIDATES_TIMEOUT):
                    await self._no_more_candidates.wait()

    def _connected(self, rtt_s: float | None) -> Connected:
        pair = self._ice_connection.selected_pair()
        if pair is None:
            raise NoRoute("The connection broke while it was set up.")
        logger.debug("= selected %s -> %s", pair.local_address, pair.remote_address)
        relayed = "relay" in (pair.local_type, pair.remote_type)
        return Connected(
            route="relay" if relayed else "direct",
            local=pair.local_type,
            remote=pair.remote_type,
            protocol="udp",
            rtt_ms=None if rtt_s is None else round(rtt_s * 1000, 1),
        )

    def selected_transport(self) -> tuple[asyncio.DatagramTransport, tuple[str, int]] | None:
        """Return what carries the data, and where to; None when it is not connected."""
        return self._ice_connection.selected_transport()

    async def close(self) -> None:
        """End the connection: SCTP ABORT, DTLS alert, sockets. Safe at any time, twice too."""
        self._closing = True
        await self.path.close()
        await self._dtls.stop()
        await self._ice.stop()

    def _on_dtls_state(self) -> None:
        if self._dtls.state in ("closed", "failed") and not self._closing:
            self._closing = True
            self.on_closed()


def _nothing() -> None:
    """Stand in until somebody wants to know."""


def _ice_connection(role: Role, servers: Sequence[IceServer], route: RoutePolicy) -> IceConnection:
    """Return an ICE agent that uses what ``route`` allows of ``servers``."""
    usable = [
        RTCIceServer(urls=list(server.urls), username=server.username, credential=server.credential)
        for server in map(maybe_usable_untrusted, servers)
        if server is not None
    ]
    kwargs = connection_kwargs(usable)
    if route is RoutePolicy.DIRECT_ONLY:
        kwargs = {name: value for name, value in kwargs.items() if not name.startswith("turn_")}
    policy = (
        aioice.TransportPolicy.RELAY
        if route is RoutePolicy.RELAY_ONLY
        else aioice.TransportPolicy.ALL
    )
    return IceConnection(ice_controlling=role is Role.SENDER, transport_policy=policy, **kwargs)


def _to_candidate(candidate: RTCIceCandidate) -> Candidate:
    return Candidate(
        foundation=candidate.foundation,
        priority=candidate.priority,
        address=candidate.ip,
        port=candidate.port,
        type=candidate.type,  # type: ignore[arg-type]  # aiortc has a plain str here
        related_address=candidate.relatedAddress,
        related_port=candidate.relatedPort,
    )


def _from_candidate(candidate: Candidate) -> RTCIceCandidate:
    return RTCIceCandidate(
        component=1,
        foundation=candidate.foundation,
        ip=candidate.address,
        port=candidate.port,
        priority=candidate.priority,
        protocol="udp",
        type=candidate.type,
        relatedAddress=candidate.related_address,
        relatedPort=candidate.related_port,
    )
