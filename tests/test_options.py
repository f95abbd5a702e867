"""What no transfer could keep to is refused before it begins."""

from pathlib import Path

import pytest

from rtcsend.errors import UsageError
from rtcsend.options import MAX_RECEIVERS, MIN_LIMIT, ReceiveOptions, SendOptions


@pytest.mark.parametrize("limit", [MIN_LIMIT - 1, 1, 0, -1])
def test_a_limit_below_the_lowest(limit: int) -> None:
    with pytest.raises(UsageError, match="too low"):
        SendOptions(paths=(Path("film.iso"),), limit=limit)
    with pytest.raises(UsageError, match="too low"):
        ReceiveOptions(code="7-guitar-velvet", limit=limit)


@pytest.mark.parametrize("limit", [None, MIN_LIMIT, 10**12])
def test_any_other_limit(limit: int | None) -> None:
    assert SendOptions(paths=(Path("film.iso"),), limit=limit).limit == limit


@pytest.mark.parametrize("receivers", [0, -1, MAX_RECEIVERS + 1])
def test_a_number_of_receivers_that_is_none(receivers: int) -> None:
    with pytest.raises(UsageError, match="receivers are not possible"):
        SendOptions(paths=(Path("film.iso"),), receivers=receivers)


def test_a_limit_is_for_all_receivers_together() -> None:
    with pytest.raises(UsageError, match="too low for 3 receivers together"):
        SendOptions(paths=(Path("film.iso"),), receivers=3, limit=3 * MIN_LIMIT - 1)
    options = SendOptions(paths=(Path("film.iso"),), receivers=3, limit=3 * MIN_LIMIT)
    assert options.is_for_several
    assert SendOptions(paths=(Path("film.iso"),), forever=True).is_for_several
    assert not SendOptions(paths=(Path("film.iso"),)).is_for_several
