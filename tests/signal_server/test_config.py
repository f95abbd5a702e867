import pytest

from rtcsend.errors import UsageError
from signal_server.config import ServerConfig
from signal_server.limits import Limits
from signal_server.messages import MAX_BODY, IceServer, Message, serialize


def test_the_welcome_holds_what_clients_need() -> None:
    server = IceServer(("stun:h",))
    welcome = ServerConfig(ice_servers=(server,), motd="hi").welcome
    assert welcome.ice_servers == (server,)
    assert welcome.motd == "hi"


def test_embedded_servers_draw_from_a_wider_range() -> None:
    assert ServerConfig().nameplate_bounds is None
    assert ServerConfig(embedded=True).nameplate_bounds == (10, 999)


def test_a_full_mailbox_has_to_fit_what_waits_for_all_readers() -> None:
    limits = Limits(max_bytes=10 * 2**20)
    whole = sum(
        len(serialize(Message(bytes(MAX_BODY)))) + 10 for _ in range(limits.max_bytes // MAX_BODY)
    )
    assert limits.max_queued_bytes > whole
    many = Limits(max_bytes=2_000, max_messages=100_000)
    assert many.max_queued_bytes > many.max_messages * (len(serialize(Message(b""))) + 10)
    with pytest.raises(
        UsageError, match=f"{limits.max_queued_bytes} bytes .*total_queued"
    ) as caught:
        Limits(max_bytes=10 * 2**20, max_total_queued_bytes=limits.max_queued_bytes - 1)
    assert "max_bytes" in caught.value.hint


@pytest.mark.parametrize("port", [-1, 65_536])
def test_ports(port: int) -> None:
    with pytest.raises(UsageError, match="port"):
        ServerConfig(port=port)


def test_what_clients_would_refuse_is_refused() -> None:
    with pytest.raises(UsageError):
        ServerConfig(motd="x" * 1_001)
    with pytest.raises(UsageError):
        ServerConfig(ice_servers=(IceServer(("stun:h",)),) * 21)
    with pytest.raises(UsageError):
        ServerConfig(ice_servers=(IceServer(("http://h",)),))
    long = IceServer(tuple(f"turn:{'h' * 480}:{port}" for port in range(8)))
    with pytest.raises(UsageError):
        ServerConfig(ice_servers=(long,) * 20)  # over 64 KiB together
