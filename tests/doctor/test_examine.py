"""The whole examination on loopback: a real coturn, a real rendezvous, and servers that are not."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from rtcsend.doctor import run, stun_family, turn_checks
from rtcsend.doctor.findings import Conclusion
from rtcsend.doctor.run import DoctorOptions, examine
from rtcsend.errors import UsageError
from rtcsend.rendezvous.ice_urls import parse_ice_url
from rtcsend.rendezvous.lan import LanService
from rtcsend.rendezvous.local import announce_local
from signal_server.config import ServerConfig
from signal_server.server import RendezvousServer
from tests.doctor.certificates import server_context
from tests.doctor.collecting import Told
from tests.fakes.coturn import Coturn, ice_url, require_coturn

pytestmark = [pytest.mark.net]
needs_coturn = pytest.mark.coturn


@pytest.fixture(autouse=True)
def _only_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RTCSEND_DISCOVERY", "local")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # it remembers the real one


@pytest.fixture
async def coturn(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Coturn]:
    require_coturn()
    async with Coturn(tmp_path_factory.mktemp("coturn")) as server:
        yield server


async def ask(
    *ice: str, server: str | None = None, throughput: bool = False, seconds: float = 10
) -> tuple[Told, Conclusion]:
    told = Told()
    options = DoctorOptions(server=server, ice=ice, throughput=throughput, timeout=seconds)
    return told, await examine(options, emit=told)


def stun_url(coturn: Coturn) -> str:
    return "stun:" + coturn.ice_url().rpartition("@")[2].partition("?")[0]


def dead_port() -> socket.socket:
    """Return a UDP socket that never answers."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


async def test_nothing_is_named() -> None:
    told, conclusion = await ask()
    assert conclusion.exit == 0
    assert (conclusion.rendezvous, conclusion.udp, conclusion.relay) == (
        "not-named",
        "not-asked",
        "not-named",
    )
    assert told.kinds("rendezvous") == [("local", "ok"), ("lan", "ok")]
    assert {"address", "ipv4", "ipv6"} == {check for check, _ in told.kinds("machine")}
    assert told.one("rendezvous", "local").text == "no sender waits here, which is no fault"


async def test_senders_that_wait_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def browse_lan(*, timeout: float) -> list[LanService]:  # noqa: ASYNC109 - as it is
        assert timeout <= 2
        return [LanService("rtcsend-1", "7", ("ws://192.168.1.9:1/v1",))] * 2

    monkeypatch.delenv("RTCSEND_DISCOVERY")
    monkeypatch.setattr(run, "browse_lan", browse_lan)
    with announce_local("7", "ws://127.0.0.1:1/v1"):
        told, _ = await ask()
    assert told.one("rendezvous", "local").text == "a sender waits here"
    assert told.one("rendezvous", "lan").text == "2 senders were found"
    assert told.one("rendezvous", "lan").values == {"found": 2}


@needs_coturn
async def test_all_of_it(coturn: Coturn) -> None:
    ice = (parse_ice_url(coturn.ice_url("tcp")),)
    config = ServerConfig(host="127.0.0.1", port=0, ice_servers=ice)
    async with RendezvousServer(config) as server:
        told, conclusion = await ask(
            stun_url(coturn),
            coturn.ice_url(),
            server=f"ws://127.0.0.1:{server.port}",
            throughput=True,
        )
    assert conclusion.exit == 0
    assert (conclusion.udp, conclusion.mapping, conclusion.relay) == ("works", "none", "works")
    assert told.one("stun", "binding").values["address"] == "127.0.0.1"
    assert told.one("nat", "port").values == {"preserved": True}
    assert told.one("path", "mtu").values == {"bytes": 1_500}
    turn = [(one.target, one.check, one.status) for one in told.checks if one.area == "turn"]
    target = coturn.ice_url().rpartition("@")[2].partition("?")[0]
    assert sorted(turn) == [
        (f"turn:{target}?transport={way}", check, "ok")
        for way in ("tcp", "udp")
        for check in ("allocation", "throughput")
    ]
    assert all(
        0 < int(one.values["bytes_per_s"] or 0) <= 4_000_000
        for one in told.checks
        if one.check == "throughput"
    )
    # Everything was given back.
    await coturn.usage(sessions=4)
    text = str(told.checks)
    for url in (coturn.ice_url(), coturn.ice_url("tcp")):
        user, password = url.removeprefix("turn:").partition("@")[0].split(":")
        assert user not in text
        assert password not in text


@needs_coturn
@pytest.mark.parametrize("way", ["udp", "tcp"])
async def test_a_wrong_password(coturn: Coturn, way: Literal["udp", "tcp"]) -> None:
    told, conclusion = await ask(coturn.ice_url(way, password="wrong"))
    check = told.one("turn", "allocation")
    assert check.status == "failed"
    assert check.values == {"reason": "credential", "error": 401}
    assert check.text == "It refuses the credential: user or password is wrong."
    assert conclusion.relay == "failed"
    assert conclusion.exit == (0 if way == "udp" else 30)


@needs_coturn
async def test_an_expired_credential(coturn: Coturn) -> None:
    host, _, port = coturn.ice_url().rpartition("@")[2].partition("?")[0].partition(":")
    url = f"turn:1000000000%3Aalice:cGFzc3dvcmQ%3D@{host}:{port}"
    told, _ = await ask(url)
    assert told.one("turn", "allocation").values["reason"] == "expired"


@needs_coturn
async def test_a_server_that_is_named_twice_is_asked_once(coturn: Coturn) -> None:
    told, _ = await ask(coturn.ice_url("tcp"), coturn.ice_url("tcp"))
    assert told.kinds("turn") == [("allocation", "ok")]


async def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stun_family, "PATIENCE", 0.1)
    with closing(dead_port()) as sock:
        port = sock.getsockname()[1]
        told, conclusion = await ask(f"stun:127.0.0.1:{port}", f"turn:u:p@127.0.0.1:{port}")
    assert (conclusion.exit, conclusion.udp, conclusion.relay) == (30, "silent", "failed")
    assert told.one("stun", "binding").values == {"reason": "silent"}
    assert told.one("turn", "allocation").values["reason"] == "silent"
    assert told.kinds("nat") == []


async def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stun_family, "PATIENCE", 0.1)
    with closing(dead_port()) as sock:
        port = sock.getsockname()[1]
    told, conclusion = await ask(f"stun:127.0.0.1:{port}", f"turn:u:p@127.0.0.1:{port}")
    assert (conclusion.exit, conclusion.udp, conclusion.relay) == (30, "silent", "failed")
    assert told.one("stun", "binding").values == {"reason": "refused"}
    assert told.one("turn", "allocation").values["reason"] == "refused"
    assert "Nobody listens there by UDP" in told.one("stun", "binding").text


@needs_coturn
async def test_what_is_stopped_leaves_nothing_behind(coturn: Coturn) -> None:
    # It is in the middle of the burst when the time is over.
    task = asyncio.create_task(ask(coturn.ice_url(), throughput=True))
    async with asyncio.timeout(90):
        await coturn.until(lambda: len(coturn.sessions()) == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    await coturn.usage(sessions=2)


async def test_the_time_is_kept() -> None:
    with closing(dead_port()) as sock:
        port = sock.getsockname()[1]
        async with asyncio.timeout(90):
            told, conclusion = await ask(
                f"stun:127.0.0.1:{port}", f"turn:u:p@127.0.0.1:{port}", seconds=0.5
            )
    assert conclusion.exit == 30
    for area in ("stun", "turn"):
        (check,) = (one for one in told.checks if one.area == area)
        assert check.text == "Not finished within the 0.5 seconds of --timeout."


async def test_a_rendezvous_that_is_not_there() -> None:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        told, conclusion = await ask(server=f"127.0.0.1:{sock.getsockname()[1]}")
    assert conclusion.exit == 10
    assert conclusion.rendezvous == "failed"
    assert told.one("rendezvous", "tcp").status == "failed"


async def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    tls = server_context(tmp_path)
    async with await asyncio.start_server(handler, "127.0.0.1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        url = ice_url("secret", host="127.0.0.1", port=port, transport="tcp", scheme="turns")
        told, conclusion = await ask(url)
    check = told.one("turn", "allocation")
    assert check.values == {"reason": "certificate"}
    assert check.text == "Its certificate is self-signed, and not trusted here."
    assert conclusion.exit == 30


async def test_what_is_no_turn_server_at_all() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(20)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        told, _ = await ask(f"turn:u:p@127.0.0.1:{port}?transport=tcp")
    assert told.one("turn", "allocation").values["reason"] == "closed"


@pytest.mark.parametrize(
    ("server", "ice"), [("ftp://nowhere", ()), (None, ("turn:nobody@somewhere",))]
)
async def test_what_cannot_be_understood(server: str | None, ice: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        await ask(*ice, server=server)


def test_what_a_user_name_says_of_its_end() -> None:
    for name, expired in (
        ("1000000000:alice", True),
        ("1000000000", True),
        ("4000000000:alice", False),
        ("alice", False),
        ("1:alice", False),
    ):
        assert turn_checks._has_expired(name) is expired
