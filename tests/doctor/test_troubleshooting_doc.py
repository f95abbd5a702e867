"""docs/troubleshooting.md has every word that the doctor says to programs."""

import re
from pathlib import Path

import pytest

from rtcsend.doctor.allocation import Refusal
from rtcsend.doctor.conclusion import Filtering, Mapping
from tests.test_layering import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
SOURCES = "".join(
    path.read_text(encoding="utf-8") for path in Path(ROOT, "rtcsend/doctor").glob("*.py")
)
REASONS = {
    *re.findall(r'\breason="([a-z-]+)"', SOURCES),
    *re.findall(r'Error, "([a-z-]+)"\)', SOURCES),  # the table of reasons.py
    *re.findall(r'Refused\("([a-z-]+)"', SOURCES),
}
CHECKS = set(re.findall(r'\b(?:check|_tell|_failed)[=(]"([a-z0-9-]+)"', SOURCES))


def test_there_is_something_to_look_for() -> None:
    assert {"name", "no-route", "timeout", "certificate", "unreachable"} <= REASONS
    assert {"mtu", "dns", "binding", "mapping", "welcome", "throughput"} <= CHECKS


@pytest.mark.parametrize(
    "word",
    sorted(
        {one.value for one in (*Mapping, *Filtering)}
        | {one.value for one in Refusal if one is not Refusal.OTHER}
        | REASONS
    ),
)
def test_words_are_on_the_page(word: str) -> None:
    assert f"`{word}`" in PAGE


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_checks_are_on_the_page(check: str) -> None:
    assert f"(`{check}`" in PAGE or f"`{check}`" in PAGE
