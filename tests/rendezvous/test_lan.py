"""mDNS: the parsing of strangers' answers, and the real thing in network namespaces."""

import asyncio
import contextlib
import ipaddress
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zeroconf import ServiceInfo

from rtcsend.rendezvous import lan
from rtcsend.rendezvous.lan import (
    MAX_ADDRESSES,
    SERVICE_TYPE,
    LanAnnouncement,
    browse_lan,
    find_on_lan,
    service_of_untrusted,
    urls_of,
)

ROOT = Path(__file__).parents[2]


def packed(*addresses: str) -> list[bytes]:
    return [ipaddress.ip_address(address).packed for address in addresses]


def info(**changes: Any) -> ServiceInfo:
    values: dict[str, Any] = {
        "port": 4000,
        "properties": {"v": "1", "n": "42"},
        "addresses": packed("192.168.1.7"),
    }
    return ServiceInfo(SERVICE_TYPE, f"x.{SERVICE_TYPE}", server="x.local.", **(values | changes))


def test_a_good_answer() -> None:
    service = service_of_untrusted(info())
    assert service is not None
    assert service.nameplate == "42"
    assert service.urls == ("ws://192.168.1.7:4000/v1",)


@pytest.mark.parametrize(
    "changes",
    [
        {"properties": {}},
        {"properties": {"v": "2", "n": "42"}},
        {"properties": {"n": "42"}},
        {"properties": {"v": "1"}},
        {"properties": {"v": "1", "n": ""}},
        {"properties": {"v": "1", "n": "042"}},
        {"properties": {"v": "1", "n": b"\xff"}},
        {"properties": {"v": "1", "n": "4\n2"}},
        {"properties": {"v": "1", "n": None}},
        {"properties": b"\xff"},
        {"port": 0},
        {"port": None},
        {"addresses": []},
        {"addresses": packed("127.0.0.1", "::1", "224.0.0.251", "0.0.0.0", "fe80::1")},
    ],
)
def test_bad_answers(changes: dict[str, Any]) -> None:
    assert service_of_untrusted(info(**changes)) is None


def test_the_likeliest_address_comes_first() -> None:
    addresses = packed("2001:db9::1", "fd00::1", "203.1.2.3", "192.168.1.7", "::ffff:10.0.0.1")
    assert urls_of(addresses, 80) == [
        "ws://192.168.1.7:80/v1",
        "ws://203.1.2.3:80/v1",
        "ws://[fd00::1]:80/v1",
        "ws://[2001:db9::1]:80/v1",
    ]


def test_the_number_of_addresses_is_bounded() -> None:
    many = [bytes([10, 0, index // 256, index % 256]) for index in range(1, 1_000)]
    service = service_of_untrusted(info(addresses=many))
    assert service is not None
    assert len(service.urls) == MAX_ADDRESSES


@given(st.lists(st.binary(max_size=20)), st.integers(1, 65_535))
def test_any_bytes_are_addresses_or_passed_over(addresses: list[bytes], port: int) -> None:
    for url in urls_of(addresses, port):
        assert url.startswith("ws://")


async def test_no_network_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr("zeroconf.asyncio.AsyncZeroconf", broken)
    async with LanAnnouncement("42", 4000) as announcement:
        assert announcement._task is not None
        await announcement._task
    assert await browse_lan("42") == []
    assert await find_on_lan("42") == []


async def test_entering_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(lan, "load_zeroconf", never)
    async with LanAnnouncement("42", 4000):
        pass


async def test_new_addresses_are_announced_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    announced: list[list[bytes]] = []
    changed = asyncio.Event()
    addresses = packed("192.168.1.7")

    class FakeZeroconf:
        async def async_register_service(self, info: ServiceInfo) -> "asyncio.Future[None]":
            announced.append(info.addresses)
            changed.set()
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done

        async def async_unregister_all_services(self) -> None:
            announced.append([])

        async def async_close(self) -> None:
            pass

    monkeypatch.setattr("zeroconf.asyncio.AsyncZeroconf", FakeZeroconf)
    monkeypatch.setattr(lan, "_own_addresses", lambda: addresses)
    monkeypatch.setattr(lan, "FOLLOW_INTERVAL", 0.01)
    async with LanAnnouncement("42", 4000):
        await changed.wait()
        changed.clear()
        addresses = packed("10.0.0.1", "10.0.0.2")
        await changed.wait()
    old, new = packed("192.168.1.7"), packed("10.0.0.1", "10.0.0.2")
    assert announced == [old, [], new, []]


# The real thing

ANNOUNCE = """
import asyncio, sys
from rtcsend.rendezvous.lan import LanAnnouncement

async def main():
    async with LanAnnouncement(sys.argv[1], int(sys.argv[2])) as announcement:
        await announcement._task
        print("announced", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""
FIND = """
import asyncio, json, sys, time
from rtcsend.rendezvous.lan import find_on_lan

started = time.monotonic()
urls = asyncio.run(find_on_lan(sys.argv[1]))
print(json.dumps([urls, time.monotonic() - started]))
"""
DISCOVER = """
import asyncio, sys
from rtcsend.errors import RtcsendError
from rtcsend.rendezvous.discovery import find_rendezvous

try:
    print(asyncio.run(find_rendezvous(sys.argv[1], lan=True)))
except RtcsendError as exc:
    print(type(exc).__name__)
"""


def lab_missing() -> str | None:
    """Return why network namespaces cannot be made here, or None."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces take root"
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    name = f"rtcsend-probe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return "network namespaces are not allowed here"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


_numbers = itertools.count()


@pytest.fixture
def two_hosts() -> Iterator[tuple[str, str]]:
    """Make two namespaces joined by one cable, with no way out of either."""
    missing = lab_missing()
    if missing is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    tag = f"{os.getpid() % 100_000}{next(_numbers)}"
    hosts = (f"rtcsend-{tag}a", f"rtcsend-{tag}b")
    links = (f"rs{tag}a", f"rs{tag}b")
    with contextlib.ExitStack() as stack:
        for host in hosts:
            ip("netns", "add", host)
            stack.callback(ip, "netns", "del", host)
            ip("-n", host, "link", "set", "lo", "up")
        # Made inside, so that nothing of it ever shows up in the machine's own namespace.
        ip("-n", hosts[0], "link", "add", links[0], "type", "veth", "peer", "name", links[1],
           "netns", hosts[1])  # fmt: skip
        for number, (host, link) in enumerate(zip(hosts, links, strict=True), start=1):
            ip("-n", host, "addr", "add", f"10.77.0.{number}/24", "dev", link)
            ip("-n", host, "link", "set", link, "up")
        yield hosts


def command(host: str, code: str, *arguments: str) -> list[str]:
    return ["ip", "netns", "exec", host, sys.executable, "-c", code, *arguments]


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(tmp_path)}


@contextlib.contextmanager
def announced(host: str, nameplate: str, port: int) -> Iterator[None]:
    with subprocess.Popen(
        command(host, ANNOUNCE, nameplate, str(port)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"announced\n"
            yield
            process.stdin.close()
            assert process.wait(90) == 0
        finally:
            process.kill()


def ask(host: str, code: str, nameplate: str, tmp_path: Path) -> str:
    result = subprocess.run(
        command(host, code, nameplate),
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
        env=environment(tmp_path),
    )
    assert result.stderr == ""
    return result.stdout.strip()


@pytest.mark.lab
def test_one_host_finds_the_other(two_hosts: tuple[str, str], tmp_path: Path) -> None:
    here, there = two_hosts
    with announced(here, "42", 4000), announced(here, "43", 4001):
        urls, seconds = json.loads(ask(there, FIND, "42", tmp_path))
        assert urls == ["ws://10.77.0.1:4000/v1"]
        assert seconds < 3.0  # it does not wait for the end of the search
        print("found in", seconds)
        assert ask(there, DISCOVER, "43", tmp_path) == "ws://10.77.0.1:4001/v1"
        assert ask(there, DISCOVER, "44", tmp_path) == "NoSuchCode"
    # They said goodbye, and nobody else is there.
    assert ask(there, DISCOVER, "42", tmp_path) == "RendezvousUnreachable"


@pytest.mark.lab
def test_two_senders_with_one_number_are_told_apart(
    two_hosts: tuple[str, str], tmp_path: Path
) -> None:
    here, there = two_hosts
    with announced(here, "42", 4000), announced(here, "42", 4001):
        assert ask(there, DISCOVER, "42", tmp_path) == "Refused"


@pytest.mark.lab
def test_a_host_without_a_network(two_hosts: tuple[str, str], tmp_path: Path) -> None:
    here, _ = two_hosts
    link = json.loads(
        subprocess.run(
            ["ip", "-n", here, "-j", "link"], check=True, capture_output=True, text=True
        ).stdout
    )[-1]["ifname"]
    ip("-n", here, "link", "set", link, "down")
    with announced(here, "42", 4000):
        pass
    assert ask(here, DISCOVER, "99", tmp_path) == "RendezvousUnreachable"
