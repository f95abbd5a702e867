"""``rtcsend-server`` as a process."""

import asyncio
import fcntl
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rtcsend.rendezvous.client import RendezvousClient
from rtcsend.rendezvous.messages import IceServer
from signal_server.tls import fingerprint_of
from tests.doctor.certificates import server_context

pytestmark = [
    pytest.mark.net,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]
COMMAND = [sys.executable, "-m", "signal_server"]


@contextmanager
def running(
    *options: str, environment: dict[str, str] | None = None
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Start a server, and yield it with the line that it prints."""
    process = subprocess.Popen(
        [*COMMAND, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


def port_of(line: str) -> int:
    match = re.search(r":(\d+)", line.partition("listening on ")[2].replace("[::]", ""))
    assert match is not None, line
    return int(match[1])


async def welcome(url: str) -> RendezvousClient:
    async with RendezvousClient(url) as client:
        await client.allocate()
    return client


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_a_signal(number: signal.Signals) -> None:
    with running("--port", "0", "--host", "127.0.0.1") as (process, line):
        assert line.startswith("rtcsend-server listening on 127.0.0.1:")
        asyncio.run(welcome(f"127.0.0.1:{port_of(line)}"))
        process.send_signal(number)
        out, err = process.communicate(timeout=90)
        assert process.returncode == 0
        assert out == ""
        events = [line.split()[2] for line in err.splitlines() if " WARNING few file" not in line]
        assert events == ["listening", "draining", "drained", "closed"]
        assert "127.0.0.1" not in err


@pytest.mark.parametrize("host", [(), ("--host", "0.0.0.0")])
def test_all_interfaces(host: tuple[str, ...]) -> None:
    with running("--port", "0", *host) as (_, line):
        port = port_of(line)
        assert line.endswith(f" --server ws://{socket.gethostname()}:{port}\n")  # to be copied
        asyncio.run(welcome(f"127.0.0.1:{port}"))


def test_ice_servers_and_motd_reach_the_clients() -> None:
    options = ["--ice", "stun:s.example", "--ice", "turn:ada:p%40ss@t.example?transport=tcp"]
    with running("--port", "0", "--host", "127.0.0.1", *options, "--motd", "hello") as (_, line):
        client = asyncio.run(welcome(f"127.0.0.1:{port_of(line)}"))
        assert client.welcome.motd == "hello"
        # What costs somebody money comes only when there is somebody to talk to.
        assert client.ice_servers == (IceServer(("stun:s.example",)),)


def run(*options: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
    return subprocess.run(
        [*COMMAND, *options],
        capture_output=True,
        text=True,
        timeout=90,
        env=environment,
        check=False,
    )


def test_a_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("--host", "127.0.0.1", "--port", str(port))
    assert result.returncode == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert f"Cannot listen on 127.0.0.1, port {port}" in lines[0]
    assert lines[1] == "Give another --port, or stop the program that uses it."


@pytest.mark.parametrize(
    "options",
    [
        ["--host", "nowhere.invalid"],
        ["--host", "192.0.2.1", "--port", "0"],
        ["--port", "65536"],
        ["--port", "x"],
        ["--ice", "turn:ada:hunter2@h:99999"],
        ["--motd", "x" * 1_001],
        ["--nonsense"],
        ["--config", "nowhere.toml"],
        ["--limit", "nonsense=1"],
        ["--auth-token", "hunter2 hunter2"],
        ["--store", "hunter2://"],
    ],
)
def test_usage_errors(options: list[str]) -> None:
    result = run(*options)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr
    assert "Traceback" not in result.stderr
    assert "hunter2" not in result.stderr


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    with running("--port", "0", "--host", "127.0.0.1", "--drain-seconds", "600") as (process, line):

        async def main() -> None:
            url = f"127.0.0.1:{port_of(line)}"
            async with RendezvousClient(url) as a, RendezvousClient(url, retry_for=0.1) as b:
                await b.claim(await a.allocate())
                process.send_signal(signal.SIGTERM)
                assert process.stderr is not None
                while "draining" not in await asyncio.to_thread(process.stderr.readline):
                    pass
                process.send_signal(signal.SIGTERM)
                await asyncio.to_thread(process.wait, 90)

        asyncio.run(main())
        assert process.returncode == 0


def test_sighup_takes_over_a_new_certificate(tmp_path: Path) -> None:
    server_context(tmp_path)
    files = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    with running("--port", "0", "--host", "127.0.0.1", *files) as (process, line):
        assert "wss://127.0.0.1:" in line

        def url() -> str:
            fingerprint = fingerprint_of((tmp_path / "cert.pem").read_text())
            return f"wss://127.0.0.1:{port_of(line)}#sha256={fingerprint}"

        async def main() -> None:
            async with RendezvousClient(url()) as a:
                nameplate = await a.allocate()
                server_context(tmp_path)
                process.send_signal(signal.SIGHUP)
                assert process.stderr is not None
                while "reloaded" not in await asyncio.to_thread(process.stderr.readline):
                    pass
                async with RendezvousClient(url()) as b:
                    await b.claim(nameplate)
                assert a.state == "attached"

        asyncio.run(main())


def test_a_closed_terminal_ends_what_was_started_in_it() -> None:
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--host", "127.0.0.1"],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one call
    )
    try:
        os.close(terminal)
        assert process.stdout is not None
        assert b"listening" in process.stdout.readline()
        os.close(master)
        assert process.wait(90) == 0
    finally:
        process.kill()
        process.communicate()


def test_options_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text(
        'port = 0\nhost = "192.0.2.1"\nmotd = "of the file"\nlog_format = "json"\nverbose = true'
    )
    environment = {
        "RTCSEND_SERVER_CONFIG": str(file),
        "RTCSEND_SERVER_MOTD": "of the environment",
        "RTCSEND_SERVER_VERBOSE": "false",
    }
    with running("--host", "127.0.0.1", environment=environment) as (process, line):
        client = asyncio.run(welcome(f"127.0.0.1:{port_of(line)}"))
        assert client.welcome.motd == "of the environment"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=90)
    assert err.startswith('{"time":')
    assert '"debug"' not in err


def test_a_configuration_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text("port = 1\n[limits]\nmax_sokets = 5\n")
    result = run("--config", str(file), "--check-config")
    assert result.returncode == 2
    assert result.stderr.splitlines()[1] == "Did you mean max_sockets?"
    file.write_text("port = 1\n[limits]\nmax_sockets = 5\n")
    result = run("--config", str(file), "--check-config")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "rtcsend-server: the configuration works.\n"
    for options in (["--tls-cert", "none"], ["--turn", "turn:h", "--turn-secret-file", "none"]):
        result = run(*options, "--check-config")
        assert result.returncode == 2
        assert "none" in result.stderr


def test_checking_writes_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    options = ("--tls-self-signed", "--state-dir", str(state), "--check-config")
    assert run(*options).returncode == 0
    assert not state.exists()
    state.write_text("a file")
    result = run(*options)
    assert result.returncode == 2
    assert "no place for a self-signed certificate" in result.stderr


@pytest.mark.parametrize(
    "address", ["redis://127.0.0.1:hunter2/0", "redis://127.0.0.1/hunter2", "rediss://h:99999/0"]
)
def test_an_address_of_a_store_is_checked_without_connecting(address: str) -> None:
    result = run("--store", address, "--check-config")
    assert result.returncode == 2
    assert "The address of the store cannot be understood." in result.stderr
    assert "hunter2" not in result.stderr


def test_a_taken_port_for_the_metrics() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("--host", "127.0.0.1", "--port", "0", "--metrics-listen", f"127.0.0.1:{port}")
    assert result.returncode == 2
    assert f"Cannot listen for metrics on 127.0.0.1, port {port}" in result.stderr


def test_help() -> None:
    result = run("--help")
    assert result.returncode == 0
    for option in ("--host", "--port", "--ice", "--motd", "--tls-cert", "--turn", "--limit"):
        assert option in result.stdout


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, signal_server.cli;"
        "heavy = {'aiortc', 'av', 'cryptography', 'spake2', 'rich.progress', 'zeroconf'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
