"""BBR: its states on a path without noise, and what each event does to the two numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath.congestion.base import MAX_CWND
from rtcsend.datapath.congestion.bbr import LOSS_THRESH, MIN_PIPE_SEGMENTS, Bbr
from rtcsend.datapath.congestion.bbr_states import GAINS, State
from tests.datapath.congestion.samples import MSS, ack

RTT = 0.1  # seconds
RATE = 1e6  # bytes per second
BDP = RATE * RTT  # bytes


class Path:
    """A path of RATE and RTT that answers ten times a round, whatever is sent."""

    def __init__(self, controller: Bbr) -> None:
        self.controller = controller
        self.now = 0.0
        self.delivered = 0
        self.rate = RATE
        self.rtt = RTT
        self.flight = int(BDP)

    def step(self, *, app_limited: bool = False, rtt: float | None = None) -> None:
        """Let a tenth of a round pass."""
        self.controller.on_sent(now=self.now, flight=self.flight)
        self.now += self.rtt / 10
        acked = int(self.rate * self.rtt / 10)
        self.delivered += acked
        self.controller.on_ack(
            ack(
                now=self.now,
                acked=acked,
                flight=min(self.flight, self.controller.cwnd),
                rtt=rtt or self.rtt,
                delivered=self.delivered,
                delivery_rate=self.rate,
                app_limited=app_limited,
            )
        )

    def run(self, seconds: float, **options: bool) -> list[State]:
        """Let time pass; return the states in their order."""
        end, states = self.now + seconds, [self.controller.state]
        while self.now < end:
            self.step(**options)
            if self.controller.state is not states[-1]:
                states.append(self.controller.state)
        return states

    def run_to(self, state: State) -> None:
        """Let time pass until BBR is in a state."""
        for _ in range(5000):
            if self.controller.state is state:
                return
            self.step()
        raise AssertionError(f"never came to {state}")


@pytest.fixture
def bbr() -> Bbr:
    return Bbr(mss=MSS, now=0.0, seed=1)


@pytest.fixture
def path(bbr: Bbr) -> Path:
    return Path(bbr)


def test_the_first_window_is_paced_by_a_guess_then_by_the_round_trip(bbr: Bbr, path: Path) -> None:
    assert bbr.pacing_rate == pytest.approx(2.77 * 10 * MSS / 0.001)
    path.rate = 1.0  # nothing learned yet
    path.step()
    assert bbr.pacing_rate == pytest.approx(2.77 * 10 * MSS / RTT)


def test_startup_ends_when_the_rate_stops_growing(bbr: Bbr, path: Path) -> None:
    path.flight = int(2 * BDP)
    states = path.run(4.5 * RTT)
    assert states == [State.STARTUP, State.DRAIN]
    assert bbr.model.max_bw == RATE
    assert bbr.pacing_rate == pytest.approx(0.5 * RATE * 0.99)


def test_drain_ends_when_the_queue_is_empty_or_after_three_rounds(bbr: Bbr, path: Path) -> None:
    path.flight = int(2 * BDP)
    path.run_to(State.DRAIN)
    path.flight = int(BDP)
    path.step()
    assert bbr.state in (State.PROBE_BW_DOWN, State.PROBE_BW_CRUISE)
    other = Path(Bbr(mss=MSS, now=0.0, seed=1))
    other.flight = int(2 * BDP)
    other.run_to(State.DRAIN)
    start = other.now
    other.run_to(State.PROBE_BW_DOWN)
    assert other.now - start == pytest.approx(4 * RTT, abs=RTT / 5)


def test_the_cycle_is_down_cruise_refill_up(path: Path) -> None:
    path.run_to(State.PROBE_BW_REFILL)
    states = path.run(3.5)
    assert states[:4] == [
        State.PROBE_BW_REFILL,
        State.PROBE_BW_UP,
        State.PROBE_BW_DOWN,
        State.PROBE_BW_CRUISE,
    ]


def test_the_two_numbers_follow_the_gains(bbr: Bbr, path: Path) -> None:
    for state in (State.PROBE_BW_CRUISE, State.PROBE_BW_REFILL, State.PROBE_BW_UP):
        path.run_to(state)
        for _ in range(4):
            path.step()
        pacing, cwnd = GAINS[state]
        assert bbr.state is state
        assert bbr.pacing_rate == pytest.approx(pacing * RATE * 0.99)
        extra = bbr.aggregation.extra_acked
        assert bbr.cwnd == pytest.approx(cwnd * BDP + extra, abs=3 * MSS)


def test_probes_come_every_two_to_three_seconds_and_differ_between_flows(path: Path) -> None:
    waits = set()
    for seed in range(20):
        flow = Path(Bbr(mss=MSS, now=0.0, seed=seed))
        flow.run_to(State.PROBE_BW_CRUISE)
        start = flow.now
        flow.run_to(State.PROBE_BW_REFILL)
        waits.add(round(flow.now - start, 2))
    assert min(waits) > 1.9
    assert max(waits) < 3.1
    assert len(waits) > 10


def test_probe_rtt_halves_the_flight_every_five_seconds(bbr: Bbr, path: Path) -> None:
    path.run_to(State.PROBE_RTT)
    assert path.now == pytest.approx(5, abs=0.3)
    assert bbr.cwnd == pytest.approx(BDP / 2, abs=MSS)
    path.flight = int(BDP / 2)
    start = path.now
    path.run_to(State.PROBE_BW_CRUISE)
    assert 0.2 <= path.now - start <= 0.2 + 2 * RTT
    path.flight = int(BDP)
    path.step()
    assert bbr.cwnd > BDP


def test_probe_rtt_in_startup_goes_back_to_startup(bbr: Bbr, path: Path) -> None:
    states = path.run(5.05, app_limited=True)
    assert states == [State.STARTUP, State.PROBE_RTT]
    path.flight = MSS
    path.run(0.5, app_limited=True)
    assert bbr.state is State.STARTUP


def test_an_idle_flow_is_not_probed(bbr: Bbr, path: Path) -> None:
    path.run_to(State.PROBE_BW_CRUISE)
    path.now += 60
    bbr.on_idle(now=path.now)
    assert bbr.pacing_rate == pytest.approx(RATE * 0.99)
    path.step()
    assert bbr.state is not State.PROBE_RTT
    assert bbr.model.max_bw == RATE


def test_idle_ends_a_probe_rtt_that_is_done(bbr: Bbr, path: Path) -> None:
    path.run_to(State.PROBE_RTT)
    path.flight = 4 * MSS
    path.step()
    bbr.on_idle(now=path.now + 10)
    assert bbr.state is State.PROBE_BW_CRUISE


def test_an_application_that_limits_changes_neither_model_nor_state(bbr: Bbr, path: Path) -> None:
    path.run_to(State.PROBE_BW_CRUISE)
    path.rate = RATE / 100
    path.flight = 2 * MSS
    path.run(30, app_limited=True)
    assert bbr.model.max_bw == RATE
    assert bbr.cwnd >= BDP
    path.step()  # and the first that says something is no reason to forget
    assert bbr.model.max_bw == RATE


def test_a_timeout_in_probe_rtt_is_not_undone_by_its_end(bbr: Bbr, path: Path) -> None:
    path.run_to(State.PROBE_RTT)
    path.flight = 4 * MSS
    path.step()
    bbr.on_rto(now=path.now)
    bbr.on_idle(now=path.now + 10)
    assert bbr.state is State.PROBE_BW_CRUISE
    assert bbr.cwnd == MIN_PIPE_SEGMENTS * MSS


def test_a_path_that_holds_more_than_we_may_keep(bbr: Bbr, path: Path) -> None:
    path.rate, path.rtt = 1e9, 2.0
    path.flight = 2 * 10**9
    path.run(20)
    assert bbr.cwnd == MAX_CWND


def lose(bbr: Bbr, path: Path, share: float) -> None:
    """Lose a share of the flight, of packets sent a round trip ago."""
    bbr.on_loss(
        now=path.now,
        lost=int(share * path.flight),
        flight=path.flight,
        sent_at=path.now - path.rtt,
    )


def test_little_loss_without_a_queue_costs_nothing(bbr: Bbr, path: Path) -> None:
    path.run_to(State.PROBE_BW_CRUISE)
    for _ in range(15):
        lose(bbr, path, 0.001)
        path.step()
    assert bbr.model.bw == RATE
    assert math.isinf(bbr.model.inflight_longterm)
    assert math.isinf(bbr.model.inflight_shortterm)


def test_loss_with_a_queue_is_bounded_by_what_gets_through(bbr: Bbr, path: Path) -> None:
    path.run_to(State.PROBE_BW_CRUISE)
    path.rate = RATE / 4
    path.rtt = 2 * RTT
    for _ in range(25):
        lose(bbr, path, 0.001)
        path.step()
    assert bbr.model.bw < 0.8 * RATE
    assert bbr.model.inflight_shortterm < 2 * BDP


def test_much_loss_in_a_probe_bounds_the_flight_and_ends_it(bbr: Bbr, path: Path) -> None:
    path.run_to(State.PROBE_BW_UP)
    path.flight = int(1.5 * BDP)
    assert path.run(RTT * 1.5) == [State.PROBE_BW_UP]
    lose(bbr, path, 4 * LOSS_THRESH)
    assert bbr.state is State.PROBE_BW_DOWN
    # The bound is where the loss passed the threshold; none of it came with a queue.
    assert bbr.model.inflight_longterm == pytest.approx(1.5 * BDP, rel=0.05)
    lose(bbr, path, 0.5)
    assert bbr.model.inflight_longterm == pytest.approx(1.5 * BDP, rel=0.05)  # once a probe


def test_a_few_packets_of_a_small_flight_do_not_end_a_probe(bbr: Bbr, path: Path) -> None:
    path.run_to(State.PROBE_BW_UP)
    path.run(RTT * 1.5)
    lose(bbr, path, 0.05)  # five packets
    assert bbr.state is State.PROBE_BW_UP
    lose(bbr, path, 0.05)
    assert math.isfinite(bbr.model.inflight_longterm)


def overflow(path: Path) -> None:
    """Fill a queue in a probe, until it overflows."""
    path.run_to(State.PROBE_BW_UP)
    path.flight = int(2 * BDP)
    path.run(RTT * 1.5)
    path.rtt = 2 * RTT
    path.run(4 * RTT)
    lose(path.controller, path, 4 * LOSS_THRESH)


def test_loss_of_a_queue_gives_way_and_grows_as_cubic_would(bbr: Bbr, path: Path) -> None:
    overflow(path)
    assert bbr.state is State.PROBE_BW_DOWN
    assert bbr.model.inflight_longterm == pytest.approx(0.7 * 2 * BDP, rel=0.1)
    path.run(6)
    assert bbr.model.inflight_longterm == pytest.approx(0.85 * 2 * BDP, rel=0.1)
    path.run(9)
    assert bbr.model.inflight_longterm > 2.2 * BDP


def test_a_queue_that_overflows_while_cruising_makes_room_too(bbr: Bbr, path: Path) -> None:
    path.run_to(State.PROBE_BW_CRUISE)
    path.rtt = 2 * RTT
    path.flight = int(2 * BDP)
    path.rate = 0.6 * RATE
    path.run(4 * RTT)
    assert math.isinf(bbr.model.inflight_longterm)
    lose(bbr, path, 0.001)
    path.run(4 * RTT)
    assert bbr.model.inflight_longterm < 1.5 * BDP
    assert bbr.cwnd <= bbr.model.inflight_longterm


def test_an_empty_queue_lifts_what_an_overflow_bounded(bbr: Bbr, path: Path) -> None:
    overflow(path)
    path.rtt, path.flight = RTT, int(BDP)
    path.run(2)
    bound = bbr.model.inflight_longterm
    path.flight = int(2.2 * BDP)
    path.run_to(State.PROBE_BW_UP)
    path.run(12 * RTT)
    # The draft's doubling slope, not a curve of seconds.
    assert bbr.model.inflight_longterm > 1.1 * bound


def test_after_too_much_loss_the_next_probe_is_short_and_then_whole(bbr: Bbr, path: Path) -> None:
    path.run_to(State.PROBE_BW_UP)
    path.flight = int(1.5 * BDP)
    path.run(RTT * 1.5)
    lose(bbr, path, 4 * LOSS_THRESH)
    path.flight = int(BDP)
    path.run_to(State.PROBE_BW_UP)
    path.flight = int(1.6 * BDP)  # at the bound of the last probe: enough for now
    assert path.run(0.2 * RTT) == [State.PROBE_BW_UP, State.PROBE_BW_DOWN]
    path.flight = int(BDP)
    # No loss in the round that follows, so there is no cruise before the next probe.
    states = path.run(4 * RTT)
    assert states[-2:] == [State.PROBE_BW_REFILL, State.PROBE_BW_UP]


def test_startup_ends_on_loss_of_a_whole_round(bbr: Bbr, path: Path) -> None:
    path.step()
    for _ in range(20):
        bbr.on_loss(now=path.now, lost=MSS, flight=path.flight, sent_at=path.now - RTT)
        path.rate *= 1.2  # the rate still grows
        path.step()
        if bbr.state is not State.STARTUP:
            break
    assert bbr.full_pipe.reached
    assert math.isfinite(bbr.model.inflight_longterm)


def test_a_timeout_leaves_four_packets_and_acks_open_the_window(bbr: Bbr, path: Path) -> None:
    path.run_to(State.PROBE_BW_CRUISE)
    before = bbr.cwnd
    bbr.on_rto(now=path.now)
    assert bbr.cwnd == MIN_PIPE_SEGMENTS * MSS
    path.run(3 * RTT)
    assert bbr.cwnd >= 0.9 * before


def test_a_sack_of_retransmissions_only_is_no_round(bbr: Bbr, path: Path) -> None:
    path.run_to(State.PROBE_BW_CRUISE)
    rounds = bbr.round_count
    for _ in range(50):
        bbr.on_ack(ack(now=path.now, acked=MSS, rtt=None, delivered=path.delivered))
    assert bbr.round_count == rounds


def test_a_new_packet_size_raises_the_floor(bbr: Bbr) -> None:
    bbr.set_mss(9000)
    assert bbr.cwnd == 4 * 9000


def test_without_a_seed_the_probes_still_differ() -> None:
    waits = set()
    for now in range(1, 20):
        bbr = Bbr(mss=MSS, now=now / 1000)
        bbr._probe.start_down(1.0)
        waits.add(bbr._probe.wait)
    assert len(waits) > 10


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ack", "ack", "ack", "loss", "rto", "idle", "sent", "mss"]),
        st.floats(0, 3),
        st.integers(0, 300_000),
    ),
    max_size=100,
)


@given(EVENTS)
def test_no_order_of_events_breaks_the_bounds(events: list[tuple[str, float, int]]) -> None:
    bbr, now, delivered = Bbr(mss=MSS, now=0.0, seed=3), 0.0, 0
    for kind, step, amount in events:
        now += step
        match kind:
            case "ack":
                delivered += amount
                sample = ack(
                    now=now,
                    acked=amount,
                    flight=amount // 3,
                    rtt=0.001 + step if amount % 5 else None,
                    delivered=delivered,
                    delivery_rate=amount * 7.0,
                    app_limited=amount % 7 == 0,
                )
                bbr.on_ack(sample)
            case "loss":
                bbr.on_loss(now=now, lost=amount, flight=amount // 2, sent_at=now - step)
            case "rto":
                bbr.on_rto(now=now)
            case "idle":
                bbr.on_idle(now=now)
            case "sent":
                bbr.on_sent(now=now, flight=amount)
            case _:
                bbr.set_mss(1000 + amount % 8000)
        assert MIN_PIPE_SEGMENTS * bbr.mss <= bbr.cwnd <= MAX_CWND
        assert 0 < bbr.pacing_rate < math.inf
