from pathlib import Path

import pytest
from coverage import CoverageData

from tests.coverage_files import drop_broken

PAGE = 4096  # bytes


def data_file(path: Path) -> bytes:
    """Write one as a process does; return what is in it."""
    data = CoverageData(str(path))
    for number in range(200):
        data.add_arcs({f"/long/enough/for/many/pages/{number}.py": [(1, 2), (2, -1)]})
    data.close()
    return path.read_bytes()


def test_what_is_whole_stays(tmp_path: Path) -> None:
    content = data_file(tmp_path / ".coverage.one")
    (tmp_path / ".coverage").write_text("of another run")
    assert drop_broken(tmp_path / ".coverage") == []
    assert (tmp_path / ".coverage.one").read_bytes() == content


@pytest.mark.parametrize("pages", [0, 1, 3, 8, 12, -1])
def test_what_was_cut_off_goes(tmp_path: Path, pages: int) -> None:
    whole, broken = tmp_path / ".coverage.whole", tmp_path / ".coverage.broken"
    content = data_file(whole)
    broken.write_bytes(content[: pages * PAGE])
    assert drop_broken(tmp_path / ".coverage") == [broken]
    assert [path.name for path in tmp_path.iterdir()] == [whole.name]


def test_pages_that_were_never_written(tmp_path: Path) -> None:
    broken = tmp_path / ".coverage.broken"
    content = data_file(broken)
    assert len(content) > 12 * PAGE
    broken.write_bytes(content[: 11 * PAGE] + bytes(len(content) - 11 * PAGE))
    assert drop_broken(tmp_path / ".coverage") == [broken]
