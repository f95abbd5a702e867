"""Two allocations, bound to each other, and a burst from the one to the other."""

from aioice import stun

from rtcsend.doctor.allocation import Refusal
from rtcsend.doctor.burst import MAX_RATE
from rtcsend.doctor.relaying import RelayProbe
from rtcsend.doctor.servers import Server
from tests.doctor.turn_server import HOST, PASSWORD, USER, TurnServer
from tests.doctor.world import drawn

SERVER = Server(
    relay=True, host=HOST, port=3478, transport="udp", username=USER, credential=PASSWORD
)
DELAY = 0.02  # seconds there and back


class Stage:
    """A probe and a server, and the time."""

    def __init__(self, server: TurnServer | None = None) -> None:
        self.now = 0.0
        self.server = server or TurnServer()
        self.probe = RelayProbe(SERVER, entropy=drawn(), now=0.0)
        self._coming: list[tuple[float, int, bytes]] = []

    def run(self, end: str) -> None:
        """Run until the probe has that property."""
        while not getattr(self.probe, end):
            for out in self.probe.to_send(now=self.now):
                self._coming += [
                    (self.now + DELAY, place, data)
                    for place, data in self.server.receive(out.place, out.data)
                ]
            timer = self.probe.get_timer()
            moments = [
                moment for moment in (timer, *(at for at, _, _ in self._coming[:1])) if moment
            ]
            if not moments:
                return
            self.now = max(self.now, min(moments))
            while self._coming and self._coming[0][0] <= self.now:
                _, place, data = self._coming.pop(0)
                self.probe.receive_untrusted(data, place=place, source=None, now=self.now)
            assert self.now < 60


def test_all_of_it() -> None:
    stage = Stage()
    stage.run("asked")
    assert stage.probe.first.granted is not None
    assert stage.server.allocations == {0: (HOST, 50_000)}
    assert not stage.probe.measured
    stage.probe.measure(now=stage.now)
    stage.run("measured")
    speed = stage.probe.speed()
    assert speed is not None
    assert speed.limited
    assert speed.bytes_per_s <= MAX_RATE
    assert speed.lost == 0
    stage.probe.finish(now=stage.now)
    stage.run("done")
    assert stage.server.allocations == {}


def test_without_measuring() -> None:
    stage = Stage()
    stage.run("asked")
    stage.probe.finish(now=stage.now)
    stage.run("done")
    assert stage.server.allocations == {}
    assert stage.probe.speed() is None


def test_a_quota_of_one_is_no_fault_of_the_first() -> None:
    stage = Stage()
    stage.run("asked")
    stage.server.errors = [486]
    stage.probe.measure(now=stage.now)
    stage.run("measured")
    assert stage.probe.refusal is Refusal.QUOTA
    assert stage.probe.first.refusal is None
    assert stage.probe.speed() is None
    stage.probe.finish(now=stage.now)
    stage.run("done")
    assert stage.server.allocations == {}


def test_a_server_that_does_not_relay_to_itself() -> None:
    class Deaf(TurnServer):
        def _relay(self, place: int, channel: int, payload: bytes) -> list[tuple[int, bytes]]:
            return []

    stage = Stage(Deaf())
    stage.run("asked")
    stage.probe.measure(now=stage.now)
    stage.run("measured")
    speed = stage.probe.speed()
    assert speed is not None
    assert speed.bytes_per_s == 0


def test_a_server_that_falls_silent_is_given_up() -> None:
    stage = Stage()
    stage.run("asked")
    stage.server.forge = lambda message: None
    stage.probe.measure(now=stage.now)
    stage.run("measured")
    assert stage.probe.refusal is Refusal.SILENT
    stage.probe.finish(now=stage.now)
    stage.run("done")
    assert stage.probe.done


def test_what_comes_where_nothing_is_is_not_heard() -> None:
    stage = Stage()
    strange = stun.Message(stun.Method.ALLOCATE, stun.Class.RESPONSE, bytes(12))
    for place in (0, 1, 7):
        stage.probe.receive_untrusted(bytes(strange), place=place, source=None, now=0)
        stage.probe.receive_untrusted(b"\x40\x00\x00\x01x", place=place, source=None, now=0)
    assert not stage.probe.asked
