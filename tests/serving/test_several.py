"""Who is let in, and what becomes of whom: real pairings at a real rendezvous, and no transfer."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from rtcsend.code.code import Code, parse_code_untrusted
from rtcsend.errors import (
    CannotRead,
    Declined,
    InternalError,
    NoSuchCode,
    PeerAborted,
    PeerNeverCame,
    Refused,
    RtcsendError,
    WrongCode,
)
from rtcsend.events import Closed, Done, Error, Event, Proposal
from rtcsend.meeting.by_words import Visit
from rtcsend.meeting.front_door import FrontDoor
from rtcsend.meeting.mailbox import BodyMailbox
from rtcsend.meeting.met import Met
from rtcsend.meeting.place import Place
from rtcsend.options import Conflict, Emit, SendOptions
from rtcsend.pairing.keys import Role
from rtcsend.pairing.machine import PairingMachine
from rtcsend.rendezvous.client import RendezvousClient
from rtcsend.serving import admission, several
from rtcsend.serving.one_by_one import OneByOne
from rtcsend.serving.several import Several
from rtcsend.tasks import cancel_all
from signal_server.config import ServerConfig
from signal_server.limits import Limits
from signal_server.server import RendezvousServer
from tests.fakes.clock import skip

DONE = Done(files=1, bytes=9, moved=9, seconds=1.0, blake3="ab", paths=("x",))
WORDS = ("guitar-velvet", "zebra-velvet", "guitar-zebra")

WAIT = 60.0  # seconds that a sender waits for those who come; the clock is moved there

Serve = Callable[[Met, Emit], Awaitable[Done]]


async def serve_well(_met: Met, _emit: Emit) -> Done:
    return DONE


class Door(FrontDoor):
    """Says how often its nameplate was open."""

    def __init__(self, options: SendOptions, scene: "Scene") -> None:
        super().__init__(options, nameplate="7")
        self._scene = scene

    @asynccontextmanager
    async def place(self) -> AsyncIterator[RendezvousClient]:
        async with super().place() as client:
            self._scene.opened += 1
            self._scene.changed.set()
            yield client


@dataclass
class Scene:
    """A sender at a server, and those who come."""

    url: str
    events: list[Event] = field(default_factory=list)
    codes: list[Code] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    opened: int = 0

    def emit(self, event: Event) -> None:
        self.events.append(event)
        self.changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return when something holds, asked again whenever the sender has said something."""
        while not holds():
            self.changed.clear()
            await self.changed.wait()

    @asynccontextmanager
    async def sending(
        self, *, serve: Serve = serve_well, code: str | None = None, **options: object
    ) -> AsyncIterator["asyncio.Task[Done]"]:
        wanted = SendOptions(paths=(Path("x"),), server=self.url, code=code, **options)  # type: ignore[arg-type]
        async with Door(wanted, self) as door, door.place() as client:
            sender = Several(
                wanted, door=door, new_code=self._new_code, serve=serve, emit=self.emit
            )
            task = asyncio.create_task(sender.run(client, self._new_code()))
            try:
                yield task
            finally:
                await cancel_all([task])

    def _new_code(self) -> Code:
        self.codes.append(parse_code_untrusted(f"7-{WORDS[len(self.codes)]}"))
        self.changed.set()
        return self.codes[-1]

    async def come(self, code: str = "") -> Met:
        """Come with a code, as soon as the nameplate is open."""
        while True:
            async with RendezvousClient(self.url) as client:
                try:
                    await client.claim("7")
                except NoSuchCode:  # for a moment, between two receivers
                    await asyncio.sleep(0.01)
                    continue
                words = parse_code_untrusted(code) if code else self.codes[-1]
                visit = Visit(Role.RECEIVER, words, client, place=Place(self.url))
                await visit.begin()
                return await visit.pair()

    async def guess(self) -> None:
        with pytest.raises(WrongCode):
            await self.come("7-zebra-zebra")

    async def look(self) -> None:
        """Come with a guess, see by the sender's confirmation whether it was right, and go."""
        while True:
            async with RendezvousClient(self.url) as client:
                with suppress(NoSuchCode):
                    await client.claim("7")
                    mailbox = BodyMailbox(client)
                    pairing = PairingMachine(
                        Role.RECEIVER, nameplate="7", password=b"guess", entropy=os.urandom
                    )
                    await mailbox.send(pairing.start())
                    assert await mailbox.receive_body()  # the first message
                    assert await mailbox.receive_body()  # the confirmation
                    return
            await asyncio.sleep(0.01)

    def ends(self) -> list[tuple[int | None, str]]:
        return [
            (event.receiver, event.code if isinstance(event, Error) else event.name)
            for event in self.events
        ]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    limits = Limits(failed_claims=1_000_000)
    config = ServerConfig(host="127.0.0.1", port=0, limits=limits)
    async with RendezvousServer(config) as server:
        yield Scene(f"ws://127.0.0.1:{server.port}/v1")


async def test_as_many_are_let_in_as_were_asked_for(scene: Scene) -> None:
    async with scene.sending(receivers=3) as sender:
        mets = await asyncio.gather(*(scene.come() for _ in range(3)))
        done = await sender
        assert len({met.keys.verification for met in mets}) == 3
        assert (done.moved, done.bytes) == (27, 9)
        assert sorted(scene.ends()) == [(1, "done"), (2, "done"), (3, "done")]
        async with RendezvousClient(scene.url) as client:
            with pytest.raises(NoSuchCode):
                await client.claim("7")


async def test_one_end_is_nobody_else_s(scene: Scene) -> None:
    errors = iter((Declined("He declined."), ZeroDivisionError(), None))
    served = asyncio.Event()

    async def serve(_met: Met, _emit: Emit) -> Done:
        error = next(errors)
        if error is not None:
            raise error
        await served.wait()
        return DONE

    async with scene.sending(serve=serve, receivers=3) as sender:
        for _ in range(3):
            await scene.come()
        await scene.until(lambda: len(scene.events) >= 2)
        assert scene.ends() == [(1, "declined"), (2, "bug")]
        served.set()
        with pytest.raises(Declined, match=r"Of 3 receivers 1 got everything\. Receivers 1, 2"):
            await sender
    assert scene.ends()[2:] == [(3, "done")]
    assert InternalError.slug == "bug"


async def test_a_wrong_code_takes_no_place_and_tells_the_others_nothing(scene: Scene) -> None:
    async with scene.sending(receivers=3) as sender:
        await scene.come()
        await scene.guess()
        await scene.guess()
        await scene.come()
        await scene.come()
        await sender
    assert [end for _, end in scene.ends()].count("wrong-code") == 2
    assert hints(scene) == 2 * ["The code is still good for the others."]
    assert [end for _, end in scene.ends()].count("done") == 3


@pytest.mark.parametrize(("receivers", "bears"), [(2, 2), (3, 3), (9, 4)])
async def test_a_code_that_was_guessed_at_too_often_lets_nobody_in(
    scene: Scene, receivers: int, bears: int
) -> None:
    async with scene.sending(receivers=receivers) as sender:
        await scene.come()
        for _ in range(bears):
            await scene.guess()
        with pytest.raises(WrongCode, match=f"Of {receivers} receivers 1 got everything"):
            await sender
    assert [end for _, end in scene.ends()].count("done") == 1
    *good, burnt = hints(scene)[:bears]
    assert set(good) == {"The code is still good for the others."}
    assert burnt == "The code is used up: nobody else gets in with it."


def hints(scene: Scene) -> list[str]:
    """Return what those are told about the code whose sender has seen a wrong one, in order."""
    ends = [event for event in scene.events if isinstance(event, Error)]
    return [event.hint for event in ends if event.code == WrongCode.slug]


async def test_guessers_at_the_same_moment_get_no_more_guesses(scene: Scene) -> None:
    async with scene.sending(receivers=9) as sender:
        guesses = [asyncio.create_task(scene.guess()) for _ in range(9)]
        with pytest.raises(WrongCode):
            await sender
        await cancel_all(guesses)  # nobody was there for the others
    assert [end for _, end in scene.ends()].count("wrong-code") == 4 + 9  # and nobody's places


async def test_who_hangs_up_in_the_middle_has_had_a_guess(scene: Scene) -> None:
    async with scene.sending(receivers=2) as sender:
        for count in (1, 2):
            await scene.look()
            await scene.until(partial(_has_events, scene, count))
        with pytest.raises(WrongCode, match="Of 2 receivers none got everything"):
            await sender
    assert scene.ends()[:2] == [(1, PeerAborted.slug), (2, PeerAborted.slug)]


def _has_events(scene: Scene, count: int) -> bool:
    return len(scene.events) >= count


async def test_who_does_not_come_in_time_is_waited_for_no_longer(scene: Scene) -> None:
    async with scene.sending(receivers=3, timeout=WAIT) as sender:
        await scene.come()
        await scene.until(lambda: (1, "done") in scene.ends() and scene.opened == 2)
        skip(WAIT)
        with pytest.raises(PeerNeverCame, match=r"Of 3 receivers 1 got everything\. Receivers 2"):
            await sender
    assert scene.ends() == [(1, "done"), (2, "peer-never-came"), (3, "peer-never-came")]


async def test_who_is_inside_is_not_hurried_by_the_time_for_coming(scene: Scene) -> None:
    inside, late = asyncio.Event(), asyncio.Event()

    async def serve(_met: Met, _emit: Emit) -> Done:
        inside.set()
        await late.wait()
        return DONE

    async with scene.sending(serve=serve, receivers=1, forever=False, timeout=WAIT) as sender:
        await scene.come()
        await inside.wait()
        skip(WAIT)
        _, pending = await asyncio.wait([sender], timeout=0.1)
        assert pending
        late.set()
        assert await sender == DONE


async def test_all_are_ended_when_the_sender_stops(scene: Scene) -> None:
    inside: list[Met] = []
    ended: list[Met] = []

    async def serve(met: Met, _emit: Emit) -> Done:
        inside.append(met)
        scene.changed.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(met)
        return DONE

    async with scene.sending(serve=serve, receivers=3) as sender:
        await scene.come()
        await scene.come()
        await scene.until(lambda: len(inside) >= 2)
        sender.cancel()
        await asyncio.wait([sender])
        assert sender.cancelled()
    assert len(ended) == len(inside) == 2


async def test_a_number_that_somebody_has_for_a_while_is_waited_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(several, "LONGEST_TROUBLE", 0.01)
    inside = asyncio.Event()

    async def serve(_met: Met, _emit: Emit) -> Done:
        inside.set()
        return DONE

    async with scene.sending(serve=serve, receivers=1, forever=True) as sender:
        # One at a time: while he is at the door, the number is free for anybody.
        async with RendezvousClient(scene.url) as client, RendezvousClient(scene.url) as squatter:
            await client.claim("7")
            await squatter.allocate("7")
            visit = Visit(Role.RECEIVER, scene.codes[0], client, place=Place(scene.url))
            await visit.begin()
            await visit.pair()
            await inside.wait()
            await scene.until(lambda: (None, "closed") in scene.ends())
            assert not sender.done()
        inside.clear()
        await scene.come()
        await inside.wait()


async def test_for_ever_one_comes_after_the_other_and_failures_are_told(scene: Scene) -> None:
    ends = iter((DONE, CannotRead("It is gone."), DONE))

    async def serve(_met: Met, _emit: Emit) -> Done:
        end = next(ends)
        if isinstance(end, RtcsendError):
            raise end
        return end

    async with scene.sending(serve=serve, forever=True) as sender:
        for _ in range(3):
            await scene.come()
        await scene.until(lambda: len(scene.events) >= 3)
        assert not sender.done()
    assert scene.ends() == [(1, "done"), (2, "cannot-read"), (3, "done")]


async def test_for_ever_words_are_replaced_before_they_are_guessed_at_too_often(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "FIRST_PAUSE", 0.001)
    async with scene.sending(forever=True, receivers=2) as sender:
        for _ in range(admission.WRONG_GUESSES):
            await scene.guess()
        await scene.until(lambda: len(scene.codes) >= 2)
        with pytest.raises(WrongCode):
            await scene.come(str(scene.codes[0]))
        await scene.come()
        assert not sender.done()
    assert len(scene.codes) == 2
    closed = [event for event in scene.events if isinstance(event, Closed)]
    assert {event.reason for event in closed} <= {"A wrong code was tried."}  # a pause may be over
    good, renewed = hints(scene)[:3], hints(scene)[3]
    assert set(good) == {"The code is still good for the others."}
    assert renewed == "The code is used up: from now on it is another one."


async def test_for_ever_a_code_of_one_s_own_is_the_end_then(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "FIRST_PAUSE", 0.001)
    async with scene.sending(forever=True, code="7-guitar-velvet") as sender:
        for _ in range(admission.WRONG_GUESSES):
            await scene.guess()
        with pytest.raises(WrongCode, match="Too many wrong codes were tried"):
            await sender
    assert len(scene.codes) == 1


class Slow:
    """A person who is asked, and takes a while."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: asyncio.Queue[bool] = asyncio.Queue()

    async def accept(self, proposal: Proposal) -> bool:
        raise AssertionError(proposal)

    async def conflict(self, name: str) -> Conflict:
        raise AssertionError(name)

    async def verification_matches(self, verification: str) -> bool:
        self.asked.append(verification)
        return await self.answers.get()


async def test_a_person_is_asked_about_one_after_the_other() -> None:
    person = Slow()
    questions = OneByOne(person)
    first = asyncio.create_task(questions.verification_matches("1"))
    second = asyncio.create_task(questions.verification_matches("2"))
    third = asyncio.create_task(questions.verification_matches("3"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert person.asked == ["1"]
    await cancel_all([second])  # the receiver has gone away meanwhile
    person.answers.put_nowait(True)
    assert await first
    person.answers.put_nowait(False)
    assert not await third
    assert person.asked == ["1", "3"]


async def test_a_server_that_was_lost_before_anybody_came_is_come_back_to(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(several, "LONGEST_TROUBLE", 0.01)
    limits = Limits(failed_claims=1_000_000, unclaimed_seconds=0.2)
    config = ServerConfig(host="127.0.0.1", port=0, limits=limits)
    async with RendezvousServer(config) as server:
        scene.url = f"ws://127.0.0.1:{server.port}/v1"
        async with scene.sending(forever=True) as sender:
            # Nobody came for too long: the server has taken the nameplate back.
            await scene.until(lambda: (None, "closed") in scene.ends())
            await scene.come()
            await scene.until(lambda: (1, "done") in scene.ends())
            assert not sender.done()


async def test_who_looks_too_early_keeps_nobody_out_where_the_sender_serves_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RTCSEND_DISCOVERY", "local")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    options = SendOptions(paths=(Path("x"),), forever=True)
    async with FrontDoor(options, nameplate="77") as door:
        for _ in range(3 * Limits().failed_claims):
            async with RendezvousClient(door.public_url) as client:
                with pytest.raises(NoSuchCode):
                    await client.claim("77")
        async with door.place():
            assert door.nameplate == "77"


async def test_a_server_that_refuses_until_the_end_is_why_they_have_not_got_it(
    scene: Scene,
) -> None:
    limits = Limits(nameplates_per_minute=1)
    config = ServerConfig(host="127.0.0.1", port=0, limits=limits)
    async with RendezvousServer(config) as server:
        scene.url = f"ws://127.0.0.1:{server.port}/v1"
        async with scene.sending(receivers=2, timeout=WAIT) as sender:
            await scene.come()
            await scene.until(lambda: {(1, "done"), (None, "closed")} <= set(scene.ends()))
            skip(WAIT)
            with pytest.raises(Refused, match="Receiver 2 has not: the rendezvous server"):
                await sender
    assert set(scene.ends()) == {(None, "closed"), (1, "done"), (2, "refused")}
