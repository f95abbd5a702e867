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
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

import aioice
from aiortc.rtcdtlstransport import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
)
from aiortc.rtcicetransport import RTCIceGatherer, RTCIceParameters, RTCIceTransport

from rtcsend.errors import NoRoute
from rtcsend.events import Connected
from rtcsend.options import RoutePolicy
from rtcsend.pairing.keys import Role
from rtcsend.peer.candidate import Candidate
from rtcsend.peer.description import Description, DescriptionType
from rtcsend.peer.ice import IceConnection
from rtcsend.peer.ice_servers import servers_of
from rtcsend.peer.ports import DataPath
from rtcsend.peer.turn_client import result_of
from rtcsend.peer.unreachable import no_route
from rtcsend.rendezvous.messages import IceServer
from rtcsend.tasks import cancel_all, first_of, uninterrupted
from rtcsend.trace import Step, attempt, note

_AGAIN: Final = "Run both commands again."
_INSISTENCE: Final = 0.05  # seconds until a handshake is told again that it is over
_WORD_TIMEOUT: Final = 0.5  # seconds; the end of a connection is faster than the rendezvous
_CANDIDATES_TIMEOUT: Final = 1.0  # seconds for candidates that the first check has overtaken
_FINGERPRINT: Final = "sha-256"  # the one algorithm that every implementation has; RFC 8122 §5

logger = logging.getLogger("rtcsend.peer")

MakeDataPath = Callable[[RTCDtlsTransport, IceConnection], DataPath]


class PeerConnection:
    """One attempt to connect to the other side; used once.

    Order of calls: :meth:`local_description`; :meth:`gather` beside everything else;
    :meth:`connect` with the other side's description, :meth:`add_remote_candidate` at any
    time after that description is known, :meth:`close` always.

    Args:
        role: The sender offers.
        ice_servers: STUN and TURN servers; all of them are asked.
        route: With ``RELAY_ONLY`` no address of this machine is gathered; with
            ``DIRECT_ONLY`` no relay is.
        make_path: Makes what goes over the DTLS connection; None: :meth:`agree` will tell, and
            no TURN server is asked before.
        sctp_init: What that tells the other side's data path beforehand, if anything.

    Attributes:
        on_closed: Called once when the connection ends by itself, not by :meth:`close`.
        on_route: Called, once connected, when the bytes go another way from now on.
    """

    def __init__(
        self,
        role: Role,
        *,
        ice_servers: Sequence[IceServer],
        route: RoutePolicy,
        make_path: MakeDataPath | None,
        sctp_init: bytes | None = None,
    ) -> None:
        self._role = role
        self._sctp_init = sctp_init
        self._route = route
        self.on_closed: Callable[[], None] = _nothing
        self.on_route: Callable[[], None] = _nothing
        self._ice_connection = _ice_connection(role, ice_servers, route)
        gatherer = RTCIceGatherer(iceServers=[])
        gatherer._connection = self._ice_connection  # the seam for a subclass
        self._gatherer = gatherer
        self._ice = RTCIceTransport(gatherer)
        self._dtls = RTCDtlsTransport(self._ice, [RTCCertificate.generateCertificate()])
        self._dtls._set_role("server" if role is Role.SENDER else "client")
        self._path: DataPath | None = None
        if make_path is None:
            wanted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._ice_connection.relays_wanted = wanted
        else:
            self.agree(route, make_path)
        self._ice_connection.on_selection = self._on_selection
        self._no_more_candidates = asyncio.Event()
        self._has_candidates = False
        self._closing = False
        self._dtls.on("statechange", self._on_dtls_state)

    @property
    def path(self) -> DataPath:
        """What goes over the DTLS connection, once that is agreed on."""
        assert self._path is not None, "agreed"
        return self._path

    def agree(self, route: RoutePolicy, make_path: MakeDataPath) -> None:
        """Take what is known of the other side now.

        Args:
            route: Which candidate pairs both sides allow.
            make_path: As in the constructor.
        """
        self._route = route
        self._path = make_path(self._dtls, self._ice_connection)
        wanted = self._ice_connection.relays_wanted
        if wanted is not None and not wanted.done():
            wanted.set_result(route is not RoutePolicy.DIRECT_ONLY)

    async def gather(self) -> AsyncGenerator[Candidate]:
        """Yield each local candidate when it is found; end after at most about 5 s.

        Raises:
            NoRoute: There is none: no network, or no relay and only relays are allowed.
        """
        found: asyncio.Queue[aioice.Candidate | None] = asyncio.Queue()
        self._ice_connection.on_candidate = found.put_nowait
        gathering = asyncio.create_task(self._ice_connection.gather_candidates())
        gathering.add_done_callback(lambda _task: found.put_nowait(None))
        try:
            while (candidate := await found.get()) is not None:
                self._has_candidates = True
                logger.debug("= candidate %s", candidate)
                yield _to_candidate(candidate)
            await gathering
        finally:
            await cancel_all([gathering])
        note(Step.GATHERED)
        if not self._has_candidates:
            raise self.unreachable()

    def unreachable(self, *, told: str | None = None) -> NoRoute:
        """Return the error that says what was tried in vain.

        Args:
            told: What the other side has said of it, if it was the first to see it.
        """
        ours, theirs = self._ice_connection.kinds()
        return no_route(self._route, ours=ours, theirs=theirs, told=told)

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
            sctp_init=self._sctp_init,
        )

    async def add_remote_candidate(self, candidate: Candidate | None) -> None:
        """Add a candidate of the other side; None when no more will come."""
        if candidate is None:
            self._no_more_candidates.set()
        elif self._is_excluded(candidate):
            return
        remote = None if candidate is None else _from_candidate(candidate)
        try:
            await self._ice_connection.add_remote_candidate(remote)
        except (OSError, ValueError) as exc:
            # A hidden (.local) address whose look-up found UDP port 5353 taken, or a
            # candidate after end-of-candidates: the others remain.
            logger.info("! remote candidate dropped: %s", type(exc).__name__)

    def _is_excluded(self, candidate: Candidate) -> bool:
        """Return whether the route forbids a candidate of the other side.

        A hidden one (``.local``) is asked for by multicast, from an address of this machine, which
        whoever has named it could see in the same network.
        """
        if self._route is RoutePolicy.RELAY_ONLY:
            return candidate.is_hidden
        return self._route is RoutePolicy.DIRECT_ONLY and candidate.type == "relay"

    async def connect(self, remote: Description) -> Connected:
        """Connect to the side that ``remote`` describes; return how.

        Candidates of both sides may come meanwhile, and afterwards. The caller sets a deadline.

        Raises:
            NoRoute: No candidate pair works, or the other end is not who it should be.
            PeerProtocolError: What it said of its association makes no sense.
        """
        if self._role is Role.SENDER and remote.setup == "passive":
            self._dtls._set_role("client")  # RFC 8842 §5.3: the answerer chose
        await self._ice.start(
            RTCIceParameters(usernameFragment=remote.ice_ufrag, password=remote.ice_pwd)
        )
        if self._ice.state != "completed":
            raise self.unreachable()
        await first_of(self._secure(remote), self._ice_connection.repeat_flights())
        await self._wait_for_overtaken_candidates()
        return self.route()

    async def _secure(self, remote: Description) -> None:
        """DTLS with the fingerprint that came sealed, then the SCTP association."""
        fingerprints = [
            RTCDtlsFingerprint(algorithm=algorithm, value=value)
            for algorithm, value in remote.fingerprints
        ]
        with attempt(Step.DTLS, result_of):
            await _insist(self._dtls.start(RTCDtlsParameters(fingerprints=fingerprints)))
            if self._dtls.state != "connected":
                raise NoRoute(
                    "The machine at the other end could not prove who it is.", hint=_AGAIN
                )
        try:
            with attempt(Step.SCTP, result_of):
                await self.path.open(remote)
        except NoRoute:
            await asyncio.sleep(_WORD_TIMEOUT)  # the other side may just be saying why
            raise

    async def _wait_for_overtaken_candidates(self) -> None:
        """Wait for what may still be on its way through the rendezvous, but not for long.

        A check that arrives before its candidate makes that peer-reflexive until it is
        signalled (RFC 8445 §7.3.1.3): a relay would be reported as a direct way. Our own peers
        say in the check what it comes from.
        """
        pair = self._ice_connection.selected_pair()
        if pair is not None and pair.remote_type == "prflx" and not self._ice_connection.own_peer:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CANDIDATES_TIMEOUT):
                    await self._no_more_candidates.wait()

    def route(self) -> Connected:
        """Return how the bytes go.

        Raises:
            NoRoute: They do not.
        """
        pair = self._ice_connection.selected_pair()
        if pair is None:
            raise NoRoute("The connection broke while it was set up.", hint=_AGAIN)
        logger.debug("= selected %s -> %s", pair.local_address, pair.remote_address)
        return Connected(
            route="relay" if pair.is_relayed else "direct",
            local=pair.local_type,
            remote=pair.remote_type,
            protocol="udp",
            vpn=pair.is_vpn,
            rtt_ms=None if pair.rtt is None else round(pair.rtt * 1000, 1),
        )

    def selected_transport(self) -> tuple[asyncio.DatagramTransport, tuple[str, int]] | None:
        """Return what carries the data, and where to; None when it is not connected."""
        return self._ice_connection.selected_transport()

    async def close(self) -> None:
        """End the connection: SCTP ABORT, DTLS alert, sockets. Safe at any time, twice too.

        In bounded time, and to its end when it is cancelled: aiortc would leave a task behind.
        """
        await uninterrupted(self._close())

    async def _close(self) -> None:
        self._closing = True
        if self._path is not None:
            await self._path.close()
        await self._dtls.stop()
        await self._ice.stop()

    def _on_selection(self) -> None:
        self.path.path_changed()
        if not self._closing:
            self.on_route()

    def _on_dtls_state(self) -> None:
        if self._dtls.state in ("closed", "failed") and not self._closing:
            self._closing = True
            self.on_closed()


def _nothing() -> None:
    """Stand in until somebody wants to know."""


async def _insist(handshake: Coroutine[Any, Any, None]) -> None:
    """Await aiortc's handshake, and end it when this is cancelled.

    It waits by ``asyncio.wait_for``, which before Python 3.12 forgets that it was cancelled when
    what it waits for comes in the same moment.
    """
    task = asyncio.create_task(handshake)
    try:
        await asyncio.shield(task)
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_INSISTENCE)


def _ice_connection(role: Role, servers: Sequence[IceServer], route: RoutePolicy) -> IceConnection:
    """Return an ICE agent that uses what ``route`` allows of ``servers``."""
    policy = (
        aioice.TransportPolicy.RELAY
        if route is RoutePolicy.RELAY_ONLY
        else aioice.TransportPolicy.ALL
    )
    return IceConnection(
        ice_controlling=role is Role.SENDER,
        servers=servers_of(servers, route=route),
        transport_policy=policy,
    )


def _to_candidate(candidate: aioice.Candidate) -> Candidate:
    return Candidate(
        foundation=candidate.foundation,
        priority=candidate.priority,
        address=candidate.host,
        port=candidate.port,
        type=candidate.type,  # type: ignore[arg-type]  # aioice has a plain str here
        related_address=candidate.related_address,
        related_port=candidate.related_port,
    )


def _from_candidate(candidate: Candidate) -> aioice.Candidate:
    return aioice.Candidate(
        component=1,
        foundation=candidate.foundation,
        host=candidate.address,
        port=candidate.port,
        priority=candidate.priority,
        transport="udp",
        type=candidate.type,
        related_address=candidate.related_address,
        related_port=candidate.related_port,
    )
