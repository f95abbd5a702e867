"""What a benchmark returns, and how it is shown."""

import dataclasses
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.machine import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number, of one or more runs."""

    benchmark: str
    name: str
    unit: str
    samples: tuple[float, ...]
    goal: str = ""
    """What the project wants, like ``< 0.5``."""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


def figure(
    benchmark: str, name: str, unit: str, samples: Iterable[float], *, goal: str = ""
) -> Figure:
    """Return a figure of some runs, rounded to what means something."""
    rounded = tuple(round(sample, 1 if unit.startswith("MB") else 3) for sample in samples)
    return Figure(benchmark=benchmark, name=name, unit=unit, samples=rounded, goal=goal)


def as_text(machine: Machine, figures: Sequence[Figure]) -> str:
    """Return a table for people; it is valid Markdown."""
    head = ("benchmark", "what", "median", "min", "max", "runs", "goal")
    rows = [head, *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    rows.insert(1, tuple("-" * width for width in widths))
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    return "\n".join((str(machine), "", *lines))


def as_json(machine: Machine, figures: Sequence[Figure]) -> str:
    """Return everything, each sample too, as one JSON object."""
    return json.dumps(
        {
            "machine": dataclasses.asdict(machine),
            "figures": [{**dataclasses.asdict(each), "median": each.median} for each in figures],
        },
        indent=2,
    )


def _row(each: Figure) -> tuple[str, ...]:
    numbers = [f"{value:g}" for value in (each.median, min(each.samples), max(each.samples))]
    numbers[0] += f" {each.unit}"
    return each.benchmark, each.name, *numbers, str(len(each.samples)), each.goal
