"""The laboratory as a whole: NATs are of their kind, faults happen, nothing is left."""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Kind, Lab
from tests.lab.lab import SECOND, SERVER
from tests.lab.namespace import LabError
from tests.lab.probe import Behaviour, behaviour, mapped_address, ping
from tests.lab.required import require_lab
from tests.lab.turn import DEAD, PORT, TLS_PORT, WEB_PORT

pytestmark = pytest.mark.lab

PATIENCE = 30.0  # seconds for what comes
INDEPENDENT, BOTH = "endpoint-independent", "address and port-dependent"
BEHAVIOURS = {
    Kind.OPEN: Behaviour(mapping=INDEPENDENT, filtering=INDEPENDENT),
    Kind.FIREWALL: Behaviour(mapping=INDEPENDENT, filtering=BOTH),
    Kind.FULL_CONE: Behaviour(mapping=INDEPENDENT, filtering=INDEPENDENT),
    Kind.RESTRICTED: Behaviour(mapping=INDEPENDENT, filtering="address-dependent"),
    Kind.PORT_RESTRICTED: Behaviour(mapping=INDEPENDENT, filtering=BOTH),
    Kind.SYMMETRIC: Behaviour(mapping=BOTH, filtering=BOTH),
    Kind.UDP_BLOCKED: Behaviour(mapping="blocked", filtering="blocked"),
    Kind.TLS_ONLY: Behaviour(mapping="blocked", filtering="blocked"),
    Kind.PROXY_ONLY: Behaviour(mapping="blocked", filtering="blocked"),
}
NATS = [kind for kind in Kind if kind.translates and BEHAVIOURS[kind].mapping != "blocked"]
BINDING_REQUEST = struct.Struct("!HHI12s").pack(0x0001, 0, 0x2112_A442, bytes(12))  # RFC 8489 §5

OTHER_ADDRESS = bytes.fromhex("802c 0008 0001")  # RFC 5780 §7.4: it has one, of IPv4


@pytest.fixture(scope="module")
def built() -> Iterator[Lab]:
    require_lab()
    with Lab() as lab:
        yield lab


@pytest.fixture
def lab(built: Lab) -> Lab:
    """The one laboratory of this module, as if it were new."""
    built.a.heal()
    built.a.kind = built.b.kind = Kind.OPEN
    return built


def test_every_kind_has_its_behaviour() -> None:
    assert set(BEHAVIOURS) == set(Kind)


@pytest.mark.parametrize("kind", list(Kind))
def test_kinds(lab: Lab, kind: Kind) -> None:
    lab.a.kind = kind
    assert behaviour(lab.alice, lab) == BEHAVIOURS[kind]


@pytest.mark.parametrize("kind", NATS)
def test_the_net_sees_the_router_only(lab: Lab, kind: Kind) -> None:
    lab.a.kind = kind
    mapped = mapped_address(lab.alice, lab)
    assert mapped is not None
    assert mapped[0] == lab.a.address != lab.alice.address


@pytest.mark.parametrize("kind", NATS)
def test_rebinding_gives_other_ports(lab: Lab, kind: Kind) -> None:
    lab.a.kind = kind
    with lab.alice.socket() as sock, lab.srv.socket() as server:
        server.bind((SERVER, 7003))
        server.settimeout(PATIENCE)
        seen = []
        for _ in range(2):
            sock.sendto(b"", (SERVER, 7003))
            seen.append(server.recvfrom(1)[1])
            lab.a.rebind()
        server.sendto(b"to whom this was before", seen[0])
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(64)
    (one, one_port), (other, other_port) = seen
    assert one == other
    assert one_port != other_port
    assert behaviour(lab.alice, lab) == BEHAVIOURS[kind]


def test_rebinding_to_another_address(lab: Lab) -> None:
    lab.a.kind = Kind.PORT_RESTRICTED
    before = lab.a.address
    lab.a.rebind(address=True)
    mapped = mapped_address(lab.alice, lab)
    assert mapped is not None
    assert mapped[0] == lab.a.address != before


@pytest.mark.parametrize("kind", [Kind.FIREWALL, Kind.PORT_RESTRICTED])
def test_tcp_does_not_survive_what_the_router_forgot(lab: Lab, kind: Kind) -> None:
    lab.a.kind = kind
    with lab.srv.socket(socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the case before was here
        server.bind((SERVER, 7004))
        server.listen()
        with lab.alice.socket(socket.SOCK_STREAM) as sock:
            sock.connect((SERVER, 7004))
            accepted, _ = server.accept()
            with accepted:
                accepted.settimeout(PATIENCE)
                sock.sendall(b"1")
                assert accepted.recv(1) == b"1"
                lab.a.rebind()
                sock.sendall(b"2")
                accepted.settimeout(0.4)
                with pytest.raises(TimeoutError):
                    accepted.recv(1)


def test_only_two_tcp_ports_where_udp_is_blocked(lab: Lab) -> None:
    lab.a.kind = Kind.UDP_BLOCKED
    for port, is_open in {80: False, 443: True, 3478: True, 8765: False}.items():
        with lab.srv.socket(socket.SOCK_STREAM) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((SERVER, port))
            server.listen()
            with lab.alice.socket(socket.SOCK_STREAM) as sock:
                sock.settimeout(PATIENCE if is_open else 0.3)
                assert (sock.connect_ex((SERVER, port)) == 0) == is_open


def test_two_hosts_behind_one_nat_meet_inside_and_not_outside(lab: Lab) -> None:
    lab.a.kind = Kind.FULL_CONE
    with lab.alice.socket() as alice, lab.carol.socket() as carol, lab.srv.socket() as server:
        server.bind((SERVER, 7005))
        server.settimeout(PATIENCE)
        alice.sendto(b"", (SERVER, 7005))
        mapped = server.recvfrom(1)[1]
        alice.settimeout(0.3)
        carol.sendto(b"hairpin", mapped)
        with pytest.raises(TimeoutError):
            alice.recv(64)
        alice.settimeout(PATIENCE)
        carol.sendto(b"inside", (lab.alice.address, alice.getsockname()[1]))
        assert alice.recv(64) == b"inside"


def test_another_address_behind_the_same_nat(lab: Lab) -> None:
    before = lab.alice.address
    lab.alice.readdress()
    assert lab.alice.address != before
    assert ping(lab.bob, lab.alice.address)
    assert ping(lab.bob, before, count=1, wait=0.2) == []


def test_another_nat(lab: Lab) -> None:
    lab.b.kind = Kind.PORT_RESTRICTED
    lab.carol.move(lab.b)
    mapped = mapped_address(lab.carol, lab)
    assert mapped is not None
    assert mapped[0] == lab.b.address
    lab.carol.move(lab.a)
    assert ping(lab.carol, SERVER)


def test_unplugged(lab: Lab) -> None:
    lab.alice.unplug()
    with pytest.raises(OSError, match="unreachable"):
        ping(lab.alice, SERVER)
    lab.alice.plug()
    assert ping(lab.alice, SERVER)


def test_a_path_that_shrinks_and_says_so(lab: Lab) -> None:
    lab.a.shrink(1_300)
    try:
        with lab.alice.socket() as sock:
            sock.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
            sock.connect((SERVER, 7006))
            sock.send(bytes(1_400))
            ping(lab.alice, SERVER, count=1)  # the router's answer has come by then
            assert sock.getsockopt(socket.IPPROTO_IP, 14) == 1_300  # IP_MTU
    finally:
        lab.a.shrink(1_500)


@pytest.mark.parametrize("address", ["8.8.8.8", "10.9.9.9", DEAD])
def test_there_is_no_way_out(lab: Lab, address: str) -> None:
    for host in (lab.alice, lab.srv):
        assert ping(host, address, count=1, wait=0.2) == []


def test_every_interface_ends_in_the_lab(lab: Lab) -> None:
    for host in (lab.alice, lab.carol, lab.bob, lab.srv):
        assert len(host.run(["ip", "-o", "link"]).splitlines()) == 2  # lo, eth0
    assert len(lab.net.run(["ip", "-o", "link"]).splitlines()) == 4  # lo, srv, a, b


def test_stun_and_turn(lab: Lab) -> None:
    turn = lab.turn()
    for address, port in ((SERVER, PORT), (SECOND, PORT)):
        with lab.alice.socket() as sock:
            sock.settimeout(PATIENCE)
            sock.sendto(BINDING_REQUEST, (address, port))
            answer = sock.recv(1_500)
            assert answer[:2] == b"\x01\x01"  # a success
            assert OTHER_ADDRESS in answer
    for port in (PORT, TLS_PORT, WEB_PORT):
        with lab.alice.socket(socket.SOCK_STREAM) as stream:
            stream.settimeout(PATIENCE)
            stream.connect((SERVER, port))
    assert Path(turn.environment["SSL_CERT_FILE"]).exists()
    assert turn.ice_url("tls-443").endswith("@203.0.113.10:443?transport=tcp")


def test_a_rendezvous(lab: Lab) -> None:
    assert lab.rendezvous() == f"ws://{SECOND}:443/v1"


def test_nothing_is_left_after_an_exception() -> None:
    require_lab()
    lab = Lab()
    processes = []

    def fail() -> None:
        with lab:
            processes.append(lab.alice.popen(["sleep", "600"]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert processes[0].poll() is not None
    assert _left(lab) == []
    assert not lab.folder.exists()


def test_nothing_is_left_when_it_cannot_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    require_lab()
    monkeypatch.setattr("tests.lab.nat._input", lambda: "nonsense")
    lab = Lab(a=Kind.SYMMETRIC)
    with pytest.raises(LabError, match="nonsense"):
        with lab:
            pytest.fail("it was built")
    assert _left(lab) == []


def test_two_side_by_side(lab: Lab) -> None:
    with Lab(a=Kind.SYMMETRIC) as other:
        other.links(rtt_ms=50)
        assert min(ping(lab.alice, lab.bob.address, count=20)) < 50
        assert min(ping(other.alice, other.bob.address)) >= 50


def _left(lab: Lab) -> list[str]:
    folders = (Path("/run/netns"), Path("/etc/netns"))
    paths = [path for folder in folders if folder.exists() for path in folder.iterdir()]
    return [path.name for path in paths if path.name.startswith(lab._prefix)]
