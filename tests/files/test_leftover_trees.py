"""Staging folders that no run of ours has made, wherever they came from."""

import json
import os
from pathlib import Path

import pytest

from rtcsend.files.folder import Folder
from rtcsend.files.leftover_trees import leftover_trees
from rtcsend.files.paths import MAX_DEPTH
from rtcsend.files.staging import TREE_JOURNAL, bytes_staged

MANIFEST = "0" * 64
JOURNAL = {
    "rtcsend-tree": 1,
    "manifest": MANIFEST,
    "name": "a",
    "tops": 1,
    "files": 1,
    "bytes": 1,
    "time": 1,
}


def staged(folder: Path, *, levels: int) -> None:
    """Make a staging folder with folders in one another, and a file in the last."""
    staging = folder / ".a.rtcsend-partial"
    staging.mkdir()
    (staging / TREE_JOURNAL).write_text(json.dumps(JOURNAL))
    fd = os.open(staging, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    file = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
    os.write(file, bytes(8192))
    os.close(file)
    os.close(fd)


@pytest.mark.parametrize(("levels", "found"), [(MAX_DEPTH - 1, 1), (MAX_DEPTH + 1, 0)])
def test_as_deep_as_ours_and_deeper(tmp_path: Path, levels: int, found: int) -> None:
    staged(tmp_path, levels=levels)
    with Folder(tmp_path) as folder:
        assert len(list(leftover_trees(folder))) == found


@pytest.mark.parametrize(("levels", "counts"), [(MAX_DEPTH - 1, True), (MAX_DEPTH + 1, False)])
def test_what_is_too_deep_takes_no_known_space(tmp_path: Path, levels: int, counts: bool) -> None:
    staged(tmp_path, levels=levels)
    with Folder(tmp_path) as folder:
        assert (bytes_staged(folder, MANIFEST) > 0) == counts
