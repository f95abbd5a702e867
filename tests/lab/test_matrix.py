"""A selection of the matrix with a small file, and what only shows while bytes move.

The whole of it is ``make lab``. Routes are asserted, and exit codes; times only where the
contract has one that is far from what a busy machine needs.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.coturn import require_coturn
from tests.lab.lab import Lab
from tests.lab.matrix import ROWS, Matrix, Row, ice_options
from tests.lab.nat import Kind
from tests.lab.required import require_lab
from tests.lab.transfer import Transfer

pytestmark = pytest.mark.lab

SIZE = 1_000_000  # bytes
GIVEN_UP = 15.0  # seconds until no route is said, in all


def row(sender: Kind, receiver: Kind, *, dead: bool = False, loss: float = 0) -> Row:
    """Return the row of the matrix with these networks."""
    (found,) = [
        each
        for each in ROWS
        if (each.sender, each.receiver, each.dead, each.loss_percent, each.same_lan)
        == (sender, receiver, dead, loss, False)
    ]
    return found


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    require_lab()
    require_coturn()
    with Lab() as made:
        yield made


@pytest.fixture(scope="module")
def matrix(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    return Matrix(lab, tmp_path_factory.mktemp("matrix"), size=SIZE)


@pytest.mark.parametrize(
    ("chosen", "reached"),
    [
        (row(Kind.PORT_RESTRICTED, Kind.PORT_RESTRICTED, dead=True), ""),
        (row(Kind.SYMMETRIC, Kind.SYMMETRIC, loss=5), "udp"),
        (row(Kind.UDP_BLOCKED, Kind.UDP_BLOCKED, dead=True), "tcp"),
    ],
    ids=lambda value: value.title if isinstance(value, Row) else value,
)
def test_with_stun_and_turn(matrix: Matrix, chosen: Row, reached: str) -> None:
    happened = matrix.attempt(chosen, with_turn=True)
    assert (happened.route, happened.exit) == (chosen.turn, 0)
    assert happened.reached in ("", reached), "one side's relay is enough"


def test_no_route_is_said_in_time(matrix: Matrix) -> None:
    happened = matrix.attempt(row(Kind.PORT_RESTRICTED, Kind.SYMMETRIC), with_turn=False)
    assert (happened.route, happened.exit) == ("none", 30)
    assert happened.whole < GIVEN_UP


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
    source = tmp_path / "moving.bin"
    source.write_bytes(bytes(range(256)) * 100_000)
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
