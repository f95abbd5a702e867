"""Whether to pack: rates in, decisions out, over simulated paths on virtual time."""

import heapq
from collections.abc import Callable

import pytest

from rtcsend.transfer.packing_choice import (
    ALLOWANCE,
    CONFIRMATIONS,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    SHORTEST_RATE,
    TO_PACK,
    TRIAL_BYTES,
    TRIAL_SECONDS,
    PackingChoice,
)

FRAME = 65_536
WINDOW = 16 << 20
STEP = 1 << 20


class World:
    """A sender, a path and a receiver, each busy with one frame at a time.

    Args:
        path: Bytes per second on the way.
        ratio: Of packed to plain.
        packing: Bytes per second that packing takes in, where it has a processor to itself.
        sending: Bytes per second that the sender, and the receiver, get through beside that.
        rtt: Seconds.
        mode: Always or never pack; None: as the choice says.
        starved: Every so many seconds both wait as long for a processor.
    """

    def __init__(
        self,
        path: float,
        *,
        ratio: float = 0.2,
        packing: float = 400e6,
        sending: float = 250e6,
        rtt: float = 0.001,
        mode: bool | None = None,
        starved: float = 0.0,
    ) -> None:
        self.path, self.ratio, self.packing, self.sending = path, ratio, packing, sending
        self.rtt, self.mode, self.starved = rtt, mode, starved
        self.now = 0.0
        self.sent = self.wire = 0
        self.packed = 0
        self._acked = self._told = 0
        self._path_free = self._receiver_free = 0.0
        self._arrivals: list[tuple[float, int]] = []
        self.choice = PackingChoice(now=0.0)
        self.switches = 0

    def send(self, seconds: float) -> float:
        """Send for so long; return the plain bytes per second that arrived."""
        until, before, began = self.now + seconds, self._acked, self.now
        while self.now < until:
            while self.sent - self._acked >= WINDOW or len(self._arrivals) > WINDOW // FRAME:
                self._advance(self._arrivals[0][0])
            self._frame()
        return (self._acked - before) / (self.now - began)

    def _frame(self) -> None:
        packs = self.choice.is_packing if self.mode is None else self.mode
        size = int(FRAME * self.ratio) if packs else FRAME
        if packs:
            began = self.now
            self._work(FRAME / self.packing)
            self.choice.timed(FRAME, self.now - began)
            self.packed += FRAME
        self._work((0.3 * FRAME + 0.7 * size) / self.sending)
        # The channel holds a megabyte of what the path has not taken.
        self.now = max(self.now, self._path_free - 1e6 / self.path)
        self._path_free = max(self._path_free, self.now) + size / self.path
        work = (0.3 * FRAME + 0.7 * size) / self.sending + (FRAME / 1e9 if packs else 0)
        self._receiver_free = max(self._receiver_free, self._path_free + self.rtt / 2) + work
        heapq.heappush(self._arrivals, (self._receiver_free + self.rtt / 2, FRAME))
        self.sent += FRAME
        self.wire += size
        was = self.choice.is_packing
        self._advance(self.now)
        self.choice.sent(FRAME, now=self.now)
        self.switches += self.choice.is_packing is not was

    def _work(self, seconds: float) -> None:
        self.now += seconds
        if self.starved and int(self.now / self.starved) % 2:
            self.now = (int(self.now / self.starved) + 1) * self.starved  # others have their turn
            self._receiver_free = max(self._receiver_free, self.now)

    def _advance(self, now: float) -> None:
        self.now = max(self.now, now)
        while self._arrivals and self._arrivals[0][0] <= self.now:
            self._acked += heapq.heappop(self._arrivals)[1]
        if self._acked - self._told >= STEP:
            self._told = self._acked
            self.choice.acknowledged(self._acked, now=self.now)


def rates(seconds: float, make: Callable[[bool | None], World]) -> tuple[float, float, float]:
    """Return what arrives per second: as it chooses, plain, packed."""
    chosen, plain, packed = (make(mode).send(seconds) for mode in (None, False, True))
    return chosen, plain, packed


PATHS = [1e6, 12.5e6, 25e6, 50e6, 117e6, 300e6, 5e9]
CONTENTS = {"log": (0.15, 560e6), "source": (0.33, 280e6), "little": (0.8, 300e6)}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("rtt", [0.0005, 0.1])
@pytest.mark.parametrize("path", PATHS)
def test_it_is_about_as_good_as_the_better_way(path: float, rtt: float, content: str) -> None:
    ratio, packing = CONTENTS[content]
    chosen, plain, packed = rates(
        6, lambda mode: World(path, ratio=ratio, packing=packing, rtt=rtt, mode=mode)
    )
    assert chosen > 0.95 * plain
    assert chosen > 0.7 * packed or packed < TO_PACK * plain


@pytest.mark.parametrize("starved", [0.0, 0.003, 0.02])
@pytest.mark.parametrize(("ratio", "packing"), [(0.15, 400e6), (0.33, 200e6), (0.5, 100e6)])
@pytest.mark.parametrize("sending", [60e6, 150e6, 300e6])
def test_between_two_processes_of_one_machine_nothing_is_lost(
    sending: float, ratio: float, packing: float, starved: float
) -> None:
    chosen, plain, _ = rates(
        2,
        lambda mode: World(
            5e9, ratio=ratio, packing=packing, sending=sending, mode=mode, starved=starved
        ),
    )
    assert chosen > 0.9 * plain


def test_a_slow_path_is_never_tried_plain() -> None:
    world = World(12.5e6)
    world.send(10)
    assert world.packed == world.sent
    assert world.switches == 0


def test_where_packing_is_slower_than_the_path_it_is_not_even_tried() -> None:
    world = World(5e9, packing=200e6, ratio=0.9, sending=400e6)
    world.send(1)
    assert not world.choice.is_packing
    before = world.packed
    world.send(20)
    assert world.packed == before


def test_trials_become_rare_while_they_find_nothing_new() -> None:
    world = World(5e9, packing=300e6, sending=130e6, ratio=0.9)
    world.send(2)
    shares = []
    for _ in range(4):
        packed, sent = world.packed, world.sent
        world.send(30)
        shares.append((world.packed - packed) / (world.sent - sent))
    assert shares[0] < 0.03
    assert shares[-1] < 0.006
    assert sum(shares[-2:]) > 0, "but they go on"
    assert LONGEST_PAUSE < 60


def packs(world: World | PackingChoice) -> bool:
    return (world.choice if isinstance(world, World) else world).is_packing


def test_a_path_that_becomes_slow_is_noticed_and_one_that_becomes_fast() -> None:
    world = World(5e9, ratio=0.33, packing=280e6)
    world.send(20)
    assert not packs(world)
    world.path = 4e6
    world.send(5 + FIRST_PAUSE)
    assert packs(world)
    world.path = 5e9
    world.send(5)
    assert not packs(world)


def test_it_does_not_swing_where_both_are_as_fast() -> None:
    world = World(130e6, ratio=0.3, packing=180e6)
    world.send(60)
    assert world.switches < 60


def tried(*, seconds: float) -> PackingChoice:
    """Return one after some trials of packing, of which each took that long; plain was 50 MB/s."""
    choice, now, count = PackingChoice(now=0.0), 0.1, STEP
    choice.timed(STEP, 0.1)
    choice.sent(STEP, now=now)
    assert not packs(choice), "it is dear"
    for _ in range(CONFIRMATIONS):
        while not packs(choice):
            now, count = now + STEP / 50e6, count + STEP
            choice.acknowledged(count, now=now)
            choice.sent(STEP, now=now)
        choice.timed(STEP, 1.0)
        choice.sent(2 * TRIAL_BYTES, now=now + 2 * TRIAL_SECONDS)
        assert not packs(choice), "it is sent, and not yet known"
        now, count = now + 3.0, count + STEP
        choice.acknowledged(count, now=now)  # whatever took so long was not the trial's
        now, count = now + seconds, count + 2 * TRIAL_BYTES
        choice.acknowledged(count, now=now)
    return choice


def test_what_arrives_is_compared_not_what_is_queued() -> None:
    assert packs(tried(seconds=2 * TRIAL_BYTES / 80e6))
    assert not packs(tried(seconds=2 * TRIAL_BYTES / 70e6)), "that is not clearly faster"


def test_acknowledgements_that_come_all_at_once_say_nothing() -> None:
    assert not packs(tried(seconds=SHORTEST_RATE / 2))


def test_without_a_word_of_the_receiver_nothing_is_tried() -> None:
    choice = PackingChoice(now=0.0)
    for step in range(200):
        choice.timed(FRAME, 0.01)
        choice.sent(FRAME, now=0.01 * step)
        assert not packs(choice) or step * 0.01 <= 2 * ALLOWANCE
