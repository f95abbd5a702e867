import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_server.sources import client_address_untrusted, is_trusted, site_of, source_of

PROXIES = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "10.1.0.0/16", "fd00::/8")))


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unknown", "unknown"),
    ],
)
def test_source_of(address: str, source: str) -> None:
    assert source_of(address) == source


@pytest.mark.parametrize(
    ("source", "site"),
    [
        ("2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("fe80::/64", "fe80::/48"),
        ("192.0.2.1", None),
        ("unknown", None),
        ("a:b", None),
    ],
)
def test_site_of(source: str, site: str | None) -> None:
    assert site_of(source) == site


@pytest.mark.parametrize(
    ("address", "trusted"),
    [("127.0.0.9", True), ("::ffff:10.1.2.3", True), ("fd12::1", True), ("10.2.0.1", False),
     ("::1", False), ("unix", False)],
)  # fmt: skip
def test_is_trusted(address: str, trusted: bool) -> None:
    assert is_trusted(address, PROXIES) is trusted


@pytest.mark.parametrize(
    ("peer", "forwarded", "x_forwarded_for", "client"),
    [
        # Nobody who is not trusted is believed.
        ("192.0.2.1", ["for=198.51.100.1"], ["198.51.100.1"], "192.0.2.1"),
        ("127.0.0.1", [], [], "127.0.0.1"),
        ("127.0.0.1", [], ["198.51.100.1"], "198.51.100.1"),
        # The client wrote the first one itself; the proxy added the last.
        ("127.0.0.1", [], ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", [], ["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        # A chain of proxies of ours.
        ("127.0.0.1", [], ["203.0.113.9, 198.51.100.1, 10.1.0.4"], "198.51.100.1"),
        ("127.0.0.1", [], ["10.1.0.5, 10.1.0.4"], "10.1.0.5"),
        ("127.0.0.1", [], ["198.51.100.1:4711"], "198.51.100.1"),
        ("127.0.0.1", [], ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("127.0.0.1", [], ["2001:db8::1"], "2001:db8::1"),
        ("127.0.0.1", [], ["198.51.100.1, nonsense, 10.1.0.4"], "10.1.0.4"),
        ("127.0.0.1", [], ["x" * 5_000 + ", 198.51.100.1"], "127.0.0.1"),
        # RFC 7239.
        ("127.0.0.1", ["for=198.51.100.1;proto=https;by=10.1.0.4"], [], "198.51.100.1"),
        # A proxy adds to one of the two and passes on the other, which the client wrote.
        ("127.0.0.1", ["for=203.0.113.9"], ["198.51.100.1"], "127.0.0.1"),
        ("127.0.0.1", ["for=198.51.100.1"], ["203.0.113.9"], "127.0.0.1"),
        ("127.0.0.1", ["for=203.0.113.9"], ["x" * 5_000 + ", 198.51.100.1"], "127.0.0.1"),
        ("127.0.0.1", ["for=198.51.100.1"], ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ['For="[2001:db8:cafe::17]:4711"'], [], "2001:db8:cafe::17"),
        ("127.0.0.1", ["for=203.0.113.9, proto=http;for=198.51.100.1"], [], "198.51.100.1"),
        ("127.0.0.1", ["for=_hidden"], ["203.0.113.9"], "127.0.0.1"),
        ("127.0.0.1", ["for=203.0.113.9, proto=https"], [], "127.0.0.1"),
    ],
)  # fmt: skip
def test_client_address(
    peer: str, forwarded: list[str], x_forwarded_for: list[str], client: str
) -> None:
    found = client_address_untrusted(
        peer, forwarded=forwarded, x_forwarded_for=x_forwarded_for, trusted=PROXIES
    )
    assert found == client


@given(st.lists(st.text(max_size=30), max_size=4), st.lists(st.text(max_size=30), max_size=4))
def test_any_header_gives_an_address(forwarded: list[str], x_forwarded_for: list[str]) -> None:
    found = client_address_untrusted(
        "127.0.0.1", forwarded=forwarded, x_forwarded_for=x_forwarded_for, trusted=PROXIES
    )
    ipaddress.ip_address(found)
