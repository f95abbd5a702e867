"""What all tests of the files stage are held to, and the means they share."""

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

NOBODY = 65534  # the traditional number of a user that owns nothing


def open_descriptors() -> set[tuple[str, str]]:
    """Return this process's descriptors and what they are, as far as the system tells."""
    listing = Path("/proc/self/fd")
    found = set()
    for entry in list(listing.iterdir()) if listing.exists() else ():
        try:
            found.add((entry.name, str(entry.readlink())))
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    return found


@pytest.fixture(autouse=True)
def _nothing_is_left_open() -> Iterator[None]:
    descriptors, threads = open_descriptors(), set(threading.enumerate())
    yield
    assert open_descriptors() == descriptors
    assert set(threading.enumerate()) == threads


@pytest.fixture
def unprivileged() -> Callable[[], AbstractContextManager[None]]:
    """Within it permissions count also for root, in all threads of the process."""

    @contextmanager
    def drop() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)

    return drop


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that everybody can reach; ``tmp_path`` is private to its owner."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
