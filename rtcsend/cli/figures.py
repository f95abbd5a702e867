"""Numbers for people and from people: sizes, rates and times.

Sizes are decimal (1 MB = 1,000,000 bytes), as disks and networks are sold, in both
directions: what ``--limit 10M`` asks for is what the display calls 10 MB/s. ``MiB`` and
its kin are understood where somebody types them.

Pure. Place in the flow: between options or events and text.
"""

import re
from dataclasses import dataclass
from typing import Any

from rtcsend.errors import UsageError

MAX_SIZE = 2**63 - 1  # bytes; what file systems and most programs hold
_MAX_SIZE_TEXT = 32  # characters of an option that can be a size

_FINE = 10.0  # ms; below it a tenth is worth showing
_LONGEST_TIME_LEFT = 100 * 3600  # seconds; beyond it the rate is too low to foresee anything

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([kmgtp])(i?)b?|b)?", re.IGNORECASE | re.ASCII)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_size(text: str, *, option: str) -> int:
    """Read a number of bytes as people write it: ``10M``, ``1.5G``, ``10 MB``, ``10MiB``.

    Args:
        text: What was given on the command line.
        option: Its name, for the error.

    Returns:
        Bytes, at least 1.

    Raises:
        UsageError: It is no size, zero, or beyond MAX_SIZE.
    """
    match = _SIZE.fullmatch(text.strip()) if len(text) <= _MAX_SIZE_TEXT else None
    if match is None:
        raise UsageError(
            f"{option} takes a size, and “{text[:_MAX_SIZE_TEXT]}” is none.",
            hint="Write it like 500k, 10M, 1.5G or 10MiB.",
        )
    number, prefix, binary = match.groups()
    factor = 1
    for _ in range(_POWERS.get((prefix or "").lower(), 0)):
        factor *= 1024 if binary else 1000
    whole, _, fraction = number.partition(".")
    # In integers, since 9007199254740993 is one more than the nearest float.
    size = int(whole) * factor + int(fraction or 0) * factor // int("1" + "0" * len(fraction))
    if not 1 <= size <= MAX_SIZE:
        raise UsageError(
            f"{option} takes a size from 1 byte to 8 EiB, not “{text}”.",
            hint="Write it like 500k, 10M, 1.5G or 10MiB.",
        )
    return size


def format_size(size: int) -> str:
    """Return bytes for people: ``0 B``, ``999 B``, ``1.0 kB``, ``182 MB``, ``4.4 GB``."""
    unit = _unit_of(size)
    return f"{_in_unit(size, unit)} {_UNITS[unit]}"


def format_part(part: int, total: int) -> str:
    """Return how much of a whole, in the unit of the whole: ``0.3/4.4 GB``."""
    unit = _unit_of(total)
    return f"{_in_unit(part, unit)}/{_in_unit(total, unit)} {_UNITS[unit]}"


def format_rate(bytes_per_s: float) -> str:
    """Return a rate: ``182 MB/s``."""
    return f"{format_size(int(bytes_per_s))}/s"


def format_duration(seconds: float) -> str:
    """Return a time: ``0:07``, ``12:34``, ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferState:
    """Where a transfer stands, as its line on the screen says it.

    Attributes:
        name: The file, harmless already.
        bytes: How many the receiver has written.
        total: Of how many; None: nobody knows.
        bytes_per_s: Now; when it is finished, on average.
        seconds: How long it took; None while it runs.
        route: ``direct``, ``vpn``, ``relay``, ``relay/tls``, or empty as long as nobody knows.
    """

    name: str
    bytes: int
    total: int | None
    bytes_per_s: float
    seconds: float | None = None
    route: str = ""

    def time(self) -> str:
        """Return how long it will take, or has taken."""
        if self.seconds is not None:
            return f"in {format_duration(self.seconds)}"
        if self.total is None:
            return ""
        left = (self.total - self.bytes) / max(self.bytes_per_s, 1e-9)
        return f"{format_duration(left)} left" if left < _LONGEST_TIME_LEFT else ""

    def figures(self) -> dict[str, Any]:
        """Return the texts of the columns behind the bar, by the names that live.py gives them."""
        return {
            "size": (
                format_size(self.bytes)
                if self.total is None
                else format_part(self.bytes, self.total)
            ),
            "rate": format_rate(self.bytes_per_s),
            "time": self.time(),
            "route": self.route,
        }


def format_milliseconds(ms: float) -> str:
    """Return a time as people read it: ``0.4 ms``, ``38 ms``."""
    return f"{ms:.0f} ms" if ms >= _FINE else f"{ms:.1f} ms"


def _unit_of(size: int) -> int:
    unit = 0
    # 999,950 would be rounded to 1000 kB: it is the next unit's already.
    while unit + 1 < len(_UNITS) and size >= 999.5 * 1000**unit:
        unit += 1
    return unit


def _in_unit(size: int, unit: int) -> str:
    value = size / 1000**unit
    return f"{value:.1f}" if unit and value < 99.95 else f"{value:.0f}"  # noqa: PLR2004 - 3 digits
