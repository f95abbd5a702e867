import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.cli.figures import (
    MAX_SIZE,
    TransferState,
    format_duration,
    format_part,
    format_rate,
    format_size,
    parse_size,
)
from rtcsend.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("500", 500),
        ("500B", 500),
        ("500k", 500_000),
        ("10M", 10_000_000),
        ("10MB", 10_000_000),
        ("10 mb", 10_000_000),
        ("10MiB", 10_485_760),
        ("10Mi", 10_485_760),
        ("1.5G", 1_500_000_000),
        ("1.5GiB", 1_610_612_736),
        ("0.1k", 100),
        ("2T", 2_000_000_000_000),
        ("1P", 10**15),
        (" 7 ", 7),
        ("9007199254740993", 9007199254740993),
        (str(MAX_SIZE), MAX_SIZE),
    ],
)
def test_parse_size(text: str, size: int) -> None:
    assert parse_size(text, option="--limit") == size


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "M", "-1", "+1", "1e6", "1.M", ".5M", "10X", "10MBit", "1 0", "1,5G", "0x10"),
        *("\u0663M", "0", "0.0001", str(MAX_SIZE + 1), "9999999P", "1" * 40, "nan", "inf"),
    ],
)
def test_parse_size_refuses(text: str) -> None:
    with pytest.raises(UsageError, match="--limit takes a size") as caught:
        parse_size(text, option="--limit")
    assert caught.value.hint == "Write it like 500k, 10M, 1.5G or 10MiB."


@given(st.integers(1, MAX_SIZE))
def test_parse_size_is_exact(size: int) -> None:
    assert parse_size(str(size), option="--limit") == size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_950, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (4_400_000_000, "4.4 GB"),
        (182_000_000, "182 MB"),
        (MAX_SIZE, "9.2 EB"),
    ],
)
def test_format_size(size: int, text: str) -> None:
    assert format_size(size) == text


def test_format_part_keeps_the_unit_of_the_whole() -> None:
    assert format_part(250_000_000, 4_400_000_000) == "0.2/4.4 GB"
    assert format_part(0, 0) == "0/0 B"


def test_format_rate() -> None:
    assert format_rate(182_400_000.7) == "182 MB/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (3599, "59:59"), (3723, "1:02:03")],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("rate", "seconds", "text"),
    [(100.0, None, "0:05 left"), (0.0, None, ""), (0.001, None, ""), (100.0, 9.0, "in 0:09")],
)
def test_time_of_a_transfer(rate: float, seconds: float | None, text: str) -> None:
    state = TransferState(name="f", bytes=500, total=1000, bytes_per_s=rate, seconds=seconds)
    assert state.time() == text
