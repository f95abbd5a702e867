"""When a Redis counts as nearly full."""

import pytest

from signal_server.store.redis_memory import is_crowded_untrusted


@pytest.mark.parametrize(
    ("used", "most", "crowded"),
    [(76, 100, True), (75, 100, False), (900, 0, False), (0, 0, False)],
)
def test_by_what_it_says(used: int, most: int, crowded: bool) -> None:
    told = f"# Memory\r\nused_memory:{used}\r\nused_memory_human:1M\r\nmaxmemory:{most}\r\n"
    assert is_crowded_untrusted(told) is crowded


@pytest.mark.parametrize(
    "told", ["", "used_memory:99", "used_memory:x\nmaxmemory:y", "maxmemory:" + "9" * 99]
)
def test_who_does_not_tell_is_not_crowded(told: str) -> None:
    assert not is_crowded_untrusted(told)
