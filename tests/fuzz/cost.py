"""What a decoder costs: lines of Python that it runs, and memory that it takes at most.

Lines rather than seconds, since a busy machine must not fail a test. What is done in C within
one line (a regular expression that goes back and forth) counts for nothing here: the time limit
of all tests is the net for it.
"""

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import TypeAlias

TraceFunction: TypeAlias = Callable[[FrameType, str, object], "TraceFunction"]


def lines_run(job: Callable[[], object]) -> int:
    """Return how many lines of Python the job ran."""
    count = 0

    def on_event(_frame: FrameType, event: str, _argument: object) -> TraceFunction:
        nonlocal count
        count += event == "line"
        return on_event

    before = sys.gettrace()
    sys.settrace(on_event)
    try:
        job()
    finally:
        sys.settrace(before)
    return count


def peak_memory(job: Callable[[], object]) -> int:
    """Return the bytes that the job held at most, beyond what there was before."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        job()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - before
