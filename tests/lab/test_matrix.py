"""A selection of the matrix with a small file, and what only shows while bytes move.

The whole of it is ``make lab``. Routes are asserted, and exit codes; times only where the
contract has one that is far from what a busy machine needs.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.processes import random_file
from tests.fakes.coturn import require_coturn
from tests.lab.lab import Lab
from tests.lab.matrix import GIVEN_UP, ROWS, Happened, Matrix, Row, ice_options
from tests.lab.nat import Kind
from tests.lab.required import require_lab
from tests.lab.transfer import Transfer

pytestmark = pytest.mark.lab

SIZE = 1_000_000  # bytes
LANES = 3


def row(sender: Kind, receiver: Kind, *, dead: bool = False, loss: float = 0) -> Row:
    """Return the row of the matrix with these networks."""
    (found,) = [
        each
        for each in ROWS
        if (each.sender, each.receiver, each.dead, each.loss_percent)
        == (sender, receiver, dead, loss)
        and not each.same_lan
        and set(each.families) == {"IPv4"}
    ]
    return found


CHOSEN = {
    row(Kind.PORT_RESTRICTED, Kind.PORT_RESTRICTED, dead=True): True,
    row(Kind.SYMMETRIC, Kind.SYMMETRIC, loss=5): True,
    row(Kind.UDP_BLOCKED, Kind.UDP_BLOCKED, dead=True): True,
    row(Kind.TLS_ONLY, Kind.PORT_RESTRICTED): True,
    row(Kind.PORT_RESTRICTED, Kind.SYMMETRIC): False,
    next(each for each in ROWS if each.families == ("IPv6", "IPv4")): True,
}
"""Whether each has a TURN server."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    require_lab()
    require_coturn()
    with Lab() as made:
        yield made


@pytest.fixture(scope="module")
def matrix(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    return Matrix(lab, tmp_path_factory.mktemp("matrix"), size=SIZE)


@pytest.fixture(scope="module")
def all_happened(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Row, Happened]:
    """Try them in laboratories side by side: mostly they wait."""
    require_lab()
    require_coturn()

    def attempt(lane: int) -> dict[Row, Happened]:
        with Lab(ipv6=True) as lab:
            matrix = Matrix(lab, tmp_path_factory.mktemp("rows"), size=SIZE)
            return {
                row: matrix.attempt(row, with_turn=CHOSEN[row]) for row in list(CHOSEN)[lane::LANES]
            }

    with ThreadPoolExecutor(LANES) as pool:
        return {row: it for lane in pool.map(attempt, range(LANES)) for row, it in lane.items()}


@pytest.mark.parametrize("chosen", CHOSEN, ids=lambda row: row.title)
def test_rows(all_happened: Mapping[Row, Happened], chosen: Row) -> None:
    happened = all_happened[chosen]
    assert happened.is_expected(chosen, chosen.turn if CHOSEN[chosen] else chosen.stun), happened
    if happened.route == "none":
        assert happened.first_byte < GIVEN_UP


DIRECT_BLOCKED = """
table ip only_by_the_server {
    chain forward {
        type filter hook forward priority 0; policy accept;
        ip saddr 192.0.2.0/24 ip daddr 198.51.100.0/24 drop
        ip saddr 198.51.100.0/24 ip daddr 192.0.2.0/24 drop
    }
}
"""
OPEN_AGAIN = "delete table ip only_by_the_server\n"


def test_a_better_path_is_taken_without_losing_a_byte(
    lab: Lab, matrix: Matrix, tmp_path: Path
) -> None:
    lab.a.kind = lab.b.kind = Kind.PORT_RESTRICTED
    lab.links(rtt_ms=40, rate_mbit=40)
    source = random_file(tmp_path / "moving.bin", 25_000_000)
    lab.net.nft(DIRECT_BLOCKED)
    is_blocked = True
    transfer = Transfer(
        (lab.alice, lab.bob),
        server=matrix.server,
        source=source,
        folder=tmp_path,
        options=ice_options(matrix.turn, dead=False, with_turn=True),
        env=matrix.turn.environment,
    )
    try:
        transfer.wait_until_moving()
        lab.net.nft(OPEN_AGAIN)
        is_blocked = False
        assert transfer.wait()[0] == 0
        for command in (transfer.sender, transfer.receiver):
            names = [event["event"] for event in command.events]
            by_name = {event["event"]: event for event in command.events}
            assert by_name["connected"]["route"] == "relay"
            assert by_name["route"]["route"] == "direct"
            assert names.index("connected") < names.index("route") < names.index("done")
            assert "reconnecting" not in names
        assert transfer.arrived.read_bytes() == source.read_bytes()
    finally:
        transfer.stop()
        if is_blocked:
            lab.net.nft(OPEN_AGAIN)
