"""Bars of some figures as SVGs, written by hand: no package is needed for that.

The name of the picture says which benchmark it is of::

    python -m benchmarks datapath links --json > figures.json
    python -m benchmarks.plot figures.json docs/datapath.svg
    python -m benchmarks.plot figures.json docs/links.svg
"""

import json
import sys
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

ROW, BAR, LABEL, WIDTH = 26, 18, 330, 860  # pixels
VALUE = 90  # pixels for the number behind a bar
THIN_ROW, THIN_BAR, NARROW_LABEL, GAP = 17, 14, 210, 10  # pixels, of bars in groups
OURS, THEIRS = "#2a6f97", "#a9b4bc"


def svg(rates: list[tuple[str, float]]) -> str:
    """Return the picture of some rates in MB/s."""
    longest = max(rate for _, rate in rates)
    height = ROW * (len(rates) + 1)
    lines = _head(height, "MB/s, memory to memory, medians of one run")
    for number, (name, rate) in enumerate(rates, start=1):
        y = ROW * number
        length = (WIDTH - LABEL - VALUE) * rate / longest
        colour = OURS if ": rtcsend" in name else THEIRS
        lines += [
            f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LABEL + length + 6:.1f}" y="{y + 14}">{rate:,.0f}</text>',
        ]
    return "\n".join((*lines, "</svg>", ""))


def grouped_svg(rates: list[tuple[str, float]]) -> str:
    """Return the picture of rates in MB/s on several links, named ``LINK: WAY``; of no others."""
    rates = [each for each in rates if ": " in each[0]]
    longest = max(rate for _, rate in rates)
    lines, y = [], ROW
    for link, group in groupby(rates, key=lambda each: each[0].partition(": ")[0]):
        lines.append(f'<text x="8" y="{y + 12}" font-weight="bold">{escape(link)}</text>')
        for name, rate in group:
            way = name.partition(": ")[2]
            length = (WIDTH - NARROW_LABEL - VALUE) * rate / longest
            place = f'x="{NARROW_LABEL}" y="{y}" width="{length:.1f}" height="{THIN_BAR}"'
            lines += [
                f'<text x="{NARROW_LABEL - 8}" y="{y + 12}" text-anchor="end">{escape(way)}</text>',
                f'<rect {place} fill="{OURS if way == "rtcsend" else THEIRS}"/>',
                f'<text x="{NARROW_LABEL + length + 6:.1f}" y="{y + 12}">{rate:.1f}</text>',
            ]
            y += THIN_ROW
        y += GAP
    title = "MB/s at 100 Mbit/s, by round trip and loss, medians of one run"
    return "\n".join((*_head(y, title), *lines, "</svg>", ""))


def rates_of(report: dict[str, Any], benchmark: str) -> list[tuple[str, float]]:
    """Return the rates among a report's figures of a benchmark."""
    return [
        (each["name"], each["median"])
        for each in report["figures"]
        if each["benchmark"] == benchmark and each["unit"] == "MB/s"
    ]


def _head(height: int, title: str) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="8" y="17" font-weight="bold">{escape(title)}</text>',
    ]


PICTURES = {"datapath": svg, "links": grouped_svg}

if __name__ == "__main__":
    target = Path(sys.argv[2])
    measured = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    draw = PICTURES[target.stem]
    target.write_text(draw(rates_of(measured, target.stem)), encoding="utf-8")
