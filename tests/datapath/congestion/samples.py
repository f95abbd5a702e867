"""SACKs by hand, for tests that drive a controller without a link."""

import math

from rtcsend.datapath.congestion.base import AckSample

MSS = 1000  # bytes; round numbers for the tables


def ack(
    *,
    now: float,
    acked: int = MSS,
    flight: int = 0,
    prior_flight: int = 10**9,
    rtt: float | None = 0.1,
    delivered: int = 0,
    delivery_rate: float = 0.0,
    app_limited: bool = False,
    round_start: bool = False,
    lost: int = 0,
) -> AckSample:
    """Return a sample; by default the window is what limits the sender."""
    return AckSample(
        now=now,
        acked=acked,
        flight=flight,
        prior_flight=prior_flight,
        rtt=rtt,
        min_rtt=rtt if rtt is not None else math.inf,
        srtt=rtt if rtt is not None else 0.1,
        delivered=delivered,
        delivery_rate=delivery_rate,
        app_limited=app_limited,
        round_start=round_start,
        lost=lost,
    )
