"""docs/reliability.md against the code: its drawing is the table, its numbers are the code's."""

import re
from pathlib import Path

import pytest

from rtcsend.blocks import BLOCK_SIZE, MAX_BLOCKS
from rtcsend.events import Event
from rtcsend.files.journal_file import journal_name
from rtcsend.files.paths import partial_name
from rtcsend.life import LIFE, WITHIN, Phase, phase_after, phase_of, phases_of
from rtcsend.options import DEFAULT_TIMEOUT
from rtcsend.transfer.liveness import SILENCE_LIMIT
from rtcsend.transfer.movement import CHECK_INTERVAL, CRAWL_TIME, STALLED_AFTER
from tests.cli.test_docs import event_classes

PAGE = (Path(__file__).parent.parent / "docs" / "reliability.md").read_text("utf-8")
FINAL = {Phase.DONE, Phase.FAILED}


def test_the_drawing_is_the_table() -> None:
    diagram = re.search(r"```mermaid\nstateDiagram-v2\n(.*?)```", PAGE, re.DOTALL)
    assert diagram
    drawn = re.findall(r"^ +([A-Z]+) --> ([A-Z]+): (\w+)$", diagram[1], re.MULTILINE)
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == {
        (phase.name, following.name, event) for (phase, event), following in LIFE.items()
    }
    ends = re.findall(r"^ +([A-Z]+) --> \[\*\]$", diagram[1], re.MULTILINE)
    assert set(ends) == {phase.name for phase in FINAL}


def test_the_table_knows_all_events() -> None:
    events = {cls.name for cls in event_classes() if cls.__module__ == Event.__module__}
    assert {event for _, event in LIFE} | set().union(*WITHIN.values()) == events


def test_every_phase_can_be_reached_and_all_but_two_be_left() -> None:
    assert set(LIFE.values()) | {Phase.MEETING} == set(Phase)
    assert {phase for phase, _ in LIFE} == set(Phase) - FINAL
    assert set(WITHIN) == set(Phase)


@pytest.mark.parametrize(
    ("events", "phase"),
    [
        ("code paired", Phase.MEETING),
        ("paired connected proposal progress", Phase.RUNNING),
        ("paired connected progress stalled stalled", Phase.STALLED),
        ("paired connected stalled progress", Phase.RUNNING),
        ("paired connected reconnecting reconnecting", Phase.RECONNECTING),
        ("paired connected reconnecting connected resumed progress done", Phase.DONE),
        ("error", Phase.FAILED),
    ],
)
def test_lives(events: str, phase: Phase) -> None:
    assert phase_of(events.split()) is phase


@pytest.mark.parametrize(
    "events",
    [
        "progress",
        "reconnecting",
        "connected connected",
        "connected reconnecting resumed",
        "connected done progress",
        "connected done done",
        "error connected",
        "connected of-a-later-version",
    ],
)
def test_what_is_no_life(events: str) -> None:
    with pytest.raises(ValueError, match="there is no event"):
        phase_of(events.split())


def test_each_of_several_receivers_has_a_life_of_its_own() -> None:
    one = [(1, name) for name in ("paired", "connected", "progress", "done")]
    two = [(2, name) for name in ("paired", "connected", "error")]
    assert phases_of([(None, "code"), *one, *two, (None, "error")]) == {
        None: Phase.FAILED,
        1: Phase.DONE,
        2: Phase.FAILED,
    }
    assert phases_of([(None, "code"), *one, (None, "done")])[None] is Phase.DONE
    with pytest.raises(ValueError, match="there is no event"):
        phases_of([(None, "code"), *two, (None, "done")])
    with pytest.raises(ValueError, match="there is no event"):
        phases_of([(None, "code"), *one, (1, "progress")])


def test_what_changes_a_phase_is_not_also_within_it() -> None:
    for phase, event in LIFE:
        assert event not in WITHIN[phase]
        assert phase_after(phase, event) is LIFE[phase, event]


@pytest.mark.parametrize(
    ("sentence", "holds"),
    [
        ("blocks of 1 MiB", BLOCK_SIZE == 1 << 20),
        ("over 256 GiB", BLOCK_SIZE * MAX_BLOCKS == 256 << 30),
        ("Within 5 s", STALLED_AFTER + CHECK_INTERVAL < 5),
        ("after 9 s of silence", SILENCE_LIMIT == 9),
        ("after 120 s of its turn", CRAWL_TIME == 120),
        ("an hour", DEFAULT_TIMEOUT == 3600),
    ],
)
def test_numbers(sentence: str, *, holds: bool) -> None:
    assert sentence in " ".join(PAGE.split())
    assert holds


def test_names_of_what_is_kept() -> None:
    partial = partial_name("film.iso", tag="")
    assert f"`{partial}`" in PAGE
    assert f"`{journal_name(partial)}`" in PAGE
