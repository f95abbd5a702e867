"""HyStart++: its phases, round by round."""

import pytest

from rtcsend.datapath.congestion.hystart import CSS_ROUNDS, N_RTT_SAMPLE, HyStart, Phase


def run_round(hystart: HyStart, rtt: float, *, samples: int = N_RTT_SAMPLE) -> Phase:
    """Feed one round of equal samples."""
    for index in range(samples):
        hystart.on_ack(rtt=rtt, round_start=index == 0)
    return hystart.phase


@pytest.mark.parametrize(
    ("base", "risen", "phase"),
    [
        # The threshold is an eighth of the last round's RTT, between 4 and 16 ms.
        (0.010, 0.0139, Phase.SLOW_START),
        (0.010, 0.0141, Phase.CSS),
        (0.080, 0.0899, Phase.SLOW_START),
        (0.080, 0.0901, Phase.CSS),
        (0.300, 0.3159, Phase.SLOW_START),
        (0.300, 0.3161, Phase.CSS),
    ],
)
def test_css_begins_when_the_rtt_rises_by_the_threshold(
    base: float, risen: float, phase: Phase
) -> None:
    hystart = HyStart()
    assert run_round(hystart, base) is Phase.SLOW_START
    assert run_round(hystart, risen) is phase


def test_too_few_samples_decide_nothing() -> None:
    hystart = HyStart()
    run_round(hystart, 0.05)
    assert run_round(hystart, 0.5, samples=N_RTT_SAMPLE - 1) is Phase.SLOW_START


def test_css_ends_slow_start_after_five_rounds() -> None:
    hystart = HyStart()
    run_round(hystart, 0.05)
    run_round(hystart, 0.1)
    for _ in range(CSS_ROUNDS - 1):
        assert run_round(hystart, 0.1) is Phase.CSS
    assert run_round(hystart, 0.1) is Phase.DONE


def test_css_was_a_false_alarm_when_the_rtt_falls_again() -> None:
    hystart = HyStart()
    run_round(hystart, 0.05)
    run_round(hystart, 0.1)
    assert run_round(hystart, 0.06) is Phase.SLOW_START


def test_growth_is_a_quarter_in_css() -> None:
    hystart = HyStart()
    assert hystart.growth(1200) == 1200
    run_round(hystart, 0.05)
    run_round(hystart, 0.1)
    assert hystart.growth(1200) == 300


def test_a_finished_slow_start_hears_nothing_until_it_restarts() -> None:
    hystart = HyStart()
    hystart.finish()
    assert run_round(hystart, 0.05) is Phase.DONE
    hystart.restart()
    assert hystart.phase is Phase.SLOW_START


def test_samples_without_an_rtt_count_for_nothing() -> None:
    hystart = HyStart()
    for _ in range(50):
        hystart.on_ack(rtt=None, round_start=True)
    assert hystart.phase is Phase.SLOW_START
