"""Bars of the data path's figures as an SVG, written by hand: no package is needed for that.

python -m benchmarks datapath --json > figures.json
python -m benchmarks.plot figures.json docs/datapath.svg
"""

import json
import sys
from html import escape
from pathlib import Path
from typing import Any

ROW, BAR, LABEL, WIDTH = 26, 18, 330, 860  # pixels
VALUE = 90  # pixels for the number behind a bar


def svg(rates: list[tuple[str, float]]) -> str:
    """Return the picture of some rates in MB/s."""
    longest = max(rate for _, rate in rates)
    height = ROW * (len(rates) + 1)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        '<text x="8" y="17" font-weight="bold">MB/s, memory to memory, medians of one run</text>',
    ]
    for number, (name, rate) in enumerate(rates, start=1):
        y = ROW * number
        length = (WIDTH - LABEL - VALUE) * rate / longest
        colour = "#2a6f97" if ": rtcsend" in name else "#a9b4bc"
        lines += [
            f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LABEL + length + 6:.1f}" y="{y + 14}">{rate:,.0f}</text>',
        ]
    return "\n".join((*lines, "</svg>", ""))


def rates_of(report: dict[str, Any]) -> list[tuple[str, float]]:
    """Return the rates among a report's figures."""
    return [
        (each["name"], each["median"])
        for each in report["figures"]
        if each["benchmark"] == "datapath" and each["unit"] == "MB/s"
    ]


if __name__ == "__main__":
    measured = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(sys.argv[2]).write_text(svg(rates_of(measured)), encoding="utf-8")
