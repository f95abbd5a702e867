"""How much a Redis takes until it counts as nearly full."""

import math

import pytest

from signal_server.store.redis_memory import room_untrusted


@pytest.mark.parametrize(
    ("used", "most", "room"),
    [(76, 100, -1), (75, 100, 0), (10, 100, 65), (900, 0, math.inf), (0, 0, math.inf)],
)
def test_by_what_it_says(used: int, most: int, room: float) -> None:
    told = f"# Memory\r\nused_memory:{used}\r\nused_memory_human:1M\r\nmaxmemory:{most}\r\n"
    assert room_untrusted(told) == room


@pytest.mark.parametrize(
    "told", ["", "used_memory:99", "used_memory:x\nmaxmemory:y", "maxmemory:" + "9" * 99]
)
def test_who_does_not_tell_has_room(told: str) -> None:
    assert room_untrusted(told) == math.inf
