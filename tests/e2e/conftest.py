import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rtcsend.options import DATAPATH_VARIABLE
from signal_server.config import ServerConfig
from signal_server.server import RendezvousServer
from tests.e2e.forks import forking
from tests.e2e.hostile.victims import ForkServer
from tests.e2e.processes import FOR_COMMANDS, Machine


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked so once over our own data path, and once over plain aiortc's."""
    if metafunc.definition.get_closest_marker("datapaths") is not None:
        metafunc.parametrize("datapath", ["own", "stock"], indirect=True)


@pytest.fixture(autouse=True)
def datapath(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose the data path of this process, and of those that it starts.

    A hostile peer is in this process, and breaks rules by our own association, whatever the
    commands run on.
    """
    path = getattr(request, "param", None)
    if path == "stock":
        monkeypatch.setenv(DATAPATH_VARIABLE, path)
    elif path == "own":
        monkeypatch.delenv(DATAPATH_VARIABLE, raising=False)
    is_hostile = request.node.get_closest_marker("hostile") is not None
    if is_hostile and (chosen := os.environ.get(DATAPATH_VARIABLE)) is not None:
        monkeypatch.delenv(DATAPATH_VARIABLE)
        monkeypatch.setitem(FOR_COMMANDS, DATAPATH_VARIABLE, chosen)


@pytest.fixture
def machine(tmp_path: Path, forks: ForkServer) -> Iterator[Machine]:
    machine = Machine(tmp_path, forks)
    yield machine
    machine.check()


@pytest.fixture
def out(machine: Machine) -> Path:
    """The folder for what is received."""
    folder = machine.folder / "out"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """Starts commands quickly, for all tests of this process."""
    path = tmp_path_factory.mktemp("forks") / "socket"
    with forking(path):
        yield ForkServer(path)


@pytest.fixture
async def rendezvous() -> AsyncIterator[str]:
    """The URL of a rendezvous in the test's own process."""
    async with RendezvousServer(ServerConfig(host="127.0.0.1", port=0)) as server:
        yield f"ws://127.0.0.1:{server.port}/v1"
