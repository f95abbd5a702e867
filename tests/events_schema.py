"""docs/events.schema.json, held against lines of ``--json``: more strictly than readers need it.

Readers must take events and fields that they do not know; our own output has none that is not
in the schema.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator

SCHEMA: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "docs" / "events.schema.json").read_text(encoding="utf-8")
)


@functools.cache
def validator() -> Draft202012Validator:
    """Return what checks a line, parsed."""
    Draft202012Validator.check_schema(SCHEMA)
    return Draft202012Validator(SCHEMA)


def check_event(event: Mapping[str, Any]) -> None:
    """Fail if a line of ours is not as the schema says, or has more than it says."""
    validator().validate(event)
    assert event["event"] in SCHEMA["$defs"], event
    names = [name for name in event if name not in ("receiver", "visit")]  # of any
    assert names == list(SCHEMA["$defs"][event["event"]]["properties"]), event
