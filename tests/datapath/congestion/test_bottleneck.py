"""The controllers at a bottleneck, in virtual time: how much they get, and what they leave.

Every run is seeded and takes no wall time into account. The thresholds are the project's
figures where it has them; the measured values are well inside, and docs/performance.md has
what real links give.
"""

import random
from dataclasses import dataclass, field

import pytest

from rtcsend.datapath.congestion.base import CongestionController
from rtcsend.datapath.congestion.bbr import MIN_PIPE_SEGMENTS, Bbr
from rtcsend.datapath.congestion.bbr_share import SEGMENT
from rtcsend.datapath.congestion.bbr_states import State
from rtcsend.datapath.congestion.cubic import Cubic
from tests.fakes.bottleneck import MSS, Flow, Link, Simulation, StarvedSimulation

pytestmark = pytest.mark.no_cover  # hours of virtual time, through lines that others have reached


@dataclass
class Scene:
    """A link, and the flows on it."""

    mbit: float
    rtt: float
    queue_bdp: float = 1.0
    loss: float = 0.0
    jitter: float = 0.0
    seed: int = 1
    queue: float | None = None  # bytes; instead of queue_bdp
    flows: list[Flow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rate = self.mbit * 1e6 / 8
        self.bdp = self.rate * self.rtt
        self.link = Link(
            rate=self.rate,
            delay=self.rtt,
            queue=self.queue_bdp * self.bdp if self.queue is None else self.queue,
            loss=self.loss,
            jitter=self.jitter,
            rng=random.Random(self.seed),
        )
        self.simulation = Simulation(self.link)

    def bbr(self, *, start: float = 0.0, supply: float = float("inf")) -> Flow:
        """Add a BBR flow."""
        seed = self.seed * 7 + len(self.flows)
        return self._add(Bbr(mss=MSS, now=start, seed=seed), start=start, supply=supply)

    def cubic(self, *, start: float = 0.0) -> Flow:
        """Add a CUBIC flow, with the segments of TCP."""
        return self._add(Cubic(mss=SEGMENT, now=start), start=start)

    def _add(
        self, controller: CongestionController, *, start: float, supply: float = float("inf")
    ) -> Flow:
        flow = Flow(self.simulation, controller, start=start, supply=supply, mss=controller.mss)
        self.flows.append(flow)
        return flow

    def run(self, seconds: float) -> "Scene":
        """Let time pass."""
        self.simulation.run(self.simulation.now + seconds)
        return self

    def utilisation(self, flow: Flow, *, start: float = 0.0, end: float | None = None) -> float:
        """Return a flow's part of the link."""
        end = self.simulation.now if end is None else end
        return flow.trace.delivered_between(start, end) / (self.rate * (end - start))

    def shares(self) -> list[float]:
        """Return each flow's part of what was delivered."""
        total = sum(flow.delivered for flow in self.flows)
        return [flow.delivered / total for flow in self.flows]


@pytest.mark.parametrize(("loss", "wanted"), [(0.0, 0.85), (0.001, 0.85), (0.01, 0.75)])
def test_bbr_fills_a_long_path_whatever_the_random_loss(loss: float, wanted: float) -> None:
    scene = Scene(100, 0.1, loss=loss)
    flow = scene.bbr()
    scene.run(20)
    assert scene.utilisation(flow) >= wanted
    assert flow.trace.rtos == 0
    assert flow.trace.min_cwnd >= MIN_PIPE_SEGMENTS * MSS


def test_bbr_fills_a_very_long_path_with_loss() -> None:
    scene = Scene(50, 0.3, loss=0.001)
    flow = scene.bbr()
    scene.run(20)
    assert scene.utilisation(flow, start=4) >= 0.85


def test_cubic_fills_a_path_without_loss() -> None:
    scene = Scene(100, 0.1)
    flow = scene.cubic()
    scene.run(20)
    assert scene.utilisation(flow) >= 0.85


@pytest.mark.parametrize("kind", ["bbr", "cubic"])
def test_start_up_takes_few_round_trips(kind: str) -> None:
    scene = Scene(100, 0.1)
    flow = scene.bbr() if kind == "bbr" else scene.cubic()
    scene.run(1.2)
    # Ten packets double to the path's thousand in seven round trips.
    assert scene.utilisation(flow, start=0.9, end=1.1) >= 0.8


def test_bbr_keeps_a_deep_queue_short() -> None:
    scene = Scene(20, 0.04, queue=1.5e6)
    flow = scene.bbr()
    scene.run(20)
    assert max(rtt for _, rtt in flow.trace.rtts) <= 3 * 0.04
    steady = sorted(rtt for now, rtt in flow.trace.rtts if now > 2)
    assert steady[len(steady) // 2] <= 1.5 * 0.04
    assert scene.utilisation(flow) >= 0.9


@pytest.mark.parametrize(
    ("mbit", "rtt", "late", "seed"),
    [(20, 0.04, 0.0, 1), (20, 0.04, 2.0, 2), (50, 0.02, 2.0, 3)],
)
def test_two_bbr_flows_share(mbit: float, rtt: float, late: float, seed: int) -> None:
    scene = Scene(mbit, rtt, seed=seed)
    scene.bbr()
    scene.bbr(start=late)
    scene.run(late + 60)
    parts = [flow.trace.delivered_between(late, late + 60) for flow in scene.flows]
    assert min(parts) >= 0.4 * sum(parts)
    assert sum(parts) >= 0.95 * scene.rate * 60


@pytest.mark.parametrize("first", ["bbr", "cubic"])
@pytest.mark.parametrize(
    ("mbit", "rtt", "late"), [(20, 0.04, 0.2), (20, 0.04, 2.0), (20, 0.1, 2.0), (50, 0.04, 2.0)]
)
def test_bbr_and_cubic_share_a_queue_of_one_bdp(
    mbit: float, rtt: float, late: float, first: str
) -> None:
    scene = Scene(mbit, rtt)
    scene.bbr(start=0.0 if first == "bbr" else late)
    scene.cubic(start=0.0 if first == "cubic" else late)
    scene.run(late + 60)
    parts = [flow.trace.delivered_between(late, late + 60) for flow in scene.flows]
    assert min(parts) >= 0.34 * sum(parts)
    assert sum(parts) >= 0.97 * scene.rate * 60


def test_what_cubic_leaves_is_found_soon() -> None:
    scene = Scene(20, 0.04)
    flow, other = scene.bbr(), scene.cubic(start=0.2)
    scene.run(20)
    other.supply = 0.0
    scene.run(12)
    assert scene.utilisation(flow, start=26, end=32) >= 0.9


def test_bbr_fills_a_shallow_queue_with_loss() -> None:
    scene = Scene(50, 0.05, queue_bdp=0.1, loss=0.001)
    flow = scene.bbr()
    scene.run(30)
    assert scene.utilisation(flow, start=2) >= 0.85


def test_two_cubic_flows_share() -> None:
    scene = Scene(20, 0.04)
    scene.cubic()
    scene.cubic(start=0.3)
    scene.run(60)
    assert min(scene.shares()) >= 0.35


@pytest.mark.parametrize("kind", ["bbr", "cubic"])
def test_a_rate_that_falls_to_a_tenth_is_survived(kind: str) -> None:
    scene = Scene(50, 0.05)
    flow = scene.bbr() if kind == "bbr" else scene.cubic()
    scene.run(6)
    scene.link.rate /= 10
    scene.link.queue /= 4
    scene.run(20)
    used = flow.trace.delivered_between(14, 26) / (12 * scene.link.rate)
    assert used >= 0.8
    after = [rtt for now, rtt in flow.trace.rtts if now > 16]
    assert max(after) <= 0.05 + 1.1 * scene.link.queue / scene.link.rate


def test_bbr_finds_a_rate_that_grew_tenfold() -> None:
    scene = Scene(5, 0.05, queue=500_000)
    flow = scene.bbr()
    scene.run(6)
    scene.link.rate *= 10
    scene.run(14)
    assert flow.trace.delivered_between(16, 20) >= 0.8 * 4 * scene.link.rate


@pytest.mark.parametrize("kind", ["bbr", "cubic"])
def test_two_seconds_of_round_trip(kind: str) -> None:
    scene = Scene(10, 2.0)
    flow = scene.bbr() if kind == "bbr" else scene.cubic()
    scene.run(90)
    assert flow.trace.rtos == 0
    assert scene.utilisation(flow, start=50) >= 0.75


@pytest.mark.parametrize("kind", ["bbr", "cubic"])
def test_a_tiny_link(kind: str) -> None:
    scene = Scene(0.1, 0.05, queue=10_000)
    flow = scene.bbr() if kind == "bbr" else scene.cubic()
    scene.run(60)
    assert scene.utilisation(flow) >= 0.9
    if kind == "bbr":
        assert flow.trace.min_cwnd >= MIN_PIPE_SEGMENTS * MSS


def test_the_floor_of_the_window_does_not_feed_on_itself() -> None:
    # Less than a packet fits the path: the floor's own queue is in every RTT sample.
    scene = Scene(0.1, 0.05, queue=100_000)
    flow = scene.bbr()
    scene.run(120)
    assert max(rtt for now, rtt in flow.trace.rtts if now > 10) <= 1.0


@pytest.mark.parametrize("kind", ["bbr", "cubic"])
def test_reordering_is_not_taken_for_loss(kind: str) -> None:
    scene = Scene(20, 0.1, jitter=0.01, queue_bdp=2.0)
    flow = scene.bbr() if kind == "bbr" else scene.cubic()
    scene.run(10)
    assert scene.utilisation(flow, start=2) >= 0.8


@pytest.mark.parametrize("kind", ["bbr", "cubic"])
def test_an_outage_backs_off_and_heals(kind: str) -> None:
    scene = Scene(20, 0.04)
    flow = scene.bbr() if kind == "bbr" else scene.cubic()
    scene.run(4)
    scene.link.down = True
    scene.run(5)
    assert 2 <= flow.trace.rtos <= 6  # doubled each time, not every 200 ms
    assert flow.flight <= MIN_PIPE_SEGMENTS * MSS
    scene.link.down = False
    scene.run(16)
    assert scene.utilisation(flow, start=17, end=25) >= 0.8


def test_an_application_that_limits_leaves_the_model_alone() -> None:
    scene = Scene(20, 0.04)
    flow = scene.bbr()
    scene.run(4)
    controller = flow.controller
    assert isinstance(controller, Bbr)
    before, cwnd = controller.model.max_bw, controller.cwnd
    flow.supply = 0.0
    for _ in range(100):  # 2 % of the link, with pauses, for ten seconds
        scene.run(0.1)
        flow.offer(5000, scene.simulation.now)
    assert controller.model.max_bw == pytest.approx(before, rel=0.02)
    assert controller.cwnd >= 0.5 * cwnd
    flow.offer(10**9, scene.simulation.now)
    start = scene.simulation.now
    scene.run(1)
    assert scene.utilisation(flow, start=start) >= 0.7  # no start-up again


@pytest.mark.parametrize("kind", ["bbr", "cubic"])
def test_an_application_that_limits_does_not_open_the_window(kind: str) -> None:
    scene = Scene(100, 0.04)
    flow = scene.bbr(supply=0.0) if kind == "bbr" else scene.cubic()
    flow.supply = 0.0
    for _ in range(200):
        scene.run(0.05)
        flow.offer(2 * MSS, scene.simulation.now)
    assert flow.controller.cwnd <= 40 * MSS


def test_bbr_goes_through_its_states() -> None:
    scene = Scene(10, 0.04)
    flow = scene.bbr()
    scene.bbr(start=0.5)  # keeps a queue, so that the round trip must be measured
    scene.run(13)
    assert {state for _, state in flow.trace.states} == set(State)


def test_the_same_seed_gives_the_same_run() -> None:
    totals = set()
    for _ in range(2):
        scene = Scene(10, 0.04, loss=0.01)
        scene.bbr()
        scene.cubic()
        scene.run(5)
        totals.add(tuple(flow.delivered for flow in scene.flows))
    assert len(totals) == 1


@pytest.mark.parametrize("mss", [MSS, 15_900])
@pytest.mark.parametrize(("every", "wanted"), [(0.03, 60e6), (0.1, 10e6)])
def test_bbr_on_a_machine_that_hardly_lets_it_run(every: float, wanted: float, mss: int) -> None:
    link = Link(rate=1e9, delay=0.0002, queue=8e6)
    simulation = StarvedSimulation(link, every=every, until=6, rng=random.Random(1))
    flow = Flow(simulation, Bbr(mss=mss, now=0.0, seed=1), mss=mss, packets_a_sack=64)
    simulation.run(6)
    assert flow.trace.delivered_between(2, 6) >= wanted * 4
