"""What a command does not import: half of the time that a short one takes is importing."""

import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from rtcsend.options import DATAPATH_VARIABLE, STOCK
from tests.e2e.processes import Machine, Side, random_file

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.no_cover,  # what measures coverage imports modules of its own
]

OTHER_COMMANDS = {
    f"rtcsend.cli.{name}"
    for name in ("bench", "clean", "config", "demo", "doctor", "manual", "pair", "peers", "serve")
}
SENDING = {
    *("rtcsend.cli.send", "rtcsend.sending", "rtcsend.sources", "rtcsend.files.source"),
    *("rtcsend.transfer.sending", "rtcsend.transfer.sender", "rtcsend.rendezvous.embedded"),
    "signal_server",
}
RECEIVING = {
    *("rtcsend.cli.receive", "rtcsend.receiving", "rtcsend.target", "rtcsend.files.sink"),
    *("rtcsend.transfer.receiving", "rtcsend.transfer.receiver"),
}
SELDOM = {
    # Known machines, several receivers, folders, patterns, a configuration, what moves on a screen.
    *("rtcsend.known.store", "rtcsend.meeting.by_keys", "rtcsend.pairing.known"),
    *("rtcsend.serving", "rtcsend.files.shared_source", "rtcsend.listening"),
    *("rtcsend.files.scan", "rtcsend.tree_sources", "rtcsend.tree_decision"),
    *("rtcsend.files.tree_sink", "pathspec", "tomllib", "rich", "segno"),
    # Other ways to the other side: through proxies, in the LAN, by names of mDNS.
    *("http.client", "urllib.request", "zeroconf", "dns.message", "dns.zone"),
    # Media, metrics, another store.
    *("av", "aiortc.codecs", "aiortc.rtcpeerconnection", "prometheus_client", "redis"),
    *("email.message", "importlib.metadata", "multiprocessing"),
}


def other_data_path() -> set[str]:
    """Return what only plain aiortc's data path needs, unless these tests run on it."""
    is_stock = os.environ.get(DATAPATH_VARIABLE) == STOCK
    return set() if is_stock else {"aiortc.rtcsctptransport", "rtcsend.datapath.stock"}


def running(
    machine: Machine, *arguments: str | Path, into: Path
) -> AbstractAsyncContextManager[Side]:
    env = {"IMPORTED_FILE": str(into)}
    return machine.run(*arguments, module="tests.e2e.imported", env=env)


def of(path: Path, unwanted: set[str]) -> set[str]:
    """Return what was imported of that; a package stands for all that is in it."""
    names = path.read_text().split()
    assert "rtcsend.cli.main" in names
    return {name for name in names if any(f"{name}.".startswith(f"{each}.") for each in unwanted)}


@pytest.mark.parametrize(
    ("command", "unwanted"), [("send", RECEIVING), ("receive", SENDING), ("doctor", SENDING)]
)
async def test_help_of_one_command(machine: Machine, command: str, unwanted: set[str]) -> None:
    modules = machine.folder / "modules.txt"
    async with running(machine, command, "--help", into=modules) as side:
        assert await side.exit() == 0
    other = (OTHER_COMMANDS | unwanted) - {f"rtcsend.cli.{command}"}
    assert of(modules, other | SELDOM | {"aiortc", "websockets", "cryptography"}) == set()
    assert of(modules, {f"rtcsend.cli.{command}"})


async def test_a_file_by_a_code(machine: Machine, out: Path) -> None:
    source = random_file(machine.folder / "film.iso", 1_000)
    sent, received = machine.folder / "sent.txt", machine.folder / "received.txt"
    async with running(machine, "send", "--json", source, into=sent) as sender:
        command = ("receive", "--json", "-y", "-o", out, await sender.code())
        async with running(machine, *command, into=received) as receiver:
            assert (await receiver.exit(), await sender.exit()) == (0, 0)
    seldom = SELDOM | other_data_path()
    assert of(sent, OTHER_COMMANDS | RECEIVING | seldom) == set()
    assert of(received, OTHER_COMMANDS | SENDING | seldom) == set()
    assert of(sent, {"aiortc.rtcdtlstransport"})
    assert of(received, {"aiortc.rtcdtlstransport"})


async def test_a_sender_with_a_server_has_none_of_its_own(
    machine: Machine, rendezvous: str
) -> None:
    source = random_file(machine.folder / "film.iso", 1_000)
    modules = machine.folder / "modules.txt"
    command = ("send", "--json", "--server", rendezvous, "--timeout", "0.1", source)
    async with running(machine, *command, into=modules) as sender:
        await sender.fails("peer-never-came")
    assert of(modules, {"signal_server", "rtcsend.rendezvous.embedded"}) == set()
