"""docs/reliability.md claims no more than what the code tries."""

import re

import pytest

from tests.faults import __main__ as runner
from tests.faults.count import PAGE, counts, faults_of, table


def test_the_page_claims_no_more_than_is_tried() -> None:
    page = PAGE.read_text("utf-8")
    block = re.search(r"\| what is tried \| how many \|\n\|---\|---\|\n((?:\|.*\n)+)", page)
    assert block
    claimed = {
        what: int(count.replace(",", ""))
        for what, count in re.findall(r"^\| (.+) \| ([0-9,]+) \|$", block[1], re.MULTILINE)
    }
    counted = counts()
    assert claimed.keys() == counted.keys()
    for what, count in claimed.items():
        assert 0 < count <= counted[what], what


def test_rows_are_added_up_where_there_are_times() -> None:
    page = "| fault | times | so |\n|---|---|---|\n| a | 3 | x |\n| b | 10 | y |\n\n| c | 5 |\n"
    assert faults_of(page) == [3, 10]
    assert table({"a thing": 1234}).endswith("| a thing | 1,234 |")


def test_the_command_prints_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.faults.count.counts", lambda: {"a thing": 7})
    assert runner.main(["count"]) == 0
    assert capsys.readouterr().out.endswith("| a thing | 7 |\n")
