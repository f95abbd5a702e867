import io
from collections.abc import Callable
from pathlib import Path

import pytest

from rtcsend.cli import engine
from tests.cli.fake_engine import LOADERS, FakeEngine, Scenario

Play = Callable[[Scenario], FakeEngine]


@pytest.fixture(autouse=True)
def _clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "no-configuration"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    for name in ("RTCSEND_SERVER", "RTCSEND_CODE", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    """Return a function that puts an engine with a scenario in the place of the real one."""

    def put(scenario: Scenario) -> FakeEngine:
        fake = FakeEngine(scenario)
        for name in LOADERS:
            monkeypatch.setattr(engine, name, lambda: fake)
        return fake

    return put


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.iso"
    path.write_bytes(b"a film")
    return path
