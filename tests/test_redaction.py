from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.redaction import replace_addresses


def hide(text: str) -> str:
    return replace_addresses(text, lambda _address: "?")


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Connect call failed ('192.0.2.1', 443)", "Connect call failed ('?', 443)"),
        ("192.0.2.1:443: refused.", "?:443: refused."),
        ("[2001:db8::7]:443 and fe80::1%eth0", "[?]:443 and ?%eth0"),
        ("2001:db8::7: refused; fe80::", "?: refused; ?"),
        ("::1", "?"),
        ("::ffff:192.0.2.1", "?:?"),
        ("version 0.1.0 at 12:30:45.123, 7::", "version 0.1.0 at 12:30:45.123, ?"),
        ("999.1.1.1 is none", "999.1.1.1 is none"),
        ("", ""),
    ],
)
def test_addresses(text: str, hidden: str) -> None:
    assert hide(text) == hidden


@given(st.ip_addresses(), st.text(), st.text())
def test_no_address_is_left(address: IPv4Address | IPv6Address, before: str, after: str) -> None:
    assert f" {address} " not in hide(f"{before} {address} {after}")
