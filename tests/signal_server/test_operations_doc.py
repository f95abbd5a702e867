"""docs/operations.md names every setting and every limit, with its default."""

import re
from dataclasses import fields
from pathlib import Path

from typer.main import get_command

from signal_server.cli import app
from signal_server.limits import Limits
from signal_server.settings import SETTINGS

TEXT = (Path(__file__).parents[2] / "docs/operations.md").read_text()


def table_after(heading: str) -> list[list[str]]:
    """Return the cells of the first table behind a heading, without its head."""
    lines = TEXT.partition(f"\n{heading}\n")[2].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_every_limit_with_its_default() -> None:
    documented = {row[0].strip("`"): float(row[1]) for row in table_after("### Limits")}
    limits = Limits()
    assert documented == {field.name: getattr(limits, field.name) for field in fields(Limits)}


def test_every_setting_and_its_option() -> None:
    rows = table_after("## Configuration")
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(names) == sorted(SETTINGS)
    documented = {name for row in rows for name in re.findall(r"--[a-z-]+", row[1])}
    there = {name for option in get_command(app).params for name in option.opts}
    others = {"--config", "--check-config", "--limit", "-v"}
    assert documented == there - others
