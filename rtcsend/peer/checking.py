"""The checks of the ICE agent, and the choice that follows from them.

A shell around :mod:`~rtcsend.peer.checklist`. aioice parses, authenticates and answers checks,
resolves hidden (.local) addresses and keeps candidates; which pair is checked when, and which one
carries the data, is decided here. aioice would take the first pair for good.

The private names of aioice that are touched are held by tests/peer/test_private_names.py.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aioice
from aioice import Candidate, stun
from aioice.ice import CandidatePair, StunProtocol

from rtcsend.peer.checklist import PACE, CheckList
from rtcsend.peer.priorities import Grade, as_peer_reflexive, grade, is_vpn, pair_priority
from rtcsend.peer.transaction import CONSENT_WAITS, Answer, Transaction, check_waits
from rtcsend.peer.turn_client import result_of
from rtcsend.tasks import cancel_all
from rtcsend.trace import Fact, Step, Where, attempt, note

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_REMOTE: Final = 128  # candidates of the other side, those that its checks come from too
ROLE_CONFLICT: Final = 487  # RFC 8445 §7.3.1.1
COMPONENT: Final = 1  # DataChannels have no other

logger = logging.getLogger("rtcsend.peer")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedPair:
    """The candidate pair that carries the data."""

    local_type: str
    remote_type: str
    local_address: tuple[str, int]
    remote_address: tuple[str, int]
    is_relayed: bool
    is_vpn: bool
    """One of its ends sends by a VPN's interface, as far as is known."""
    rtt: float | None
    """Seconds of a check's round trip; None: not known."""


class CheckingConnection(aioice.Connection):
    """An ICE agent with one component that chooses, and may choose again.

    Args:
        ice_controlling: This side decides which pair is used.
        options: As aioice has them.
    """

    def __init__(self, ice_controlling: bool, **options: Any) -> None:
        super().__init__(ice_controlling, **options)
        self.own_peer = False
        """The other side runs this very code: the pair may change, and there may be lanes."""
        self.on_selection: Callable[[], None] | None = None
        """Called after another pair was selected than before."""
        self._checks: CheckList[CandidatePair] = CheckList(is_controlling=ice_controlling)
        self._running: dict[CandidatePair, Transaction] = {}
        self._news = asyncio.Event()
        self._is_gathered = False
        self._decided: asyncio.Future[bool] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._nomination: asyncio.Task[None] | None = None

    def selected_pair(self) -> SelectedPair | None:
        """Return the pair that carries the data, None before there is one."""
        pair: CandidatePair | None = self._nominated.get(COMPONENT)
        if pair is None:
            return None
        return SelectedPair(
            local_type=pair.local_candidate.type,
            remote_type=pair.remote_candidate.type,
            local_address=pair.local_addr,
            remote_address=pair.remote_addr,
            is_relayed=self._grade(pair).is_relayed,
            is_vpn=self._is_vpn(pair),
            rtt=self._checks.rtt_of(pair),
        )

    async def connect(self) -> None:
        """Check pairs until one is selected; go on with better ones beside everything else.

        Raises:
            ConnectionError: No pair works, and none will.
        """
        if self.remote_username is None or self.remote_password is None:
            raise ConnectionError("Remote username or password is missing")
        self._decided = asyncio.get_running_loop().create_future()
        self._checks.may_move = self.own_peer
        self.sort_check_list()
        self._early_checks_done = True
        for early_check in self._early_checks:
            self.check_incoming(*early_check)
        self._early_checks.clear()
        driver = asyncio.create_task(self._drive())
        driver.add_done_callback(lambda _driver: self._decide(works=False))
        self._tasks.append(driver)
        if not await self._decided:
            raise ConnectionError("ICE negotiation failed")

    async def _drive(self) -> None:
        """Start checks at their pace, for as long as the connection lives."""
        loop = asyncio.get_running_loop()
        assert self._decided is not None, "connect() has made it"
        while not self._closing:
            self._news.clear()
            now = loop.time()
            if (pair := self._checks.next_check(now=now)) is not None:
                self._start(pair)
            self._follow()
            complete = self._is_gathered and not self._remote_candidates_expected()
            if self._checks.is_hopeless(now=now, is_complete=complete):
                self._decide(works=False)
            at = self._checks.get_timer(now=loop.time())
            with suppress(TimeoutError):
                async with asyncio.timeout_at(at):
                    await self._news.wait()

    def sort_check_list(self) -> None:
        """Take pairs that aioice has made, and what it has learned of them, into our own list."""
        for pair in self._check_list:
            local, remote = pair.local_candidate.priority, pair.remote_candidate.priority
            self._checks.put(
                pair,
                grade=self._grade(pair),
                priority=pair_priority(local, remote, is_controlling=self.ice_controlling),
            )
        self.wake()

    def wake(self) -> None:
        """Look at the check list again, since something has changed."""
        self._news.set()

    def add_pair(self, protocol: StunProtocol, remote: Candidate) -> CandidatePair:
        """Return a pair, which is to be checked if it is new."""
        pair = self._find_pair(protocol, remote)
        if pair is None:
            pair = CandidatePair(protocol, remote)
            self._check_list.append(pair)
            self.sort_check_list()
        return pair

    def _grade(self, pair: CandidatePair) -> Grade:
        local, remote = pair.local_candidate, pair.remote_candidate
        return min(
            grade(local.type, local.priority, is_own=True),
            grade(remote.type, remote.priority, is_own=self.own_peer),
        )

    def _is_vpn(self, pair: CandidatePair) -> bool:
        ends = [pair.local_candidate, *([pair.remote_candidate] if self.own_peer else [])]
        return any(is_vpn(end.type, end.priority) for end in ends)

    def _start(self, pair: CandidatePair) -> None:
        pair.task = asyncio.create_task(self._check(pair))  # close() cancels it

    async def _check(self, pair: CandidatePair) -> None:
        """Check a pair once, and say what came of it."""
        loop = asyncio.get_running_loop()
        was_controlling = self.ice_controlling
        try:
            with attempt(Step.CHECK, result_of, **_facts(pair)):
                answer = await self._ask(pair)
        except stun.TransactionError as exc:
            self._checks.on_silence(pair, now=loop.time())
            if exc.response is not None and exc.response.error_code == ROLE_CONFLICT:
                # The role is that of the request; an incoming check may have changed it since.
                self.switch_role(ice_controlling=not was_controlling)
                self._checks.trigger(pair)
        except asyncio.CancelledError:
            self._checks.on_silence(pair, now=loop.time())
            raise
        else:
            if answer.address == pair.remote_addr:  # RFC 8445 §7.2.5.2.1
                self._checks.on_answer(pair, rtt=answer.rtt, now=loop.time())
            else:
                self._checks.on_silence(pair, now=loop.time())
        finally:
            pair.task = None
            self.wake()

    async def _ask(
        self,
        pair: CandidatePair,
        *,
        nominate: bool = False,
        waits: tuple[float, ...] | None = None,
    ) -> Answer:
        """Send a binding request on a pair.

        Args:
            pair: Which.
            nominate: Say that it is the one.
            waits: Seconds after each sending; None: those of a check.

        Raises:
            aioice.stun.TransactionError: It was not answered.
        """
        assert self.remote_password is not None, "connect() has seen it"
        transaction = Transaction(
            pair.protocol,
            self.build_request(pair, nominate),
            pair.remote_addr,
            key=self.remote_password.encode(),
            waits=waits or check_waits(self._checks.pending(), pace=PACE),
        )
        if not nominate:
            self._running[pair] = transaction
        try:
            return await transaction.run()
        finally:
            if self._running.get(pair) is transaction:
                del self._running[pair]

    def build_request(self, pair: CandidatePair, nominate: bool) -> stun.Message:
        """Return a binding request; its priority tells what kind of network it comes from."""
        request = super().build_request(pair, nominate)
        request.attributes["PRIORITY"] = as_peer_reflexive(pair.local_candidate.priority)
        return request

    def switch_role(self, ice_controlling: bool) -> None:
        """Be the other agent, after a conflict. Source: RFC 8445 §7.3.1.1."""
        self._checks.is_controlling = ice_controlling
        super().switch_role(ice_controlling)

    def check_incoming(
        self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol
    ) -> None:
        """Handle a check that was authenticated and answered."""
        remote = self._maybe_learn(message, addr)
        if remote is None or not protocol.local_candidate.can_pair_with(remote):
            return
        pair = self.add_pair(protocol, remote)
        if self._checks.trigger(pair) and pair in self._running:
            self._running[pair].nudge()
        if "USE-CANDIDATE" in message.attributes:
            self._checks.on_nomination(pair, now=asyncio.get_running_loop().time())
            self._follow()
        self.wake()

    def _maybe_learn(self, message: stun.Message, addr: tuple[str, int]) -> Candidate | None:
        """Return the candidate at an address, a peer-reflexive one if nobody named it.

        None where there are too many.

        Source: RFC 8445 §7.3.1.3.
        """
        learned = Candidate(
            foundation=f"prflx{len(self._remote_candidates)}",
            component=COMPONENT,
            transport="udp",
            priority=message.attributes.get("PRIORITY", 0),
            host=addr[0],
            port=addr[1],
            type="prflx",
        )
        known = self._find_remote_candidate(learned)
        if known is not None or len(self._remote_candidates) >= MAX_REMOTE:
            return known
        self._remote_candidates.append(learned)
        return learned

    # Selection

    def _follow(self) -> None:
        """Send where the check list says, and tell the other side if that is ours to do."""
        pair = self._checks.selected
        if pair is None or pair is self._nominated.get(COMPONENT) or self._closing:
            return
        is_first = not self._nominated
        self._nominated[COMPONENT] = pair
        note(Step.NOMINATED, **_facts(pair))
        if self.ice_controlling:
            if self._nomination is not None:
                self._nomination.cancel()
            self._nomination = asyncio.create_task(self._nominate(pair))
            self._tasks.append(self._nomination)
        for other in self._check_list:
            if other.task is not None and not self._checks.is_wanted(other):
                other.task.cancel()
        self._decide(works=True)
        if not is_first:
            logger.info("= another pair: %s", self._grade(pair).name)
        self.pair_selected(is_first=is_first)

    def pair_selected(self, *, is_first: bool) -> None:
        """Do what follows from a selection; a subclass does more."""
        if self.on_selection is not None and not is_first:
            self.on_selection()

    def _decide(self, *, works: bool) -> None:
        if self._decided is not None and not self._decided.done():
            self._decided.set_result(works)

    async def _nominate(self, pair: CandidatePair) -> None:
        with suppress(stun.TransactionError):  # each consent check says it again
            await self._ask(pair, nominate=True)

    async def measure_rtt(self) -> float | None:
        """Return the round-trip time of one check in seconds, None if it failed."""
        pair = self._nominated.get(COMPONENT)
        if pair is None or self.remote_password is None:
            return None
        nominate = self.ice_controlling and self.own_peer
        try:
            answer = await self._ask(pair, nominate=nominate, waits=CONSENT_WAITS)
        except stun.TransactionError:
            return None
        return answer.rtt

    async def check(self, pair: CandidatePair) -> bool:
        """Send a binding request on a pair of a lane; return whether it was answered."""
        if self.remote_password is None:
            return False
        try:
            await self._ask(pair, waits=CONSENT_WAITS)
        except stun.TransactionError:
            return False
        return True

    async def close(self) -> None:
        """End all checks, and the connection."""
        self._closing = True
        self._decide(works=False)
        tasks, self._tasks = self._tasks, []
        await cancel_all([task for task in tasks if task is not asyncio.current_task()])
        await super().close()


def _facts(pair: CandidatePair) -> dict[str, Fact]:
    """Return what the trace tells of a pair."""
    return {
        "local": pair.local_candidate.type,
        "remote": pair.remote_candidate.type,
        "local_address": Where(*pair.local_addr),
        "remote_address": Where(*pair.remote_addr),
    }
