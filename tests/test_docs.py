"""The pages point to what is there: files, headings, modules. One of them names all modules."""

import re
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

from tests.test_layering import ROOT, STAGES, files, relative

PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PROGRAMS = [relative(path) for path in files("rtcsend", "signal_server", "tests", "benchmarks")]


def prose_of(page: Path) -> str:
    """Return a page without its blocks of code, in which a bracket is no link."""
    return re.sub(r"^ {4}.*$|`[^`\n]*`", "", without_fences(page), flags=re.M)


def without_fences(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


@cache
def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub and others give to the headings of a page."""
    anchors: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", without_fences(page), re.M):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        same = [anchor for anchor in anchors if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", anchor)]
        anchors.add(f"{slug}-{len(same)}" if same else slug)
    return anchors


LINKS = sorted(
    (page.name, link)
    for page in PAGES
    for link in set(re.findall(r"!?\[[^]]*\]\(([^)\s]+)\)", prose_of(page)))
    if not re.match(r"[a-z]+:", link)
)


def test_there_are_links() -> None:
    assert len(LINKS) > 60
    assert ("README.md", "docs/cli.md#known-machines") in LINKS
    assert "rules-that-keep-it-readable" in anchors_of(ROOT / "docs" / "architecture.md")


@pytest.mark.parametrize(("name", "link"), LINKS, ids=" ".join)
def test_a_link_leads_somewhere(name: str, link: str) -> None:
    page = next(page for page in PAGES if page.name == name)
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    assert target.exists(), link
    if anchor:
        assert anchor in anchors_of(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_programs_that_are_named_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = {word.lstrip("./") for word in re.findall(r"[\w*/.-]+\.py\b", text)}
    missing = {
        name
        for name in named
        if not any(fnmatch(f"/{path}", f"*/{name}") for path in PROGRAMS)
        and not (ROOT / name).exists()
    }
    assert missing == set()


@pytest.mark.parametrize("side", ["S", "R"])
def test_the_way_of_a_file_is_that_of_the_stages(side: str) -> None:
    drawn = re.findall(rf"\b{side}\d\[(\w+)\]", ARCHITECTURE)
    assert drawn == [stage for stage in STAGES if stage in drawn]
    assert len(drawn) == 7


def test_every_stage_is_in_the_table_in_its_order() -> None:
    rows = re.findall(r"^\| `(\w+)/` \|", ARCHITECTURE, re.M)
    assert [row for row in rows if row in STAGES] == list(STAGES)


def test_every_module_of_the_package_and_of_the_server_is_named() -> None:
    unnamed = {
        path
        for path in PROGRAMS
        if re.fullmatch(r"(rtcsend|signal_server)/[a-z]\w+\.py", path)
        and not re.search(rf"`[\w/]*\b{re.escape(Path(path).name)}`", ARCHITECTURE)
    }
    assert unnamed == set()


def test_the_figures_of_the_readme_are_those_that_were_measured() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    measured = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    row = re.search(r"^\| 1 GB.*\| (\d+); (\d+) MB/s \| [^|]+ \| (\d+); (\d+) MB/s", readme, re.M)
    assert row is not None
    for ours, theirs in ((row[1], row[3]), (row[2], row[4])):
        assert f"({ours} and {theirs} MB/s)" in measured
    said = re.search(r"loss ([\d.]+) MB/s: .* gets ([\d.]+) .* BBR ([\d.]+)", readme)
    assert said is not None
    assert f"| 100 ms, 1 % | {said[1]} | {said[3]} | {said[2]} |" in measured
