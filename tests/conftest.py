"""What holds for all tests: the long ones go first, and not everything is measured for coverage."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from tests.coverage_files import drop_broken

ROOT: Final = Path(__file__).parent
LONG: Final = ("lab", "e2e", "coturn", "chromium", "no_cover")
"""Markers of tests that take long: most of them wait for real programs, or for real time."""
UNMEASURED: Final = (
    *("faults/", "interop/", "lab/", "e2e/test_hostile_", "e2e/test_lifetimes"),
    *("e2e/test_reconnection", "e2e/test_slow_receiver"),
)
"""Tests that move much by ways that others have measured: tracing would double their time."""
CHILDREN: Final = "COVERAGE_PROCESS_CONFIG"  # by which coverage measures the processes of a test

settings.register_profile(
    "tests",
    # No example is too slow on a busy machine, and each run of CI tries the same ones.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
    print_blob=True,
)
settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the tests of this process apart from all others, and get them their signals."""
    folder = _own_temporary_folder()
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    _take_signals()


def _own_temporary_folder() -> str:
    """Have no other test, nor anybody's rtcsend, announce a rendezvous where these look for one.

    Commands look in the folder of the runtime, which tests choose, and in the temporary one.
    """
    root = os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # of tmp_path
    folder = tempfile.mkdtemp(prefix="rtcsend-tests-", dir=root)
    Path(folder).chmod(0o711)  # tests that give up root go through it
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    return folder


def _take_signals() -> None:
    """Have what the tests start get its signals, though this process may ignore some of them.

    nohup ignores SIGHUP, and a shell without job control SIGINT and SIGQUIT in what it starts
    with ``&``; programs inherit that. What is caught here is at its default in them again.
    """
    if sys.platform == "win32":
        return
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long tests first, so that no worker is left with one when the others have ended."""
    for item in items:
        if _is_unmeasured(item):
            item.add_marker(pytest.mark.no_cover)
    items.sort(key=_length, reverse=True)  # stable: what shares a fixture stays together


def _is_unmeasured(item: pytest.Item) -> bool:
    path = item.path.relative_to(ROOT).as_posix()
    return path.startswith(UNMEASURED) or "[stock" in item.name


def _length(item: pytest.Item) -> int:
    return sum(item.get_closest_marker(name) is not None for name in LONG)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure also the processes of a test, or, as with the test itself, leave them alone."""
    config = None
    if item.get_closest_marker("no_cover") is not None:
        config = os.environ.pop(CHILDREN, None)
    try:
        return (yield)
    finally:
        if config is not None:
            os.environ[CHILDREN] = config


@pytest.hookimpl(wrapper=True, trylast=True)  # before coverage combines them
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Take away what processes wrote of their coverage when they were killed amid that."""
    result = yield
    if not hasattr(session.config, "workerinput"):
        drop_broken(session.config.rootpath / os.environ.get("COVERAGE_FILE", ".coverage"))
    return result
