"""What the system says of this machine: nothing is sent, and nobody is asked."""

import socket

import pytest

from rtcsend.doctor import host
from rtcsend.doctor.host import has_only_ipv6, machine_checks, maybe_source, own_addresses, resolve
from rtcsend.doctor.interfaces import Address


def test_loopback_is_there() -> None:
    assert "127.0.0.1" in {one.address for one in own_addresses()}
    assert maybe_source(("127.0.0.1", 9)) == "127.0.0.1"


async def test_literals_are_resolved() -> None:
    assert await resolve("127.0.0.1", 5) == [("127.0.0.1", 5)]
    assert await resolve("::1", 5) == [("::1", 5)]
    with pytest.raises(socket.gaierror):
        await resolve("x..y", 5)
    with pytest.raises(socket.gaierror):
        await resolve("x" * 64 + ".example", 5)


def machine(
    monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, str], routes: tuple[str, ...]
) -> dict[str, tuple[str, str]]:
    """Return what is said of a machine, by check and target."""
    found = [Address(interface=name, address=address) for name, address in addresses]
    monkeypatch.setattr(host, "own_addresses", lambda: found)
    sources = {":" in source: source for source in routes}
    monkeypatch.setattr(host, "maybe_source", lambda endpoint: sources.get(":" in endpoint[0]))
    return {one.check + one.target: (one.status, one.text) for one in machine_checks()}


def test_a_machine_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    said = machine(
        monkeypatch,
        ("lo", "127.0.0.1"),
        ("wlan0", "192.168.1.7"),
        ("docker0", "172.17.0.1"),
        ("eth1", "fe80::1"),
        routes=("192.168.1.7",),
    )
    assert said == {
        "addresslo": ("note", "127.0.0.1, this machine only"),
        "addresswlan0": ("ok", "192.168.1.7, private"),
        "addressdocker0": ("note", "172.17.0.1, looks like containers or virtual machines"),
        "addresseth1": ("note", "fe80::1, this cable or Wi-Fi only; not used"),
        "ipv4": ("ok", "default route, from 192.168.1.7"),
        "ipv6": ("note", "no address but of this machine itself"),
    }


def test_a_machine_without_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    said = machine(monkeypatch, ("eth0", "192.168.1.7"), ("eth0", "2001:db8::7"), routes=())
    assert said["ipv4"] == ("note", "no default route: only the LAN can be reached")
    assert said["ipv6"] == ("note", "no default route: only the LAN can be reached")


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ((), False),
        (("192.0.2.7",), False),
        (("2001:db8::7",), True),
        (("192.0.2.7", "2001:db8::7"), False),
    ],
)
def test_only_ipv6(
    monkeypatch: pytest.MonkeyPatch, routes: tuple[str, ...], *, expected: bool
) -> None:
    machine(monkeypatch, routes=routes)
    assert has_only_ipv6() is expected
