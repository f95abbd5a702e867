import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_server.exposition import Exposition
from signal_server.metrics import SIZE_BOUNDS, Counters, Histogram

ROOT = Path(__file__).parents[2]


def new(counters: Counters) -> Exposition:
    return Exposition(
        counters,
        census=lambda: {"waiting": 1, "paired": 2, "ended": 3},
        is_draining=lambda: True,
        is_available=lambda: True,
        version="1.2.3",
    )


def lines_of(counters: Counters) -> list[str]:
    return new(counters).render().decode().splitlines()


def names_of(counters: Counters) -> set[str]:
    """Return the names of all time series, those of the process apart."""
    series = {re.split(r"[{ ]", line)[0] for line in lines_of(counters) if line[0] != "#"}
    return {name for name in series if name.startswith("rtcsend_")}


@given(st.lists(st.floats(0, 100_000)))
def test_a_histogram_counts_every_value_once(values: list[float]) -> None:
    histogram = Histogram(SIZE_BOUNDS)
    for value in values:
        histogram.observe(value)
    assert sum(histogram.counts) == len(values)
    assert histogram.counts[0] == sum(value <= SIZE_BOUNDS[0] for value in values)
    assert histogram.counts[-1] == sum(value > SIZE_BOUNDS[-1] for value in values)


def test_what_was_counted_is_shown() -> None:
    counters = Counters()
    counters.opened()
    counters.opened()
    counters.paired(3.0)
    counters.paired(-0.1)
    counters.ended("away")
    counters.message(100)
    counters.message(50_000)
    counters.refused("not-found")
    counters.limited("failed_claims")
    counters.report("relayed")
    lines = lines_of(counters)
    for line in (
        "rtcsend_mailboxes_opened_total 2.0",
        "rtcsend_pairings_total 2.0",
        'rtcsend_pairing_wait_seconds_bucket{le="1.0"} 1.0',
        'rtcsend_pairing_wait_seconds_bucket{le="5.0"} 2.0',
        "rtcsend_pairing_wait_seconds_sum 3.0",
        'rtcsend_mailboxes_ended_total{outcome="away"} 1.0',
        'rtcsend_mailboxes_ended_total{outcome="released"} 0.0',
        'rtcsend_message_bytes_bucket{le="256.0"} 1.0',
        'rtcsend_message_bytes_bucket{le="+Inf"} 2.0',
        "rtcsend_message_bytes_count 2.0",
        'rtcsend_refusals_total{code="not-found"} 1.0',
        'rtcsend_limits_hit_total{limit="failed_claims"} 1.0',
        'rtcsend_reports_total{route="relayed"} 1.0',
        'rtcsend_mailboxes{state="paired"} 2.0',
        'rtcsend_build_info{protocol="1",version="1.2.3"} 1.0',
        "rtcsend_draining 1.0",
    ):
        assert line in lines


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/rtcsend.json").read_text())
    queries = [t["expr"] for panel in dashboard["panels"] for t in panel.get("targets", ())]
    used = {name for query in queries for name in re.findall(r"\brtcsend_\w+", query)}
    there = names_of(Counters())
    assert used
    assert used - there == set()
    # Nothing that is counted is left out.
    assert there - used - {name for name in there if name.endswith(("_created", "_sum"))} == set()


def test_the_alerts_look_at_what_there_is() -> None:
    """Each metric, and each label with its value: else none would ever fire."""
    text = (ROOT / "docs/operations.md").read_text()
    rules = [line for line in text.splitlines() if line.startswith("        expr: ")]
    selectors = [
        found for rule in rules for found in re.findall(r"\b(rtcsend_\w+)(?:{(.*?)})?", rule)
    ]
    assert len(rules) == 6
    assert len(selectors) == len(rules)  # one more in the last, and none of ours in the first
    there = lines_of(Counters())
    for name, labels in selectors:
        assert [
            line for line in there if line.startswith((f"{name} ", f"{name}{{")) and labels in line
        ]


PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool (apt install prometheus)")
def test_prometheus_understands_alerts_and_metrics(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    text = (ROOT / "docs/operations.md").read_text()
    rules = tmp_path / "rules.yaml"
    rules.write_text(text.partition("```yaml\n")[2].partition("```")[0])
    subprocess.run([PROMTOOL, "check", "rules", str(rules)], check=True)
    exposed = new(Counters()).render()
    subprocess.run([PROMTOOL, "check", "metrics"], input=exposed, check=True)


def test_the_documentation_names_every_metric() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    documented = set(re.findall(r"`(rtcsend_\w+)`", text))
    suffixes = ("_bucket", "_count", "_sum")
    there = {re.sub("|".join(f"{end}$" for end in suffixes), "", n) for n in names_of(Counters())}
    assert {name for name in there if not name.endswith("_created")} == documented
