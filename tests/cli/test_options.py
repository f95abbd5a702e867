import io
import logging
from collections.abc import Iterator

import pytest

from rtcsend.cli.options import conflict_policy, set_up_logging
from rtcsend.errors import UsageError
from rtcsend.options import Conflict


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("rtcsend")
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield logger
    logger.handlers[:], level, logger.propagate = before
    logger.setLevel(level)


@pytest.mark.parametrize(
    ("verbosity", "shown"), [(0, []), (1, ["info"]), (2, ["info", "debug"]), (3, ["info", "debug"])]
)
def test_verbosity(
    verbosity: int, shown: list[str], logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_logging(verbosity)
    set_up_logging(verbosity)  # a second time changes nothing
    stderr = io.StringIO()
    monkeypatch.setattr("sys.stderr", stderr)  # as rich does while a line moves
    logging.getLogger("rtcsend.peer").info("info")
    logging.getLogger("rtcsend.peer").debug("debug")
    logging.getLogger("aioice").info("never: it may hold credentials")
    lines = [line.rpartition(" ")[2] for line in stderr.getvalue().splitlines()]
    assert lines == shown
    if verbosity == 0:
        assert logger.level == logging.NOTSET


@pytest.mark.parametrize(
    ("chosen", "policy"),
    [
        ("", Conflict.ASK),
        ("overwrite", Conflict.OVERWRITE),
        ("rename", Conflict.RENAME),
        ("skip", Conflict.SKIP),
    ],
)
def test_conflict_policy(chosen: str, policy: Conflict) -> None:
    flags = {name: name == chosen for name in ("overwrite", "rename", "skip")}
    assert conflict_policy(**flags) is policy


def test_conflict_policies_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="--overwrite and --rename and --skip exclude"):
        conflict_policy(overwrite=True, rename=True, skip=True)
