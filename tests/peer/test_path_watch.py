import asyncio
import errno
import subprocess
import sys
from pathlib import Path

import pytest

from rtcsend.errors import ConnectionLost
from rtcsend.peer import path_watch
from rtcsend.peer.path_watch import Ends, maybe_error, uptime, watch_path
from tests.fakes.clock import run_virtual
from tests.fakes.namespaces import cable, hosts, require_namespaces

ROOT = Path(__file__).parents[2]
HERE = Ends("127.0.0.1", ("127.0.0.1", 9))


def test_the_loopback_is_there() -> None:
    assert maybe_error(HERE) is None
    assert maybe_error(Ends("::1", ("::1", 9))) in (None, errno.EADDRNOTAVAIL)


def test_an_address_of_nobody() -> None:
    assert maybe_error(Ends("192.0.2.1", ("192.0.2.2", 9))) == errno.EADDRNOTAVAIL


def test_the_clock_goes_on() -> None:
    assert uptime() <= uptime()


def virtual_clocks(monkeypatch: pytest.MonkeyPatch, errors: list[int | None]) -> None:
    monkeypatch.setattr(path_watch, "uptime", lambda: asyncio.get_running_loop().time())
    monkeypatch.setattr(path_watch, "maybe_error", lambda _ends: errors.pop(0))


def test_it_watches_until_the_path_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = errno.EADDRNOTAVAIL
    virtual_clocks(monkeypatch, [None, gone, None, gone, gone])

    async def main() -> float:
        with pytest.raises(ConnectionLost, match="lost the network address"):
            await watch_path(lambda: HERE)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == pytest.approx(5.0)


def test_without_ends_only_sleep_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 1.0, 2.0, 63.0])
    monkeypatch.setattr(path_watch, "uptime", lambda: next(seconds))

    async def main() -> None:
        with pytest.raises(ConnectionLost, match="asleep for 60 seconds"):
            await watch_path(lambda: None)

    run_virtual(main)


SCRIPT = """
import subprocess
from rtcsend.peer.path_watch import Ends, maybe_error

ends = Ends("10.78.0.1", ("10.78.9.9", 9))
print(maybe_error(ends))
for change in ("route del default", "address del 10.78.0.1/24 dev {0}"):
    subprocess.run(["ip", *change.format("{1}").split()], check=True)
    print(maybe_error(ends))
"""


@pytest.mark.lab
def test_a_machine_that_loses_its_route_and_its_address() -> None:
    require_namespaces()
    with hosts(2) as (here, there):
        cable(here, "10.78.0.1", there, "10.78.0.2")
        here.ip("route", "add", "default", "via", "10.78.0.2")
        listed = subprocess.run(
            [*here.inside, "ip", "-o", "-4", "address"], capture_output=True, text=True, check=True
        )
        device = next(line.split()[1] for line in listed.stdout.splitlines() if "10.78" in line)
        script = SCRIPT.replace("{1}", device)
        finished = subprocess.run(
            [*here.inside, sys.executable, "-c", script],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    assert finished.stdout.split() == [
        "None",
        str(errno.ENETUNREACH),
        str(errno.EADDRNOTAVAIL),
    ]
