"""Plain aiortc as the data path: what it needs of the ways below it."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from rtcsend.datapath import stock
from rtcsend.datapath.stock import StockPath
from tests.datapath.ways import FakeIce, Host

if TYPE_CHECKING:
    from aiortc import RTCDtlsTransport

    from rtcsend.peer.description import Description
    from rtcsend.peer.ice import IceConnection


async def test_ip_may_cut_its_packets_on_every_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have one size, and a tunnel over IPv4 may take less: nobody there would find out."""
    cut: list[tuple[object, bool]] = []
    monkeypatch.setattr(
        stock, "allow_fragmentation", lambda way, *, allowed: cut.append((way, allowed))
    )
    first, later = Host(), Host()
    ice = FakeIce(first)
    dtls = SimpleNamespace(state="new", transport=SimpleNamespace(role="controlling"))
    path = StockPath(cast("RTCDtlsTransport", dtls), cast("IceConnection", ice))

    async def start(*_arguments: object) -> None:
        path.control._setReadyState("open")

    async def stop() -> None:
        pass

    monkeypatch.setattr(path._sctp, "start", start)
    monkeypatch.setattr(path._sctp, "stop", stop)
    remote = SimpleNamespace(max_message_size=65_536, sctp_port=5_000)
    await path.open(cast("Description", remote))
    assert callable(ice.on_transport)
    ice.on_transport(later)
    assert cut == [(first, True), (later, True)]
    await path.close()
    assert ice.on_transport is None
