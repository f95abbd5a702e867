"""Known machines by the Python API, both in one process, with keys of their own."""

import asyncio
from pathlib import Path

import pytest

import rtcsend
from rtcsend.errors import UsageError
from tests.e2e.processes import random_file
from tests.known.pairs import acquaint, private_runtime, store_in

pytestmark = pytest.mark.e2e


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file, on a machine that knows itself under two names, by two keys."""
    for name, value in private_runtime(tmp_path / "run").items():
        monkeypatch.setenv(name, value)
    return random_file(tmp_path / "film.iso", 300_000)


def live_on(machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / machine))


async def test_a_file_goes_to_a_known_machine(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desktop, laptop = store_in(tmp_path / "desktop"), store_in(tmp_path / "laptop")
    acquaint(desktop, "laptop", laptop)
    acquaint(laptop, "desktop", desktop)
    out = tmp_path / "out"
    out.mkdir()
    live_on("desktop", tmp_path, monkeypatch)
    async with rtcsend.Sender([film], to="laptop") as sender:
        assert sender.code == ""
        live_on("laptop", tmp_path, monkeypatch)
        async with asyncio.timeout(90):
            done = await rtcsend.receive(
                from_="desktop", into=out, accept=lambda proposal: proposal.sender == "desktop"
            )
            assert (await sender.wait()).blake3 == done.blake3
    assert done.paths == (str(out / "film.iso"),)


async def test_contradictions(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live_on("desktop", tmp_path, monkeypatch)
    with pytest.raises(UsageError, match="no known machine"):
        async with rtcsend.Sender([film], to="nobody"):
            pass
    with pytest.raises(UsageError, match="needs no code"):
        rtcsend.Sender([film], to="laptop", code="7-guitar-velvet")
    for arguments in ({}, {"code": "7-guitar-velvet", "from_": "desktop"}):
        with pytest.raises(UsageError, match="Either a code or a known machine"):
            await rtcsend.receive(accept=lambda _: True, **arguments)  # type: ignore[arg-type]
