"""What processes wrote of their coverage: a test may end one amid that.

Such a file is none to coverage, which says so when it combines them; or it begins well and ends
anywhere, on which combining fails, and with it the whole run, though all tests have passed.
"""

import sqlite3
from contextlib import closing
from pathlib import Path


def drop_broken(data_file: Path) -> list[Path]:
    """Delete those files beside ``data_file`` that nobody can read to their end; return which."""
    broken = [path for path in data_file.parent.glob(f"{data_file.name}.*") if not _is_whole(path)]
    for path in broken:
        path.unlink(missing_ok=True)
    return broken


def _is_whole(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            versions = database.execute("SELECT version FROM coverage_schema").fetchall()
            return bool(versions) and database.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    except sqlite3.Error:
        return False
