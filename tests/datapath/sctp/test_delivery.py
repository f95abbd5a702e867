"""Delivery rates: what a burst took with it against what its SACK says."""

import pytest

from rtcsend.datapath.sctp.delivery import Delivery


def test_a_rate_is_what_was_delivered_over_the_time_it_took() -> None:
    delivery = Delivery(now=0.0)
    first = delivery.begin_burst(is_idle=True, now=1.0)
    delivery.on_delivered(1_000, first, now=1.5)
    assert delivery.rate(first, min_rtt=0.5, now=1.5) == 2_000
    second = delivery.begin_burst(is_idle=False, now=1.6)
    delivery.on_delivered(500, second, now=2.5)
    assert delivery.rate(second, min_rtt=0.5, now=2.5) == 500  # since the delivery before it


def test_a_sample_shorter_than_the_path_is_none() -> None:
    delivery = Delivery(now=0.0)
    flight = delivery.begin_burst(is_idle=True, now=1.0)
    delivery.on_delivered(1_000, flight, now=1.1)
    assert delivery.rate(flight, min_rtt=0.5, now=1.1) == 0
    assert delivery.rate(flight, min_rtt=0.0, now=1.0) == 0


def test_a_rate_is_no_faster_than_what_it_was_sent_at() -> None:
    """SACKs that were held up and come together say nothing about the path."""
    delivery = Delivery(now=0.0)
    first = delivery.begin_burst(is_idle=True, now=1.0)
    second = delivery.begin_burst(is_idle=False, now=3.0)
    delivery.on_delivered(1_000, first, now=3.9)
    third = delivery.begin_burst(is_idle=False, now=4.0)
    delivery.on_delivered(1_000, second, now=4.1)
    assert delivery.rate(second, min_rtt=0.1, now=4.1) == pytest.approx(2_000 / 3.1)
    delivery.on_delivered(1_000, third, now=4.2)
    assert delivery.rate(third, min_rtt=0.1, now=4.2) == pytest.approx(2_000 / 3), (
        "sent in three seconds"
    )


def test_a_round_is_what_is_sent_until_the_first_of_it_is_acknowledged() -> None:
    delivery = Delivery(now=0.0)
    bursts = [delivery.begin_burst(is_idle=not number, now=float(number)) for number in range(3)]
    starts = []
    for number, flight in enumerate(bursts):
        delivery.on_delivered(100, flight, now=10.0 + number)
        starts.append(delivery.is_round_start(flight))
    later = delivery.begin_burst(is_idle=True, now=20.0)
    delivery.on_delivered(100, later, now=21.0)
    assert [*starts, delivery.is_round_start(later)] == [True, False, False, True]


def test_what_is_sent_while_the_application_is_slow_says_so() -> None:
    delivery = Delivery(now=0.0)
    first = delivery.begin_burst(is_idle=True, now=1.0)
    delivery.note_app_limit(flight_size=1_000)
    limited = delivery.begin_burst(is_idle=False, now=1.1)
    delivery.on_delivered(1_001, first, now=2.0)
    free = delivery.begin_burst(is_idle=False, now=2.1)
    assert (first.app_limited, limited.app_limited, free.app_limited) == (False, True, False)
