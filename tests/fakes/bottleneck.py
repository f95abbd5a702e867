"""A bottleneck link in virtual time, and model senders that share it.

``Link`` is one queue in front of one serialising line: a rate, a propagation delay, a
drop-tail queue bounded in bytes, random loss, jitter that reorders. ``Flow`` is a sender
reduced to what a congestion controller sees: bytes, send times, SACKs for every few packets,
delivery-rate samples as in draft-ietf-ccwg-bbr §4.1, time-based loss detection as in
RFC 8985, a retransmission timer, a pacer. ``Simulation`` runs them, seeded, without a clock.

Shortcuts, so that 100 Mbit/s run at many times real time in pure Python:

- a packet's fate is decided when it is sent; packets in the queue when the rate changes
  leave at the old rate;
- every transmission is a packet of its own (as in QUIC): what is lost is simply sent again,
  and acknowledgements are never ambiguous;
- acknowledgements are not lost; a SACK stands for the packets that arrived until then.
"""

import bisect
import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from rtcsend.datapath.congestion.base import AckSample, CongestionController
from rtcsend.datapath.congestion.pacer import Pacer
from rtcsend.datapath.congestion.rtt import MinRtt, RttEstimator

MSS = 1200  # bytes
DELAYED_SACK = 0.02  # seconds; when the packets that a SACK waits for do not come
TIMER_STEP = 1e-6  # seconds; what a timer is at least ahead

Event = Callable[[float], None]


@dataclass
class Link:
    """A bottleneck: what goes in comes out later, or not at all.

    Attributes:
        rate: Bytes per second.
        delay: Round-trip propagation delay in seconds, acknowledgement included.
        queue: Bytes that may wait.
        loss: Probability that a packet is lost beside the queue.
        jitter: Up to so many seconds more for each packet: reorders.
        rng: Decides loss and jitter.
    """

    rate: float
    delay: float
    queue: float
    loss: float = 0.0
    jitter: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    down: bool = False  # nothing gets through
    dropped: int = 0
    max_backlog: float = 0.0
    _free_at: float = 0.0

    def send(self, size: int, now: float) -> float:
        """Take in a packet; return when its acknowledgement may be back; infinite if lost."""
        free_at = max(self._free_at, now)
        backlog = (free_at - now) * self.rate
        if self.down or backlog > self.queue:
            self.dropped += 1
            return math.inf
        self.max_backlog = max(self.max_backlog, backlog)
        self._free_at = free_at + size / self.rate
        if self.loss and self.rng.random() < self.loss:
            return math.inf
        arrival = self._free_at + self.delay
        return arrival + self.rng.random() * self.jitter if self.jitter else arrival


@dataclass(slots=True)
class Batch:
    """What all packets sent at one time share: the draft's per-packet state."""

    sent_at: float
    delivered: int
    delivered_at: float
    first_sent_at: float
    app_limited: bool


@dataclass
class Trace:
    """What a flow went through, for the tests to judge."""

    rtts: list[tuple[float, float]] = field(default_factory=list)  # (now, rtt)
    progress: list[tuple[float, int]] = field(default_factory=list)  # (now, delivered)
    rounds: list[tuple[float, int]] = field(default_factory=list)  # (now, delivered)
    min_cwnd: float = math.inf
    max_cwnd: int = 0
    lost: int = 0
    rtos: int = 0
    states: list[tuple[float, object]] = field(default_factory=list)

    def delivered_between(self, start: float, end: float) -> int:
        """Return the bytes delivered in a stretch of time."""
        inside = [total for now, total in self.progress if start <= now <= end]
        return inside[-1] - inside[0] if inside else 0


class Flow:
    """A model sender with one congestion controller.

    ``supply`` is how many bytes the application has: infinite for a bulk flow, or add to it
    with ``offer``.
    """

    def __init__(
        self,
        simulation: "Simulation",
        controller: CongestionController,
        *,
        start: float = 0.0,
        supply: float = math.inf,
        packets_a_sack: int = 4,
        mss: int = MSS,
    ) -> None:
        self.controller = controller
        self.supply = supply
        self.trace = Trace()
        self.mss = mss
        self.pacer = Pacer(mss=mss, now=start, rate=controller.pacing_rate)
        self.rtt = RttEstimator()
        self.min_rtt = MinRtt()
        self.rtt.on_sample(simulation.link.delay)  # the handshake's
        self.flight = 0
        self.delivered = 0
        self._simulation = simulation
        self._link = simulation.link
        self._packets_a_sack = packets_a_sack
        # In transit: (when its SACK may be back, number, batch), a heap.
        self._transit: list[tuple[float, int, Batch]] = []
        # Sent, oldest first: (number, batch); those acknowledged stay until they are oldest.
        self._sent: deque[tuple[int, Batch]] = deque()
        self._acked: set[int] = set()
        self._lost: set[int] = set()
        self._next_number = 0
        self._newest = -1
        self._newest_rtt = 0.0
        self._newest_batch = Batch(start, 0, start, start, app_limited=False)
        self._delivered_at = start
        self._first_sent_at = start
        self._app_limited_until = 0
        self._round_ends = 0
        self._next_sack = math.inf
        self._next_pace = math.inf
        self._next_rack = math.inf
        self._next_rto = math.inf
        self._rto_at = math.inf
        self._sample = AckSample(
            now=0.0,
            acked=0,
            flight=0,
            prior_flight=0,
            rtt=None,
            min_rtt=math.inf,
            srtt=0.0,
            delivered=0,
            delivery_rate=0.0,
            app_limited=False,
            round_start=False,
            lost=0,
        )
        simulation.at(start, self.pump)

    def offer(self, size: int, now: float) -> None:
        """Give the application's bytes to the sender."""
        if self.flight == 0 and self.supply < self.mss and self.delivered:
            self.controller.on_idle(now=now)
        self.supply += size
        self.pump(now)

    # Sending.

    def pump(self, now: float) -> None:
        """Send what window, pacer and supply allow."""
        controller, pacer, mss = self.controller, self.pacer, self.mss
        pacer.set_rate(controller.pacing_rate, now=now)
        room = controller.cwnd - self.flight
        if room < mss or self.supply < mss:
            if self.supply < mss and room >= mss:
                self._app_limited_until = max(self.delivered + self.flight, 1)
            return
        count = int(min(room, pacer.budget(now), self.supply) // mss)
        if count <= 0:
            wake = pacer.next_send_time(now)
            if self._next_pace <= now or wake < self._next_pace:
                self._next_pace = wake
                self._simulation.at(wake, self._on_pace)
            return
        self._transmit(count, now)
        pacer.on_sent(count * mss, now)
        controller.on_sent(now=now, flight=self.flight)
        self.pump(now)

    def _transmit(self, count: int, now: float) -> None:
        if self.flight == 0:
            self._first_sent_at = self._delivered_at = now
            self._rto_at = now + self.rtt.rto
            self._arm_rto(now)
        size = count * self.mss
        self.flight += size
        self.supply -= size
        batch = Batch(
            now,
            self.delivered,
            self._delivered_at,
            self._first_sent_at,
            self._app_limited_until >= max(self.delivered, 1),
        )
        send, transit, sent, mss = self._link.send, self._transit, self._sent, self.mss
        for number in range(self._next_number, self._next_number + count):
            back_at = send(mss, now)
            sent.append((number, batch))
            if back_at < math.inf:
                heapq.heappush(transit, (back_at, number, batch))
        self._next_number += count
        self._arm_sack(now)

    def _on_pace(self, now: float) -> None:
        if now >= self._next_pace:
            self._next_pace = math.inf
            self.pump(now)

    # What comes back.

    def _arm_sack(self, now: float) -> None:
        transit = self._transit
        if not transit:
            return
        wanted = self._packets_a_sack
        first = transit[0][0]
        # heap[n] is not the n-th smallest, but near enough to be a SACK's size.
        due = transit[wanted - 1][0] if len(transit) >= wanted else math.inf
        due = max(min(due, first + DELAYED_SACK), now)
        if due < self._next_sack:
            self._next_sack = due
            self._simulation.at(due, self._on_sack)

    def _on_sack(self, now: float) -> None:
        if now < self._next_sack:
            return  # an earlier SACK took this one's place
        self._next_sack = math.inf
        transit, acked_numbers, lost = self._transit, self._acked, self._lost
        prior_flight, acked = self.flight, 0
        newest_now, newest_batch = -1, self._newest_batch
        while transit and transit[0][0] <= now:
            _, number, batch = heapq.heappop(transit)
            if number in lost:
                lost.discard(number)  # spurious: the bytes were already sent again
                continue
            acked_numbers.add(number)
            acked += self.mss
            if number > newest_now:
                newest_now, newest_batch = number, batch
        if acked:
            self.flight -= acked
            self.delivered += acked
            self._delivered_at = now
            if newest_now > self._newest:
                self._newest, self._newest_rtt = newest_now, now - newest_batch.sent_at
            self._report(now, newest_batch, acked=acked, prior_flight=prior_flight)
        self._arm_sack(now)
        self.pump(now)

    def _report(self, now: float, batch: Batch, *, acked: int, prior_flight: int) -> None:
        rtt = now - batch.sent_at
        self.rtt.on_sample(rtt)
        self.min_rtt.on_sample(rtt, now=now)
        lost = self._detect_loss(now)
        sample = self._sample
        sample.now, sample.acked, sample.lost = now, acked, lost
        sample.flight, sample.prior_flight = self.flight, prior_flight
        sample.rtt, sample.min_rtt, sample.srtt = rtt, self.min_rtt.value, self.rtt.srtt
        sample.delivered = self.delivered
        sample.app_limited = batch.app_limited
        interval = max(batch.sent_at - batch.first_sent_at, now - batch.delivered_at)
        known = interval >= self.min_rtt.value - 1e-9
        sample.delivery_rate = (self.delivered - batch.delivered) / interval if known else 0.0
        self._first_sent_at = batch.sent_at
        sample.round_start = batch.delivered >= self._round_ends
        if sample.round_start:
            self._round_ends = self.delivered
            self.trace.rounds.append((now, self.delivered))
        self.controller.on_ack(sample)
        self._rto_at = now + self.rtt.rto if self.flight else math.inf
        self._arm_rto(now)
        self._note(now, rtt)

    def _note(self, now: float, rtt: float) -> None:
        trace, cwnd = self.trace, self.controller.cwnd
        trace.rtts.append((now, rtt))
        trace.progress.append((now, self.delivered))
        trace.min_cwnd = min(trace.min_cwnd, cwnd)
        trace.max_cwnd = max(trace.max_cwnd, cwnd)
        state = getattr(self.controller, "state", None)
        if not trace.states or trace.states[-1][1] is not state:
            trace.states.append((now, state))

    # Loss.

    def _detect_loss(self, now: float) -> int:
        """Declare lost what should have been acknowledged by now (RFC 8985 §6.2)."""
        sent, acked = self._sent, self._acked
        wait = max(self.rtt.srtt, self._newest_rtt) + self.min_rtt.value / 4
        lost, lost_sent_at = 0, 0.0
        while sent:
            number, batch = sent[0]
            if number in acked:
                acked.discard(number)
            elif number < self._newest and batch.sent_at + wait <= now:
                self._lost.add(number)
                lost += self.mss
                lost_sent_at = batch.sent_at
            else:
                break
            sent.popleft()
        if sent and sent[0][0] < self._newest and sent[0][0] not in acked:
            self._arm_rack(max(sent[0][1].sent_at + wait, now + TIMER_STEP))
        if lost:
            self._give_up(lost, now=now, sent_at=lost_sent_at)
        return lost

    def _give_up(self, lost: int, *, now: float, sent_at: float) -> None:
        self.flight -= lost
        self.supply += lost
        self.trace.lost += lost
        self.controller.on_loss(now=now, lost=lost, flight=self.flight, sent_at=sent_at)

    def _arm_rack(self, when: float) -> None:
        if when < self._next_rack:
            self._next_rack = when
            self._simulation.at(when, self._on_rack)

    def _on_rack(self, now: float) -> None:
        if now < self._next_rack:
            return
        self._next_rack = math.inf
        # A gap is answered by a SACK at once (RFC 9260 §6.7): take in what has arrived.
        self._next_sack = now
        self._on_sack(now)
        self._detect_loss(now)
        self.pump(now)

    def _arm_rto(self, now: float) -> None:
        if self._rto_at < self._next_rto:
            self._next_rto = max(self._rto_at, now)
            self._simulation.at(self._next_rto, self._on_rto)

    def _on_rto(self, now: float) -> None:
        if now < self._next_rto:
            return
        self._next_rto = math.inf
        if now < self._rto_at or not self.flight:  # moved on since it was armed
            self._arm_rto(now)
            return
        self.trace.rtos += 1
        self.rtt.back_off()
        self._lost.update(n for n, _ in self._sent if n not in self._acked)
        self._acked.clear()
        self._sent.clear()
        self.supply += self.flight
        self.trace.lost += self.flight
        self.flight = 0
        self.controller.on_rto(now=now)
        self.trace.min_cwnd = min(self.trace.min_cwnd, self.controller.cwnd)
        self._rto_at = math.inf
        self.pump(now)


class Simulation:
    """Virtual time: one link, any number of flows."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.now = 0.0
        self._events: list[tuple[float, int, Event]] = []
        self._count = 0

    def at(self, when: float, event: Event) -> None:
        """Have ``event`` called with the time when it comes."""
        self._count += 1
        heapq.heappush(self._events, (when, self._count, event))

    def run(self, until: float) -> None:
        """Let time pass."""
        events = self._events
        while events and events[0][0] <= until:
            self.now, _, event = heapq.heappop(events)
            event(self.now)
        self.now = until


class StarvedSimulation(Simulation):
    """The same on a machine that lets the process run now and then only.

    Both ends are that process: whatever is due waits until it runs, for ``SLICE`` at a time.
    """

    SLICE = 0.001  # seconds

    def __init__(self, link: Link, *, every: float, until: float, rng: random.Random) -> None:
        """Let it run every so many seconds in the mean, between 0.2 and 1.8 of that."""
        super().__init__(link)
        self._turns = [0.0]
        while self._turns[-1] < until:
            self._turns.append(self._turns[-1] + every * rng.uniform(0.2, 1.8))

    def at(self, when: float, event: Event) -> None:
        """Have ``event`` called when it is due and the process runs."""
        turn = bisect.bisect_right(self._turns, when)
        if turn < len(self._turns) and when > self._turns[turn - 1] + self.SLICE:
            when = self._turns[turn]
        super().at(when, event)
