"""TLS on loopback: certificates that are pinned, that are renewed, and that cannot be used."""

import asyncio
import hashlib
import logging
import ssl
import stat
from pathlib import Path

import pytest

from rtcsend.errors import RendezvousUnreachable, UsageError
from rtcsend.rendezvous.client import RendezvousClient
from signal_server.limits import Limits
from signal_server.server import RendezvousServer
from signal_server.tls import fingerprint_of
from tests.doctor.certificates import server_context
from tests.signal_server.loopback import config, until

pytestmark = pytest.mark.net


def url_of(server: RendezvousServer, fingerprint: str | None) -> str:
    pin = "" if fingerprint is None else f"#sha256={fingerprint}"
    return f"wss://127.0.0.1:{server.port}{pin}"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    server_context(tmp_path)
    return tmp_path


def signed(folder: Path) -> dict[str, Path]:
    return {"tls_cert": folder / "cert.pem", "tls_key": folder / "key.pem"}


async def test_a_certificate_of_ones_own_is_kept_and_pinned(tmp_path: Path) -> None:
    own = config(tls_self_signed=True, state_dir=tmp_path / "state")
    async with RendezvousServer(own) as server:
        fingerprint = server.fingerprint
        assert fingerprint is not None
        async with RendezvousClient(url_of(server, fingerprint)) as client:
            await client.allocate()
        address = ("127.0.0.1", server.port)
        pem = await asyncio.to_thread(ssl.get_server_certificate, address)
        der = ssl.PEM_cert_to_DER_cert(pem)
        assert hashlib.sha256(der).hexdigest() == fingerprint
    file = tmp_path / "state/self-signed.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["self-signed.pem"]
    async with RendezvousServer(own) as server:
        assert server.fingerprint == fingerprint


@pytest.mark.parametrize("pin", [None, "00" * 32], ids=["no pin", "wrong pin"])
async def test_another_certificate_is_refused(tmp_path: Path, pin: str | None) -> None:
    async with RendezvousServer(config(tls_self_signed=True, state_dir=tmp_path)) as server:
        with pytest.raises(RendezvousUnreachable, match="certificate") as caught:
            async with RendezvousClient(url_of(server, pin)):
                raise AssertionError("unreachable")
        # Nothing was said to it: no socket was ever opened.
        assert server.counters.sockets == 0
    assert ("address names" in caught.value.message) is (pin is not None)


async def test_a_pin_counts_for_any_certificate(certificate: Path) -> None:
    async with RendezvousServer(config(**signed(certificate))) as server:
        assert server.fingerprint is None
        pin = fingerprint_of((certificate / "cert.pem").read_text())
        async with RendezvousClient(url_of(server, pin)) as client:
            await client.allocate()


async def test_a_renewed_certificate_is_taken_over_without_dropping_anybody(
    certificate: Path,
) -> None:
    async with RendezvousServer(config(**signed(certificate))) as server:
        old = fingerprint_of((certificate / "cert.pem").read_text())
        async with RendezvousClient(url_of(server, old)) as client:
            nameplate = await client.allocate()
            server_context(certificate)  # another one
            server.reload()
            new = fingerprint_of((certificate / "cert.pem").read_text())
            assert new != old
            async with RendezvousClient(url_of(server, new)) as other:
                await other.claim(nameplate)
                await client.receive()
            assert client.state == "attached"
            # What cannot be used changes nothing.
            (certificate / "key.pem").write_text("nonsense")
            server.reload()
            async with RendezvousClient(url_of(server, new)) as other:
                await other.allocate()


@pytest.mark.parametrize("broken", ["cert.pem", "key.pem"])
@pytest.mark.parametrize("how", ["missing", "nonsense", "of another"])
async def test_files_that_cannot_be_used(certificate: Path, broken: str, how: str) -> None:
    path = certificate / broken
    if how == "missing":
        path.unlink()
    elif how == "nonsense":
        path.write_text("nonsense")
    else:
        other = certificate / "other"
        other.mkdir()
        server_context(other)
        path.write_bytes((other / broken).read_bytes())
    with pytest.raises(UsageError, match="cannot be used") as caught:
        async with RendezvousServer(config(**signed(certificate))):
            raise AssertionError("unreachable")
    assert "PEM" in caught.value.hint


async def test_no_place_for_a_certificate_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="no place") as caught:
        async with RendezvousServer(config(tls_self_signed=True, state_dir=tmp_path / "file/x")):
            raise AssertionError("unreachable")
    assert "--state-dir" in caught.value.hint


async def test_a_handshake_that_never_ends_is_cut(
    certificate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = Limits(handshake_seconds=0.05)
    async with RendezvousServer(config(**signed(certificate), limits=limits)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        await until(lambda: not server.counters.connections)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
