"""Two clients and the server, all three machines, over sockets that drop anywhere.

A socket is two queues of frames. Dropping it loses what is in them: any tail of what was
sent, in either direction, as a broken TCP connection does. Time is the test's own.
"""

import itertools
import random
from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rtcsend.rendezvous.frames import serialize
from rtcsend.rendezvous.machine import ClientMachine, State
from rtcsend.rendezvous.machine_events import (
    Attached,
    Failed,
    MachineEvent,
    MessageReceived,
    PeerPresence,
)
from rtcsend.rendezvous.messages import Allocate, Claim, Meet, Welcome
from signal_server.limits import Limits
from signal_server.outputs import Close, Output
from tests.fakes.rendezvous import RendezvousMachine


class Wire:
    """One socket: the client's end and the server's."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.to_server: deque[str] = deque()
        self.to_client: deque[str] = deque()
        self.known_to_server = True
        self.open = True


class Client:
    def __init__(self, net: "Net", name: str) -> None:
        self.net = net
        self.machine = ClientMachine(side=name * 22)
        self.wire: Wire | None = None
        self.events: list[MachineEvent] = []
        self.said: list[bytes] = []

    @property
    def heard(self) -> list[bytes]:
        return [event.body for event in self.events if isinstance(event, MessageReceived)]

    @property
    def presence(self) -> list[str]:
        return [event.state for event in self.events if isinstance(event, PeerPresence)]

    @property
    def nameplate(self) -> str | None:
        return next((event.nameplate for event in self.events if isinstance(event, Attached)), None)

    def say(self, body: bytes) -> None:
        self.machine.send(body)
        self.said.append(body)
        self.flush()

    def connect(self) -> None:
        self.wire = self.net.dial(self)
        self.machine.connected()

    def drop(self) -> None:
        """Lose the socket; the server learns of it later, or never."""
        if self.wire is not None:
            self.wire.open = False
            self.wire = None
            self.machine.disconnected()

    def read(self, frames: int) -> None:
        for _ in range(frames):
            if self.wire is None or not self.wire.to_client:
                return
            self.machine.receive_frame_untrusted(self.wire.to_client.popleft())
            while (event := self.machine.next_event()) is not None:
                self.events.append(event)
            self.flush()

    def flush(self) -> None:
        if self.wire is not None:
            self.wire.to_server.extend(self.machine.frames_to_send())


class Net:
    """The server, and every socket that there ever was."""

    def __init__(self) -> None:
        counter = itertools.count()
        self.server = RendezvousMachine(
            welcome=Welcome(server="test"),
            limits=Limits(),
            entropy=lambda size: next(counter).to_bytes(size, "big"),
        )
        self.wires: dict[int, Wire] = {}
        self.owners: dict[int, Client] = {}
        self.now = 0.0
        self._numbers = itertools.count(1)

    def dial(self, client: Client) -> Wire:
        wire = Wire(next(self._numbers))
        self.wires[wire.number] = wire
        self.owners[wire.number] = client
        self._do(self.server.connect(wire.number, "192.0.2.1", now=self.now))
        return wire

    def serve(self, wire: Wire, frames: int) -> None:
        """Let the server read some frames of one socket."""
        for _ in range(frames):
            if not wire.to_server or not wire.known_to_server:
                return
            frame = wire.to_server.popleft()
            self._do(self.server.receive(wire.number, frame, now=self.now))

    def notice(self, wire: Wire) -> None:
        """Let the server notice that a socket is gone."""
        if wire.known_to_server:
            wire.known_to_server = False
            self._do(self.server.disconnect(wire.number, now=self.now))

    def settle(self, *clients: Client) -> None:
        """Reconnect everybody, and deliver everything."""
        for client in clients:
            if client.wire is None:
                client.connect()
        for _ in range(200):
            for wire in list(self.wires.values()):
                if wire.open:
                    self.serve(wire, 100)
                else:
                    self.notice(wire)
            for client in clients:
                client.read(100)
                if client.wire is None:
                    client.connect()

    def _do(self, outputs: list[Output]) -> None:
        for output in outputs:
            wire = self.wires[output.connection]
            if isinstance(output, Close):
                wire.known_to_server = False
                owner = self.owners[wire.number]
                if owner.wire is wire and output.code == 4001:
                    raise AssertionError("a live socket was replaced")
                if owner.wire is wire:
                    owner.drop()
            else:
                wire.to_client.append(serialize(output.message))


def paired() -> tuple[Net, Client, Client]:
    net = Net()
    a, b = Client(net, "A"), Client(net, "B")
    a.connect()
    b.connect()
    a.machine.request(Allocate())
    net.settle(a)
    assert a.nameplate is not None
    b.machine.request(Claim(nameplate=a.nameplate))
    return net, a, b


@pytest.mark.parametrize("seed", range(100))
def test_every_body_arrives_once_and_in_order(seed: int) -> None:
    rng = random.Random(seed)
    net, a, b = paired()
    numbers = itertools.count()
    for _ in range(150):
        client = rng.choice([a, b])
        wire = rng.choice(list(net.wires.values()))
        match rng.randrange(8):
            case 0:
                client.drop()
            case 1 | 2 if client.wire is None:
                client.connect()
            case 3 | 4 if client.machine.state is not State.IDLE:
                client.say(b"%d" % next(numbers))
            case 5 | 6:
                client.read(rng.randrange(1, 4))
            case _ if wire.open:
                net.serve(wire, rng.randrange(1, 4))
            case _ if rng.random() < 0.5:
                net.serve(wire, rng.randrange(1, 4))  # what was on its way still arrives
            case _:
                net.notice(wire)
    net.settle(a, b)
    assert a.heard == b.said
    assert b.heard == a.said
    assert a.machine.state is State.ATTACHED
    assert not any(isinstance(event, Failed) for event in a.events + b.events)


def test_the_simulation_would_see_a_loss() -> None:
    net, a, b = paired()
    net.settle(a, b)
    a.say(b"1")
    net.settle(a, b)
    assert b.heard == [b"1"]
    b.machine._received -= 1  # forget that it came
    b.drop()
    net.settle(a, b)
    assert b.heard == [b"1", b"1"]


@pytest.mark.parametrize("phase", range(8))
def test_a_drop_after_each_frame_of_the_way_in(phase: int) -> None:
    """The socket of the claiming side breaks when so many frames have been handled."""
    net, a, b = paired()
    a.say(b"from a")
    b.machine.send(b"from b")
    for _ in range(phase):
        assert b.wire is not None
        net.serve(b.wire, 1)
        b.read(1)
    b.drop()
    net.settle(a, b)
    assert b.heard == [b"from a"]
    assert a.heard == [b"from b"]


def test_an_answer_that_was_lost_is_given_again() -> None:
    net = Net()
    a = Client(net, "A")
    a.connect()
    a.machine.request(Allocate())
    a.read(1)
    assert a.wire is not None
    net.serve(a.wire, 1)  # the server has allocated, and its answer is lost
    a.drop()
    net.settle(a)
    assert net.server.directory.live == 1
    assert a.nameplate is not None


def test_a_third_party_does_not_disturb() -> None:
    net, a, b = paired()
    net.settle(a, b)
    c = Client(net, "C")
    c.connect()
    c.machine.request(Claim(nameplate=a.nameplate or ""))
    net.settle(a, b, c)
    [failed] = [event for event in c.events if isinstance(event, Failed)]
    assert failed.error.code == "not-found"
    a.say(b"x")
    net.settle(a, b)
    assert b.heard == [b"x"]
    assert a.presence == ["joined"]


def test_meetings_survive_as_well() -> None:
    net = Net()
    a, b = Client(net, "A"), Client(net, "B")
    for client in (a, b):
        client.connect()
        client.machine.request(Meet(mailbox="m" * 22))
        client.say(b"hello")
        net.settle(client)
    for client in (a, b, a, b):
        client.drop()
        client.say(b"again")
        net.settle(a, b)
    assert a.heard == b.said
    assert b.heard == a.said


class PairMachine(RuleBasedStateMachine):
    """The same, with Hypothesis as the one who breaks things, and shrinks how."""

    @initialize()
    def pair(self) -> None:
        self.net, self.a, self.b = paired()
        self.numbers = itertools.count()

    def client(self, *, first: bool) -> Client:
        return self.a if first else self.b

    @rule(first=st.booleans())
    def drop(self, *, first: bool) -> None:
        self.client(first=first).drop()

    @rule(first=st.booleans())
    def connect(self, *, first: bool) -> None:
        client = self.client(first=first)
        if client.wire is None:
            client.connect()

    @rule(first=st.booleans())
    def say(self, *, first: bool) -> None:
        self.client(first=first).say(b"%d" % next(self.numbers))

    @rule(first=st.booleans(), frames=st.integers(1, 3))
    def read(self, *, first: bool, frames: int) -> None:
        self.client(first=first).read(frames)

    @rule(data=st.data(), frames=st.integers(1, 3))
    def serve(self, data: st.DataObject, frames: int) -> None:
        self.net.serve(data.draw(st.sampled_from(list(self.net.wires.values()))), frames)

    @precondition(lambda self: any(not wire.open for wire in self.net.wires.values()))
    @rule(data=st.data())
    def notice(self, data: st.DataObject) -> None:
        gone = [wire for wire in self.net.wires.values() if not wire.open]
        self.net.notice(data.draw(st.sampled_from(gone)))

    @invariant()
    def a_prefix_has_arrived(self) -> None:
        if hasattr(self, "a"):
            assert self.a.heard == self.b.said[: len(self.a.heard)]
            assert self.b.heard == self.a.said[: len(self.b.heard)]

    def teardown(self) -> None:
        if hasattr(self, "a"):
            self.net.settle(self.a, self.b)
            assert self.a.heard == self.b.said
            assert self.b.heard == self.a.said


TestPair = PairMachine.TestCase
TestPair.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
