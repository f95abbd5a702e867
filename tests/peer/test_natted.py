"""Two agents behind NATs, on virtual time: how soon each sends, and what it knows then."""

import itertools

import pytest

from tests.peer.natted import NatKind, Net, meet

KINDS: tuple[NatKind, ...] = ("full-cone", "restricted", "port-restricted", "symmetric")
DIRECT = [
    (one, other)
    for one, other in itertools.product(KINDS, KINDS)
    if "symmetric" not in (one, other) or {one, other} & {"full-cone", "restricted"}
]
RTTS = (0.01, 0.04, 0.3, 2.0)  # seconds


@pytest.mark.parametrize("kinds", DIRECT, ids="-".join)
@pytest.mark.parametrize("rtt", RTTS)
def test_they_meet_soon_and_know_the_round_trip(kinds: tuple[NatKind, NatKind], rtt: float) -> None:
    met = meet(Net(kinds, rtt=rtt))
    # A check that a NAT was not open for yet costs one wait, of 0.05 s; 0.15 s would be too long.
    assert max(met.selected) <= 3 * rtt + 0.06
    assert list(met.rtts) == pytest.approx([rtt, rtt])
    assert met.sent <= 100


@pytest.mark.parametrize("seed", range(8))
def test_what_is_lost_is_soon_made_up_for(seed: int) -> None:
    met = meet(Net(("restricted", "symmetric"), rtt=0.04, loss=0.05, seed=seed))
    assert max(met.selected) <= 0.5
    assert list(met.rtts) == pytest.approx([0.04, 0.04])
