"""A real coturn on loopback, and what it says about the bytes that went through it.

Credentials are ephemeral ones (draft-uberti-behave-turn-rest-00): the user name holds the
time of expiry, the password is its HMAC-SHA1 with the server's secret, in base64.
"""

import asyncio
import base64
import hmac
import os
import re
import secrets
import shutil
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import pytest

from tests.doctor.certificates import server_context
from tests.fakes.ports import free_port

START_TIMEOUT = 50.0  # seconds; it starts in half a second
USAGE_TIMEOUT = 50.0  # seconds; it reports a session when it deletes it, a second after its end
CREDENTIAL_LIFETIME = 600  # seconds

READY = "Total General servers"
"""What coturn says when all its sockets are bound.

Each of its threads binds a socket of its own to each address (SO_REUSEPORT), one after the other,
and each that is added may take over a client whose nonce another thread knows (438).
"""

NAME = "relay.invalid"
"""A name that its certificate has as well, and which nobody can look up but a proxy in a test."""

_USAGE = re.compile(
    r"session (?P<session>\d+): usage: .*, rp=\d+, rb=(?P<received>\d+), sp=\d+, sb=(?P<sent>\d+)"
)
_DELETED = re.compile(r"session (\d+): delete: ")
_NEW = re.compile(r"session (\d+): new, ")


def require_coturn() -> None:
    """Skip the test where there is no coturn; fail it in CI."""
    if shutil.which("turnserver") is None:
        reason = "coturn is missing (Debian, Ubuntu: apt install coturn)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def common_options(folder: Path, secret: str) -> tuple[str, ...]:
    """Return what every ``turnserver`` here is told; not where it listens."""
    return (
        "-n",  # no configuration file
        "--use-auth-secret",
        f"--static-auth-secret={secret}",
        "--realm=test",
        "--user-quota=40",
        "--total-quota=100",
        "--no-dtls",
        "--no-cli",
        "--log-file=stdout",
        "--verbose",
        f"--userdb={folder / 'turn.db'}",
        f"--pidfile={folder / 'turn.pid'}",
    )


def ice_url(
    secret: str,
    *,
    host: str,
    port: int,
    transport: Literal["udp", "tcp"] = "udp",
    scheme: Literal["turn", "turns"] = "turn",
    password: str | None = None,
    lifetime: int = CREDENTIAL_LIFETIME,
) -> str:
    """Return a server as ``--ice`` takes it, with a credential; a wrong one by ``password``."""
    username = f"{int(time.time()) + lifetime}:alice"  # noqa: TID251 - wall clock
    digest = hmac.digest(secret.encode(), username.encode(), "sha1")
    password = base64.b64encode(digest).decode() if password is None else password
    user, credential = (urllib.parse.quote(text, safe="") for text in (username, password))
    return f"{scheme}:{user}:{credential}@{host}:{port}?transport={transport}"


class Coturn:
    """The server, running while it is entered; by UDP, TCP and TLS at one port.

    Args:
        folder: For its files.
        options: More of them, for ``turnserver``.

    Attributes:
        log: What it has said so far.
        environment: What a client needs to trust it.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder, self._options = folder, options
        server_context(folder, names=(NAME,))  # for the files
        self.environment = {"SSL_CERT_FILE": str(folder / "cert.pem")}
        self._secret = secrets.token_hex(16)
        self._port = free_port()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._said = asyncio.Event()
        self.log = ""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            "turnserver",
            *common_options(self._folder, self._secret),
            "--listening-ip=127.0.0.1",
            f"--listening-port={self._port}",
            "--relay-ip=127.0.0.1",
            "--allow-loopback-peers",
            f"--tls-listening-port={free_port()}",
            f"--cert={self._folder / 'cert.pem'}",
            f"--pkey={self._folder / 'key.pem'}",
            *self._options,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._reader = asyncio.create_task(self._read())
        async with asyncio.timeout(START_TIMEOUT):
            await self.until(lambda: READY in self.log)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process is not None, "it was entered"
        assert self._reader is not None, "it was entered"
        if self._process.returncode is None:
            self._process.kill()
        await asyncio.gather(self._process.wait(), self._reader)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    def ice_url(
        self,
        transport: Literal["udp", "tcp", "tls"] = "udp",
        *,
        host: str = "127.0.0.1",
        password: str | None = None,
        lifetime: int = CREDENTIAL_LIFETIME,
    ) -> str:
        """Return it as ``--ice`` takes it.

        Args:
            transport: How to reach it.
            host: The name that it is to have.
            password: A wrong one.
            lifetime: Seconds that the credential is good for.
        """
        return ice_url(
            self._secret,
            host=host,
            port=self._port,
            transport="udp" if transport == "udp" else "tcp",
            scheme="turns" if transport == "tls" else "turn",
            password=password,
            lifetime=lifetime,
        )

    def sessions(self) -> list[str]:
        """Return the allocations that there have been, in order."""
        return _NEW.findall(self.log)

    async def usage(self, *, sessions: int) -> dict[str, tuple[int, int]]:
        """Return the bytes that came from and went to the client of each allocation.

        Waits until so many allocations have ended; coturn says it then at the latest.
        """
        async with asyncio.timeout(USAGE_TIMEOUT):
            await self.until(lambda: len(_DELETED.findall(self.log)) >= sessions)
        totals: dict[str, tuple[int, int]] = {}
        for match in _USAGE.finditer(self.log):
            received, sent = totals.get(match["session"], (0, 0))
            totals[match["session"]] = received + int(match["received"]), sent + int(match["sent"])
        return totals

    async def _read(self) -> None:
        assert self._process is not None, "it was started"
        assert self._process.stdout is not None, "it was started with a pipe"
        while chunk := await self._process.stdout.read(65_536):
            self.log += chunk.decode(errors="replace")
            self._said.set()
        self._said.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when something holds; it is asked again when coturn says more."""
        while not condition():
            if self._reader is None or self._reader.done():
                raise AssertionError(f"coturn has ended: {self.log}")
            self._said.clear()
            await self._said.wait()
