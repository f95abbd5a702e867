"""The names of aiortc and aioice that they do not promise, and rtcsend/peer relies on.

When a test here fails after an upgrade, read the package's changes, then mend rtcsend/peer
and this file together, and move the bounds in pyproject.toml.
"""

import ast
import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path

import aioice
import aiortc
import pytest
from aiortc import (
    RTCCertificate,
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceTransport,
    RTCSctpTransport,
)

from rtcsend.errors import InternalError
from rtcsend.peer.ice import IceConnection
from rtcsend.peer.private_names import ATTRIBUTES, METHODS, check_names, missing_names

ROOT = Path(__file__).parent.parent.parent

KNOWN_PRIVATE = {
    "_nominated",
    "_protocols",
    "_queue",
    "_check_list",
    "_early_checks",
    "_find_pair",
    "_find_remote_candidate",
    "_local_candidates",
    "_remote_candidates",
    "_remote_candidates_expected",
    "_transport_policy",
    "_query_consent_task",
    "_connection",
    "_set_role",
}
"""What this file holds; test_no_other_private_name_is_touched compares."""


def moved(name: str, why: str) -> str:
    return f"{name} has moved in the installed version: rtcsend/peer needs it to {why}"


@pytest.mark.parametrize("package", [aioice, aiortc], ids=lambda package: package.__name__)
def test_the_installed_version_is_the_one_that_is_pinned(package: object) -> None:
    name = getattr(package, "__name__", "")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (pin,) = [line for line in project["dependencies"] if line.startswith(name)]
    lowest, bound = pin.removeprefix(f"{name}>=").split(",<")
    installed = tuple(int(part) for part in version(name).split(".")[:2])
    assert as_tuple(lowest) <= installed < as_tuple(bound), (
        f"{name} {version(name)} is installed, and {pin} was tried: see this file's first lines"
    )


def as_tuple(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("_nominated", "know the selected pair"),
        ("_protocols", "let the data path at the sockets"),
        ("_check_list", "take over the pairs that it makes"),
        ("_early_checks", "check what was heard before the description"),
        ("_early_checks_done", "hear of checks from then on"),
        ("_local_candidates", "keep what is gathered"),
        ("_queue", "bound what waits for the handshake"),
        ("_remote_candidates", "add peer-reflexive ones"),
        ("_closing", "end with it"),
        ("_transport_policy", "keep loopback addresses out when only relays are allowed"),
        ("_query_consent_task", "close itself from within the consent checks"),
    ],
)
def test_attributes_of_an_ice_connection(name: str, why: str) -> None:
    connection = aioice.Connection(ice_controlling=True)
    assert name in vars(connection), moved(f"aioice.Connection.{name}", why)
    reads = inspect.getsource(aioice.ice)
    assert f"self.{name}" in reads, moved(f"aioice.Connection.{name}", why)


def test_nominated_pairs_are_kept_by_component() -> None:
    assert aioice.Connection(ice_controlling=True)._nominated == {}, moved(
        "aioice.Connection._nominated", "look a pair up by its component"
    )
    source = inspect.getsource(aioice.Connection)
    assert "self._nominated[pair.component] = pair" in source, moved(
        "aioice.Connection._nominated", "look a pair up by its component"
    )


def test_a_pair_has_what_is_reported_of_it() -> None:
    source = inspect.getsource(aioice.ice.CandidatePair)
    for name in ("protocol", "remote_candidate", "local_candidate", "local_addr", "remote_addr"):
        assert f"self.{name}" in source or f"def {name}(" in source, moved(
            f"aioice.ice.CandidatePair.{name}", "report the route and check consent"
        )


def test_pairs_are_handed_over_by_the_method_that_is_replaced() -> None:
    why = "take new pairs into its own check list"
    assert list(inspect.signature(aioice.Connection.sort_check_list).parameters) == ["self"]
    added = inspect.getsource(aioice.Connection._add_remote_candidate)
    pairing = added.index("self._pair_remote_candidate(remote_candidate)")
    assert pairing < added.index("self.sort_check_list()"), moved("The call of it", why)
    for name in ("_find_pair", "_find_remote_candidate", "_remote_candidates_expected"):
        assert callable(getattr(aioice.Connection, name)), moved(f"aioice.Connection.{name}", why)
    closing = inspect.getsource(aioice.Connection.close)
    assert "[p.task for p in self._check_list if p.task is not None]" in closing, moved(
        "aioice.ice.CandidatePair.task", "have its checks ended with the connection"
    )


def test_responses_go_to_whoever_has_the_transaction() -> None:
    why = "send its checks at its own pace"
    source = inspect.getsource(aioice.ice.StunProtocol.datagram_received)
    assert "transaction = self.transactions[message.transaction_id]" in source, moved(
        "aioice.ice.StunProtocol.transactions", why
    )
    assert "transaction.response_received(message, addr)" in source, moved(
        "aioice.stun.Transaction.response_received", why
    )
    assert "self.__timeout_delay = RETRY_RTO" in inspect.getsource(aioice.stun.Transaction), moved(
        "aioice.stun.RETRY_RTO", "ask TURN servers at its own pace"
    )


def test_datagrams_come_by_the_method_that_is_replaced() -> None:
    why = "hand datagrams to the data path"
    parameters = inspect.signature(aioice.Connection.data_received).parameters
    assert list(parameters) == ["self", "data", "component"], moved(
        "The signature of aioice.Connection.data_received", why
    )
    caller = inspect.getsource(aioice.ice.StunProtocol.datagram_received)
    assert "self.receiver.data_received(data, " in caller, moved(
        "The call of aioice.Connection.data_received", why
    )
    assert "self.transport = " in inspect.getsource(aioice.ice.StunProtocol.connection_made), moved(
        "aioice.ice.StunProtocol.transport", why
    )


def test_the_transport_policy_is_the_argument() -> None:
    policy = aioice.TransportPolicy.RELAY
    connection = aioice.Connection(ice_controlling=True, transport_policy=policy)
    assert connection._transport_policy is policy


def test_consent_is_queried_by_the_method_that_is_replaced() -> None:
    why = "outlive round trips of more than half a second"
    assert list(inspect.signature(aioice.Connection.query_consent).parameters) == ["self"], moved(
        "The signature of aioice.Connection.query_consent", why
    )
    assert inspect.iscoroutinefunction(aioice.Connection.query_consent)
    closing = inspect.getsource(aioice.Connection.close)
    assert "self._query_consent_task.cancel()" in closing, moved(
        "aioice.Connection._query_consent_task", "close itself from within the consent checks"
    )


def test_a_request_takes_what_a_consent_check_says() -> None:
    parameters = inspect.signature(aioice.Connection.build_request).parameters
    assert {"pair", "nominate"} <= set(parameters), moved(
        "The signature of aioice.Connection.build_request", "check consent"
    )


def test_a_gatherer_takes_another_connection() -> None:
    why = "put its own ICE agent under aiortc's transports"
    gatherer = RTCIceGatherer(iceServers=[])
    assert isinstance(vars(gatherer).get("_connection"), aioice.Connection), moved(
        "RTCIceGatherer._connection", why
    )
    ours = IceConnection(ice_controlling=True)
    gatherer._connection = ours
    assert RTCIceTransport(gatherer)._connection is ours, moved("RTCIceTransport._connection", why)
    assert gatherer.getLocalParameters().password == ours.local_password
    assert RTCIceTransport(gatherer).role == "controlling", moved(
        "RTCIceTransport.role", "be the controlling agent as sender"
    )


@pytest.mark.parametrize("role", ["client", "server"])
def test_the_dtls_role_can_be_set(role: str) -> None:
    transport = RTCDtlsTransport(
        RTCIceTransport(RTCIceGatherer(iceServers=[])), [RTCCertificate.generateCertificate()]
    )
    assert hasattr(transport, "_set_role"), moved(
        "RTCDtlsTransport._set_role", "have the DTLS roles of the descriptions"
    )
    transport._set_role(role)
    assert transport._role == role
    assert 'if self._role == "auto"' in inspect.getsource(RTCDtlsTransport.start), moved(
        "RTCDtlsTransport._role", "have the DTLS roles of the descriptions"
    )


async def test_the_sctp_port_has_a_name() -> None:
    transport = RTCSctpTransport(
        RTCDtlsTransport(
            RTCIceTransport(RTCIceGatherer(iceServers=[])), [RTCCertificate.generateCertificate()]
        )
    )
    assert transport.port == 5000, moved("RTCSctpTransport.port", "write it into descriptions")


def test_an_allocation_can_be_made_by_hand() -> None:
    why = "get allocations from several servers"
    source = inspect.getsource(aioice.turn)
    for name in (
        *("def __init__(self, inner_protocol: TurnClientProtocol)", "self.__close_task"),
        "async def _connect(self, protocol: asyncio.DatagramProtocol)",
        *("self.integrity_key: bytes | None", "self.nonce", "self.realm", "self.username"),
    ):
        assert name in source, moved(f"aioice.turn: {name!r}", why)


def test_checks_come_by_the_method_that_is_replaced() -> None:
    why = "learn of the other side's lanes"
    parameters = inspect.signature(aioice.Connection.check_incoming).parameters
    assert list(parameters) == ["self", "message", "addr", "protocol"], moved(
        "aioice.Connection.check_incoming", why
    )
    caller = inspect.getsource(aioice.Connection.request_received)
    answer = caller.index("protocol.send_stun(response, addr)")
    assert caller.index("check_message_integrity") < answer, moved("The check's credentials", why)
    assert answer < caller.index("self.check_incoming(message, addr, protocol)"), moved(
        "The call of aioice.Connection.check_incoming", why
    )


def test_what_the_data_path_takes_over_of_a_relay() -> None:
    why = "read and write a connection to a TURN server in batches"
    source = inspect.getsource(aioice.turn)
    for name in (
        *("self.__inner_protocol = inner_protocol", "self.channel_to_peer: dict[int, tuple[str"),
        "self.peer_to_channel: dict[tuple[str, int], int]",
        *("self.receiver: asyncio.DatagramProtocol", "self.server = server", "self.buffer += data"),
    ):
        assert name in source, moved(f"aioice.turn: {name!r}", why)
    parameters = inspect.signature(aioice.turn.TurnClientMixin.datagram_received).parameters
    assert list(parameters) == ["self", "data", "addr"], moved("datagram_received", why)


def test_what_keeps_allocations_and_channels() -> None:
    why = "renew them in time"
    source = inspect.getsource(aioice.turn)
    for name in (
        "self.refresh_task = asyncio.create_task(self.refresh(time_to_expiry))",
        "await self.channel_bind(channel, addr)",
        "channel = self.peer_to_failed_channel.pop(addr, None)",
        "self.channel_refresh_at[channel] = now + self.channel_refresh_time",
        "elif now > self.channel_refresh_at[channel]",
        "self._send(header + data)",
    ):
        assert name in source, moved(f"aioice.turn: {name!r}", why)


def test_no_other_private_name_is_touched() -> None:
    touched = set()
    for path in (ROOT / "rtcsend" / "peer").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = {
            node.attr if isinstance(node, ast.Attribute) else node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            or (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
        }
        touched |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
            and node.attr not in own - KNOWN_PRIVATE
        }
    assert touched == KNOWN_PRIVATE, "hold the new name above, or forget the old one"


def test_what_is_touched_is_looked_for_before() -> None:
    looked_for = {
        name for table in (ATTRIBUTES, METHODS) for names in table.values() for name in names
    }
    assert looked_for >= KNOWN_PRIVATE
    assert missing_names() == []
    check_names()


@pytest.mark.parametrize("owner", ATTRIBUTES, ids=lambda owner: owner.__name__)
def test_an_attribute_that_has_moved_is_named(owner: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "__init__", lambda _self: None)
    assert missing_names() == [f"{owner.__name__}.{name}" for name in ATTRIBUTES[owner]]


def test_a_method_that_has_moved_is_named_before_anything_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(RTCDtlsTransport, "_set_role")
    with pytest.raises(InternalError, match=r"has moved RTCDtlsTransport\._set_role") as caught:
        check_names()
    assert caught.value.hint == "Install the versions that rtcsend asks for."
