"""The link itself: figures come out as they were set, and faults are faults."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.link import compiled
from tests.lab.namespace import LabError
from tests.lab.probe import loss, ping
from tests.lab.required import require_lab

pytestmark = pytest.mark.lab

EXACT = 5.0  # ms that the quickest round trip may be off, where others need the processor too
FRAME = 1_514  # bytes, for 1,448 of TCP
DATAGRAMS, RATE = 10_000, 10_000.0  # a second; 80 Mbit/s


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    require_lab()
    with Lab() as lab:
        yield lab


@pytest.fixture(autouse=True)
def perfect(lab: Lab) -> None:
    for site in (lab.a, lab.b):
        site.heal()
        site.link.set(jitter_ms=0, reorder_percent=0, mtu=0, seed=1)
    lab.links()


def tcp_mbit(lab: Lab, seconds: float) -> float:
    """Return Mbit/s of cubic, of the second half of so much time."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.lab.tcp"]
    receiver = lab.bob.popen(
        [*command, "receive", "7000", str(1 << 40), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    )
    assert receiver.stdout is not None
    assert receiver.stdout.readline() == "ready\n"
    lab.alice.popen([*command, "send", "cubic", lab.bob.address, "7000"], cwd=root)
    record = json.loads(receiver.stdout.readline())["record"]
    (start, first), (end, last) = record[len(record) // 2], record[-1]
    return float((last - first) * 8e-6 / (end - start))


@pytest.mark.parametrize("rtt", [0, 20, 100])
def test_delay(lab: Lab, rtt: int) -> None:
    lab.links(rtt_ms=rtt)
    assert rtt <= min(ping(lab.alice, lab.bob.address, count=20)) < rtt + EXACT


def test_delay_one_way(lab: Lab) -> None:
    lab.a.link.set(rtt_ms=60, ways=("up",))
    assert 30 <= min(ping(lab.alice, lab.bob.address, count=20)) < 30 + EXACT


def test_jitter(lab: Lab) -> None:
    lab.a.link.set(rtt_ms=20, jitter_ms=10)
    times = ping(lab.alice, lab.bob.address, count=30)
    assert min(times) >= 20
    assert max(times) - min(times) > 5


def test_loss(lab: Lab) -> None:
    lab.a.link.set(loss_percent=1)
    lost = loss(lab.alice, lab.bob, lab.bob.address, count=DATAGRAMS, rate=RATE)
    assert 0.007 < lost < 0.013  # three standard deviations; always the same, by its seed
    lab.a.link.set(loss_percent=0)
    assert loss(lab.alice, lab.bob, lab.bob.address, count=DATAGRAMS, rate=RATE) == 0


def test_the_same_seed_loses_the_same(lab: Lab) -> None:
    counts = []
    for _ in range(2):
        lab.a.link.set(loss_percent=30, seed=7)
        counts.append(loss(lab.alice, lab.bob, lab.bob.address, count=500, rate=RATE))
    assert counts[0] == counts[1]


def test_rate(lab: Lab) -> None:
    lab.links(rtt_ms=10, rate_mbit=100)
    # Other work may take the processor away, and what has waited then comes at once.
    assert any(80 < tcp_mbit(lab, 2.0) < 100 for _ in range(5))
    assert lab.a.link.counters("up").failed == 0


def test_queue(lab: Lab) -> None:
    lab.links(rtt_ms=10, rate_mbit=8, queue_bytes=20_000)  # 20 ms at this rate
    full = lab.a.link.counters("up").full
    # A sender that has few turns is slower than the line.
    lost = (loss(lab.alice, lab.bob, lab.bob.address, count=200, rate=1e6) for _ in range(8))
    assert any(share > 0.5 for share in lost)
    assert lab.a.link.counters("up").full > full


def test_reordering(lab: Lab) -> None:
    lab.a.link.set(rtt_ms=40, reorder_percent=50)
    times = ping(lab.alice, lab.bob.address, count=30)
    assert min(times) < 10
    assert max(times) >= 20


def test_long_packets_vanish(lab: Lab) -> None:
    lab.a.link.set(mtu=1_000)
    large = lab.a.link.counters("up").large
    assert loss(lab.alice, lab.bob, lab.bob.address, count=10, rate=RATE) == 1
    assert lab.a.link.counters("up").large == large + 10
    assert ping(lab.alice, lab.bob.address)


def test_cut_and_healed(lab: Lab) -> None:
    lab.a.cut(ways=("down",))
    assert ping(lab.alice, lab.bob.address, count=1, wait=0.3) == []
    lab.a.heal()
    assert ping(lab.alice, lab.bob.address, count=1)


def test_what_is_under_way_is_cut_too(lab: Lab) -> None:
    lab.a.link.set(rtt_ms=400)
    with lab.alice.socket() as sock:
        for _ in range(20):  # this process may have no turn until it has arrived
            before = lab.a.link.counters("up")
            sock.sendto(b"under way", (lab.bob.address, 7001))
            lab.a.cut()
            while (after := lab.a.link.counters("up")).left == before.left:
                if after.cut > before.cut:
                    return
                time.sleep(0.02)
            lab.a.heal()
    pytest.fail("it arrived each time")


def test_it_refuses_what_it_does_not_know(lab: Lab) -> None:
    with pytest.raises(LabError, match="refused"):
        lab.a.link._emulator.ask("set 9 delay=1")
    with pytest.raises(LabError, match="refused"):
        lab.a.link._emulator.ask("set 0 colour=1")


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="apt install gcc"):
        compiled()
