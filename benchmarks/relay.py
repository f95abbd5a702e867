"""What a TURN server costs: whole commands, straight and through coturn by UDP, over veth.

Three network namespaces in a row, MTU 1500: sender, router, receiver. The router passes
packets on for the direct way, and runs coturn and the rendezvous for all of them; so each way
crosses the same two cables. ``one side`` is relayed for the sender alone, as behind a NAT that
needs it; ``both sides`` for both, so that each byte passes coturn twice. The ways take turns;
ratios are made of the runs of one round. Seconds run from the first byte to the final
acknowledgement. Linux, root, coturn.
"""

import base64
import contextlib
import hmac
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.commands import inherited, random_file
from benchmarks.figures import Figure, figure
from benchmarks.namespaces import available

READY = 2.0  # seconds until a server, or a sending command, has started
STOP_TIMEOUT = 10.0  # seconds for a process that was told to end
PORT, RENDEZVOUS_PORT = 3478, 8765
CREDENTIAL_LIFETIME = 3600  # seconds
WAYS = {"direct": (False, False), "one side relayed": (True, False), "both sides": (True, True)}
GOALS = {"one side relayed": ">= 0.5"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Seconds of one transfer, and of CPU: both commands whole, and coturn."""

    seconds: float
    cpu: float
    relay_cpu: float


def measure(folder: Path, *, size: int, runs: int) -> Iterator[Figure]:
    """Measure transfers of ``size`` bytes; nothing, and why, where it cannot be done."""
    if not available() or not all(map(shutil.which, ("ip", "turnserver"))):
        print("relay: takes root on Linux, iproute2 and coturn", file=sys.stderr)
        return
    source = random_file(folder / "relay.bin", size)
    took: dict[str, list[Took]] = {way: [] for way in WAYS}
    with _row() as row:
        for _ in range(runs):
            for way, relayed in WAYS.items():
                took[way].append(row.transfer(source, relayed))
    for way, each in took.items():
        rates = [size / 1e6 / one.seconds for one in each]
        yield figure("relay", f"UDP, veth: {way}", "MB/s", rates)
        cpu = [one.cpu / size * 1e9 for one in each]
        yield figure("relay", f"UDP, veth: CPU of both commands, {way}", "s/GB", cpu)
        cpu = [one.relay_cpu / size * 1e9 for one in each]
        yield figure("relay", f"UDP, veth: CPU of coturn, {way}", "s/GB", cpu)
    for way in list(WAYS)[1:]:
        pairs = zip(took["direct"], took[way], strict=True)
        ratios = [direct.seconds / relayed.seconds for direct, relayed in pairs]
        name = f"UDP, veth: {way} / direct"
        yield figure("relay", name, "times", ratios, goal=GOALS.get(way, ""))


class _Row:
    """The three namespaces, with the servers in the middle one.

    Attributes:
        coturn: Its process id.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.sender, self.router, self.receiver = names
        self._secret = secrets.token_hex(16)
        self.coturn = 0

    def turn_command(self) -> list[str]:
        """Return what starts coturn, with its own defaults and without a file."""
        return [
            *("turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--no-stdout-log"),
            *("--simple-log", "--log-file=/dev/null", "--pidfile=/dev/null", "--realm=bench"),
            *("--userdb=:memory:", "--use-auth-secret", f"--static-auth-secret={self._secret}"),
            *("--listening-ip=10.98.1.1", f"--listening-port={PORT}", "--relay-ip=10.98.1.1"),
        ]

    def _ice_url(self) -> str:
        name = f"{int(time.time()) + CREDENTIAL_LIFETIME}:bench"  # noqa: TID251 - wall clock
        digest = hmac.digest(self._secret.encode(), name.encode(), "sha1")
        user, password = (
            urllib.parse.quote(text, safe="") for text in (name, base64.b64encode(digest).decode())
        )
        return f"turn:{user}:{password}@10.98.1.1:{PORT}?transport=udp"

    def transfer(self, source: Path, relayed: tuple[bool, bool]) -> Took:
        """Run both commands, and return what they took."""
        server = ["--json", "--server", f"ws://10.98.1.1:{RENDEZVOUS_PORT}"]
        relay = ["--relay-only", "--ice", self._ice_url()]
        for_sender, for_receiver = (relay if wanted else [] for wanted in relayed)
        program = [sys.executable, "-m", "rtcsend"]
        coturn = _cpu_of(self.coturn)
        send = [*program, "send", *server, *for_sender, str(source)]
        with _started(self.sender, send, source.parent) as sender:
            assert sender.stdout is not None, "it was started with a pipe"
            code = json.loads(sender.stdout.readline())["code"]
            time.sleep(READY)
            options = ["--yes", "--overwrite", "--output", f"{source}.copy", *for_receiver]
            receive = [*program, "receive", *server, *options, code]
            with _started(self.receiver, receive, source.parent) as receiver:
                ends = [_finish(receiver), _finish(sender)]
        done, cpu = ends[0][0], ends[0][1] + ends[1][1]
        return Took(
            seconds=float(done["seconds"]), cpu=cpu, relay_cpu=_cpu_of(self.coturn) - coturn
        )


@contextlib.contextmanager
def _row() -> Iterator[_Row]:
    """Make the namespaces, and start the servers."""
    row = _Row([f"rtcsend-{os.getpid()}-{kind}" for kind in ("sender", "router", "receiver")])
    with contextlib.ExitStack() as stack:
        for name in (row.router, row.sender, row.receiver):
            _ip(f"netns add {name}")
            stack.callback(_ip, f"netns delete {name}")
            _ip(f"-n {name} link set lo up")
        for number, name in enumerate((row.sender, row.receiver), 1):
            _ip(f"-n {row.router} link add to{number} type veth peer name veth0 netns {name}")
            _ip(f"-n {row.router} address add 10.98.{number}.1/24 dev to{number}")
            _ip(f"-n {row.router} link set to{number} up")
            _ip(f"-n {name} address add 10.98.{number}.2/24 dev veth0")
            _ip(f"-n {name} link set veth0 up")
            _ip(f"-n {name} route add default via 10.98.{number}.1")
        forward = "echo 1 >/proc/sys/net/ipv4/ip_forward"
        _ip(f"netns exec {row.router} sh -c", forward)
        folder = Path("/tmp")
        coturn = stack.enter_context(_started(row.router, row.turn_command(), folder))
        row.coturn = coturn.pid  # "ip netns exec" becomes the command
        serve = [*("serve", "--host", "10.98.1.1"), *("--port", str(RENDEZVOUS_PORT))]
        command = [sys.executable, "-m", "rtcsend", *serve]
        stack.enter_context(_started(row.router, command, folder))
        time.sleep(READY)
        yield row


def _finish(process: "subprocess.Popen[str]") -> tuple[dict[str, Any], float]:
    """Wait for the end of a command; return its last event, and its seconds of CPU."""
    assert process.stdout is not None, "it was started with a pipe"
    events = process.stdout.read().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not events:
        raise RuntimeError(f"a command ended with {process.returncode}: {events[-1:]}")
    done: dict[str, Any] = json.loads(events[-1])
    return done, usage.ru_utime + usage.ru_stime


def _cpu_of(pid: int) -> float:
    """Return the seconds of CPU that a running process has used. Source: proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _started(name: str, command: Sequence[str], folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run a command in a namespace; end it at the end."""
    process = subprocess.Popen(
        ["ip", "netns", "exec", name, *command],
        env={**inherited(), "RTCSEND_DISCOVERY": "local", "XDG_RUNTIME_DIR": str(folder)},
        cwd=Path(__file__).parents[1],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _ip(arguments: str, *more: str) -> None:
    subprocess.run(["ip", *arguments.split(), *more], check=True)
