"""The rendezvous server as operators run it, and two sides that use it."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.processes import Machine, listing, random_file
from tests.fakes.coturn import Coturn, require_coturn

pytestmark = pytest.mark.e2e


@pytest.fixture
def note(machine: Machine) -> Path:
    return random_file(machine.folder / "note.txt", 100_000)


@pytest.fixture
def out(machine: Machine) -> Path:
    folder = machine.folder / "out"
    folder.mkdir()
    return folder


@pytest.fixture
async def coturn(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Coturn]:
    require_coturn()
    async with Coturn(tmp_path_factory.mktemp("coturn")) as server:
        yield server


@pytest.mark.coturn
async def test_a_relay_with_credentials_for_one_transfer(
    machine: Machine, coturn: Coturn, note: Path, out: Path
) -> None:
    secret = machine.folder / "secret"
    secret.write_text(coturn._secret)
    options = (
        "--turn",
        f"turn:127.0.0.1:{coturn._port}?transport=udp",
        "--turn-secret-file",
        str(secret),
    )
    async with machine.server(*options) as (_, url):
        where = ("--server", url, "--relay-only")
        async with machine.send(note, *where) as sender:
            async with machine.receive(await sender.code(), "-o", out, *where) as receiver:
                for side in (sender, receiver):
                    await side.succeeds()
                    assert (await side.event("connected"))["route"] == "relay"
        metrics = await fetch(url, "/metrics")
    assert listing(out) == [note.name]
    assert len(coturn.sessions()) == 2
    # Each client had a user name of its own.
    assert len(set(re.findall(r"user <(\d+:[^>]+)>", coturn.log))) == 2
    assert 'rtcsend_reports_total{route="relayed"} 2.0' in metrics


@pytest.mark.parametrize(("end", "status"), [(signal.SIGTERM, 0), (signal.SIGKILL, -9)])
async def test_a_code_outlives_a_restart_of_the_server(
    machine: Machine, note: Path, out: Path, end: signal.Signals, status: int
) -> None:
    async with machine.server() as (first, url):
        port = int(url.rpartition(":")[2])
        async with machine.send(note, "--server", url) as sender:
            code = await sender.code()
            first.signal(end)
            assert await first.exit() == status
            async with machine.server(port=port):
                # The sender comes back by itself; then its nameplate is there again.
                await somebody_waits(url)
                async with machine.receive(code, "-o", out, "--server", url) as receiver:
                    await receiver.succeeds()
                    await sender.succeeds()
    assert listing(out) == [note.name]


async def test_a_transfer_outlives_a_restart_of_the_server(machine: Machine, out: Path) -> None:
    film = random_file(machine.folder / "film.iso", 3_000_000)
    async with machine.server("--drain-seconds", "0") as (first, url):
        port = int(url.rpartition(":")[2])
        async with machine.send(film, "--server", url, "--limit", "1M") as sender:
            where = ("-o", out, "--server", url)
            async with machine.receive(await sender.code(), *where) as receiver:
                await receiver.moving(1_000_000)
                first.signal(signal.SIGTERM)
                assert await first.exit() == 0
                async with machine.server(port=port):
                    await receiver.succeeds()
                    await sender.succeeds()
    for side in (sender, receiver):
        assert "reconnecting" not in side.names()
    assert listing(out) == [film.name]


async def test_only_holders_of_the_token_get_codes(machine: Machine, note: Path, out: Path) -> None:
    tokens = machine.folder / "tokens"
    tokens.write_text("# ci\nopen-sesame\n")
    async with machine.server("--auth-token-file", str(tokens)) as (_, url):
        async with machine.send(note, "--server", url) as stranger:
            error = await stranger.fails("refused")
        assert "token" in error["message"]
        assert "RTCSEND_TOKEN" in error["hint"]
        token = {"RTCSEND_TOKEN": "open-sesame"}
        async with machine.send(note, "--server", url, env=token) as sender:
            code = await sender.code()
            async with machine.receive(code, "-o", out, "--server", url) as receiver:
                await receiver.succeeds()
                await sender.succeeds()
    assert listing(out) == [note.name]


async def test_a_pinned_certificate(machine: Machine, note: Path, out: Path) -> None:
    options = ("--host", "127.0.0.1", "--port", "0", "--tls-self-signed")
    state = ("--state-dir", str(machine.folder / "state"))
    async with machine.run(*options, *state, module="signal_server") as server:
        line = await server.line("wss://")
        url = re.search(r"wss://[0-9.:]+#sha256=[0-9a-f]{64}", line)[0]  # type: ignore[index]
        async with machine.send(note, "--server", url[:-2] + "zz") as wrong:
            await wrong.fails("usage")
        other = url[:-64] + "0" * 64
        async with machine.send(note, "--server", other) as wrong:
            error = await wrong.fails("rendezvous-unreachable")
            assert "certificate is not the one" in error["message"]
        async with machine.send(note, "--server", url) as sender:
            async with machine.receive(await sender.code(), "-o", out, "--server", url) as receiver:
                await receiver.succeeds()
                await sender.succeeds()
    assert listing(out) == [note.name]


async def test_a_client_of_tomorrow_at_the_server_of_today(machine: Machine, note: Path) -> None:
    tomorrow = {"module": "tests.e2e.of_tomorrow"}
    async with machine.server() as (_, url):
        options = ("send", "--json", str(note), "--server", url)
        async with machine.run("rendezvous", *options, **tomorrow) as side:  # type: ignore[arg-type]
            error = await side.fails("refused")
    assert error["message"] == (
        "The rendezvous server speaks protocol version 1, this program version 2."
    )


async def test_a_client_that_is_too_old(machine: Machine, note: Path) -> None:
    async with machine.server("--min-client", "999.0") as (_, url):
        async with machine.send(note, "--server", url) as side:
            error = await side.fails("refused")
    assert "wants rtcsend 999.0 or later" in error["message"]
    assert error["hint"] == "Install a newer rtcsend."


async def test_clients_of_today_and_tomorrow(machine: Machine, note: Path, out: Path) -> None:
    async with machine.server() as (_, url):
        async with machine.send(note, "--server", url) as sender:
            options = ("receive", "--json", "-y", await sender.code(), "-o", str(out))
            async with machine.run(
                "transfer", *options, "--server", url, module="tests.e2e.of_tomorrow"
            ) as receiver:
                for side in (sender, receiver):
                    error = await side.fails("incompatible-peer")
                    assert "another version" in error["message"]


async def test_too_many_codes_from_one_place(machine: Machine, note: Path) -> None:
    async with machine.server("--limit", "nameplates_per_minute=1") as (_, url):
        async with machine.send(note, "--server", url) as first:
            await first.code()
            async with machine.send(note, "--server", url) as second:
                error = await second.fails("refused")
    assert re.search(r"Try again in \d+ s", error["hint"])


async def test_the_log_names_nobody(machine: Machine, note: Path, out: Path) -> None:
    async with machine.server("--log-format", "json", "-v") as (server, url):
        async with machine.send(note, "--server", url) as sender:
            code = await sender.code()
            async with machine.receive(code, "-o", out, "--server", url) as receiver:
                await receiver.succeeds()
                await sender.succeeds()
        server.signal(signal.SIGTERM)
        assert await server.exit() == 0
    records = [json.loads(line) for line in server.stderr.splitlines()]
    assert {"listening", "socket opened", "drained"} <= {record["event"] for record in records}
    assert all(record["time"].endswith("Z") for record in records)
    assert "127.0.0.1" not in server.stderr
    for part in code.split("-"):
        assert part not in re.findall(r"[a-z]+|\d{3,}", server.stderr)


async def somebody_waits(url: str) -> None:
    """Return when a server has a mailbox again, of which nobody is told."""
    async with asyncio.timeout(90):
        while 'rtcsend_mailboxes{state="waiting"} 1.0' not in await fetch(url, "/metrics"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def fetch(url: str, path: str) -> str:
    """Return the answer to a plain HTTP request, head and body."""
    host, _, port = url.removeprefix("ws://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()
