"""What a real transfer leaves in its log, in its trace and with the other side, searched."""

import ipaddress
import json
import os
import re
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rtcsend.options import DATAPATH_VARIABLE
from tests.e2e.processes import Machine, Side, random_file
from tests.fakes.coturn import Coturn, require_coturn

pytestmark = [pytest.mark.e2e, pytest.mark.coturn]

CODE = "77-guitar-velvet"
SECRET = b"the content that nobody else may read, "
_ADDRESS_LIKE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f]*")


class Left(NamedTuple):
    """What one side has left behind."""

    log: str
    trace: str
    steps: list[dict[str, Any]]


class Transfer(NamedTuple):
    """A transfer that has succeeded, and what must be found nowhere."""

    sender: Left
    receiver: Left
    secrets: dict[str, str]


@pytest.fixture
async def coturn(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Coturn]:
    require_coturn()
    async with Coturn(tmp_path_factory.mktemp("coturn")) as server:
        yield server


async def transfer(machine: Machine, coturn: Coturn, *options: str) -> Transfer:
    """Send a file by a relay, both sides with a log and a trace."""
    machine.env |= coturn.environment
    film = machine.folder / "secret-plans.txt"
    film.write_bytes(SECRET * 5_000)
    url = coturn.ice_url("tls")
    common = ("--ice", url, "--relay-only", *options)
    async with machine.server() as (_, server):
        common += ("--server", server)
        async with machine.send(film, "--code", CODE, "--trace", "s.trace", *common) as sender:
            await sender.code()
            command = (CODE, "-o", "copy", "--trace", "r.trace", *common)
            async with machine.receive(*command) as receiver:
                await receiver.succeeds()
                await sender.succeeds()
    user, password = url.partition(":")[2].rpartition("@")[0].split(":")
    paired = await sender.event("paired")
    words = CODE.split("-")[1:]
    return Transfer(
        left(machine, sender, "s.trace"),
        left(machine, receiver, "r.trace"),
        {
            **{f"word {number}": word for number, word in enumerate(words)},
            "user": urllib.parse.unquote(user),
            "password": urllib.parse.unquote(password),
            "password as typed": password,
            "verification": paired["verification"],
            "content": SECRET[:12].decode(),
            "name": film.name,
            "folder": str(machine.folder),
        },
    )


def left(machine: Machine, side: Side, trace: str) -> Left:
    path = machine.folder / trace
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    return Left(side.stderr, text, [json.loads(line) for line in text.splitlines()])


def read(path: Path) -> str:
    return path.read_text()


def addresses(text: str) -> set[str]:
    found = set()
    for match in _ADDRESS_LIKE.finditer(text):
        try:
            found.add(str(ipaddress.ip_address(match[0].removesuffix(":"))))
        except ValueError:
            continue
    return found


def secrets_in(text: str, secrets: dict[str, str]) -> set[str]:
    return {name for name, secret in secrets.items() if secret in text}


async def test_neither_secrets_nor_addresses(machine: Machine, coturn: Coturn) -> None:
    done = await transfer(machine, coturn, "-v")
    for side in (done.sender, done.receiver):
        assert addresses(side.trace) == addresses(side.log) == set()
        assert secrets_in(side.trace, done.secrets) == set()
        # What is saved where is what a log is for; file names are no secret to who runs it.
        assert secrets_in(side.log, done.secrets) - {"name", "folder"} == set()
        steps = {step["step"] for step in side.steps}
        assert {
            *("start", "rendezvous-open", "pairing", "hello", "gather", "candidate"),
            *("gathered", "check", "nominated", "dtls", "sctp", "connected"),
            *("first-byte", "done", "end"),
        } <= steps
        is_stock = os.environ.get(DATAPATH_VARIABLE) == "stock"
        assert ("path-mtu" in steps) is not is_stock, "plain aiortc does not look for it"
        assert side.steps[-1]["exit"] == 0
        (gathered,) = [step for step in side.steps if step["step"] == "gather"][:1]
        assert (gathered["kind"], gathered["protocol"], gathered["result"]) == ("turn", "tls", "ok")
        times = [step["t"] for step in side.steps]
        assert times == sorted(times)


async def test_addresses_where_they_are_asked_for(machine: Machine, coturn: Coturn) -> None:
    done = await transfer(machine, coturn, "-vv", "--trace-addresses")
    for side in (done.sender, done.receiver):
        assert addresses(side.trace) == {"127.0.0.1", "0.0.0.0"}
        assert "127.0.0.1" in addresses(side.log)
        assert secrets_in(side.trace + side.log, done.secrets) - {"name", "folder"} == set()
        # Only relays are allowed: nothing is told of this machine, and nothing of the other one.
        candidates = [step for step in side.steps if step["step"] == "candidate"]
        assert {step["direction"] for step in candidates} == {"sent", "received"}
        assert {step["type"] for step in candidates} == {"relay"}
        assert {step["related"] for step in candidates} == {"0.0.0.0:9"}


async def test_a_log_of_a_search_for_nothing(machine: Machine) -> None:
    note = random_file(machine.folder / "note", 10)
    server = ("--server", "ws://127.0.0.1:9", "-v", "--trace", "trace")
    async with machine.send(note, *server) as sender:
        await sender.fails("rendezvous-unreachable")
    text = sender.stderr + read(machine.folder / "trace")
    assert addresses(text) == set()
    assert '"step": "end", "exit": 10, "error": "rendezvous-unreachable"' in text
