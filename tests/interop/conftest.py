"""What the tests against other implementations share: a network without a way out."""

from collections.abc import Iterator

import pytest

from rtcsend.peer.gathering import loopback_addresses
from tests.interop.network import private_network


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep to this machine: no other interface for them, and 127.0.0.1 alone for aioice."""
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **_families: ["127.0.0.1"])
    addresses = loopback_addresses(["127.0.0.1"])
    monkeypatch.setattr("rtcsend.peer.ice.host_addresses", lambda: addresses)
    monkeypatch.delenv("RTCSEND_DATAPATH", raising=False)
    with private_network():
        yield
