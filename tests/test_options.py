"""What no transfer could keep to is refused before it begins."""

from pathlib import Path

import pytest

from rtcsend.errors import UsageError
from rtcsend.options import MIN_LIMIT, ReceiveOptions, SendOptions


@pytest.mark.parametrize("limit", [MIN_LIMIT - 1, 1, 0, -1])
def test_a_limit_below_the_lowest(limit: int) -> None:
    with pytest.raises(UsageError, match="too low"):
        SendOptions(paths=(Path("film.iso"),), limit=limit)
    with pytest.raises(UsageError, match="too low"):
        ReceiveOptions(code="7-guitar-velvet", limit=limit)


@pytest.mark.parametrize("limit", [None, MIN_LIMIT, 10**12])
def test_any_other_limit(limit: int | None) -> None:
    assert SendOptions(paths=(Path("film.iso"),), limit=limit).limit == limit
