"""The Python API: both sides in one program, as README.md shows it."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import rtcsend
from rtcsend import errors
from rtcsend.events import Event
from rtcsend.options import Conflict
from tests.e2e.processes import listing, random_file

pytestmark = pytest.mark.e2e

SIZE = 1_500_000  # bytes; more than a block
TURNS = 200  # of the loop, in which what was cancelled must have ended: aiortc waits for nothing


@pytest.fixture(autouse=True)
def own_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("RTCSEND_DISCOVERY", "local")


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left: set[asyncio.Task[Any]] = set()
    for _ in range(TURNS):
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if not left:
            return
        await asyncio.sleep(0)
    assert not left, left


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return random_file(tmp_path / "film.iso", SIZE)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


def names(events: list[Event]) -> list[str]:
    return [event.name for event in events if not isinstance(event, rtcsend.Progress)]


async def events_of(sender: rtcsend.Sender) -> list[Event]:
    return [event async for event in sender]


def say_yes(_proposal: rtcsend.Proposal) -> bool:
    return True


@pytest.mark.datapaths
async def test_as_the_readme_shows_it(film: Path, out: Path) -> None:
    received: list[Event] = []
    async with rtcsend.Sender([film]) as sender:
        assert sender.code.count("-") == 2
        sending = asyncio.create_task(events_of(sender))
        done = await rtcsend.receive(
            sender.code, into=out, accept=say_yes, on_event=received.append
        )
        sent = await sending
    assert same(out / "film.iso", film)
    assert names(sent) == ["paired", "connected", "done"]
    assert names(received) == ["paired", "connected", "proposal", "done"]
    assert received[-1] == done
    last = sent[-1]
    assert isinstance(last, rtcsend.Done)
    assert (done.files, done.bytes, done.blake3) == (1, SIZE, last.blake3)
    assert done.paths == (str(out / "film.iso"),)
    proposal = received[2]
    assert isinstance(proposal, rtcsend.Proposal)
    assert [(entry.path, entry.bytes) for entry in proposal.entries] == [("film.iso", SIZE)]


async def test_a_folder_and_a_file(film: Path, out: Path) -> None:
    photos = film.parent / "photos"
    (photos / "empty").mkdir(parents=True)
    (photos / "a.jpg").write_bytes(b"a")
    (photos / "b.tmp").write_bytes(b"b")
    async with rtcsend.Sender([photos, film], exclude=["*.tmp"]) as sender:
        done = await rtcsend.receive(sender.code, into=out, accept=say_yes, max_files=3)
        sent = await events_of(sender)
    assert done.paths == (str(out / "photos"), str(out / "film.iso"))
    last = sent[-1]
    assert isinstance(last, rtcsend.Done)
    assert (last.files, last.bytes, last.paths) == (2, SIZE + 1, ("photos", "film.iso"))
    assert last.blake3 == done.blake3
    assert listing(out / "photos") == ["a.jpg", "empty"]
    assert same(out / "film.iso", film)


async def test_what_is_left_out_is_told(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    os.mkfifo(folder / "pipe")
    async with rtcsend.Sender([folder]) as sender:
        sending = asyncio.create_task(events_of(sender))
        await rtcsend.receive(sender.code, into=out, accept=say_yes)
        events = await sending
    assert names(events)[0] == "left-out"
    assert listing(out) == ["photos", "photos/a"]


@pytest.mark.parametrize("paths", [[], [""], ["film.iso", ""]])
async def test_nothing_to_send(paths: list[str]) -> None:
    with pytest.raises(errors.UsageError):
        rtcsend.Sender(paths)


async def test_events_need_not_be_read_in_time(film: Path, out: Path) -> None:
    """Who reads them later gets all but the progress that has been overtaken."""
    async with rtcsend.Sender([str(film)]) as sender:
        await rtcsend.receive(sender.code, into=str(out), accept=say_yes)
        seen = names(await events_of(sender))
        # A better route may be found at any time.
        assert [name for name in seen if name != "route"] == ["paired", "connected", "done"]


async def test_a_second_iteration_has_nothing_more(film: Path, out: Path) -> None:
    async with rtcsend.Sender([film]) as sender:
        await rtcsend.receive(sender.code, into=out, accept=say_yes)
        await events_of(sender)
        assert await events_of(sender) == []


async def later(_proposal: rtcsend.Proposal) -> bool:
    await asyncio.sleep(0)
    return True


async def never(_proposal: rtcsend.Proposal) -> bool:
    await asyncio.sleep(0)
    return False


async def test_accept_may_be_a_coroutine(film: Path, out: Path) -> None:
    async with rtcsend.Sender([film]) as sender:
        await rtcsend.receive(sender.code, into=out, accept=later)
        await events_of(sender)
    assert listing(out) == ["film.iso"]


@pytest.mark.parametrize("accept", [lambda _proposal: False, never], ids=["plain", "coroutine"])
async def test_declined(
    film: Path, out: Path, accept: Callable[[rtcsend.Proposal], bool | Awaitable[bool]]
) -> None:
    async with rtcsend.Sender([film]) as sender:
        with pytest.raises(errors.Declined):
            await rtcsend.receive(sender.code, into=out, accept=accept)
        with pytest.raises(errors.Declined):
            await events_of(sender)
    assert listing(out) == []


async def test_a_broken_accept_is_the_callers_own_error(film: Path, out: Path) -> None:
    def broken(_proposal: rtcsend.Proposal) -> bool:
        raise LookupError("a bug of the program")

    async with rtcsend.Sender([film]) as sender:
        with pytest.raises(LookupError):
            await rtcsend.receive(sender.code, into=out, accept=broken)
        with pytest.raises(errors.PeerAborted):
            await events_of(sender)
    assert listing(out) == []


@pytest.mark.parametrize("conflict", [Conflict.OVERWRITE, Conflict.RENAME, Conflict.SKIP])
async def test_a_file_that_exists(film: Path, out: Path, conflict: Conflict) -> None:
    (out / "film.iso").write_bytes(b"old")
    async with rtcsend.Sender([film]) as sender:
        done = await rtcsend.receive(sender.code, into=out, accept=say_yes, conflict=conflict)
        await events_of(sender)
    kept = (out / "film.iso").read_bytes() == b"old"
    assert kept is (conflict is not Conflict.OVERWRITE)
    assert done.files == (0 if conflict is Conflict.SKIP else 1)


async def test_a_file_that_exists_and_nothing_said(film: Path, out: Path) -> None:
    (out / "film.iso").write_bytes(b"old")
    async with rtcsend.Sender([film]) as sender:
        with pytest.raises(errors.TargetExists):
            await rtcsend.receive(sender.code, into=out, accept=say_yes)
        with pytest.raises(errors.Declined):
            await events_of(sender)
    assert listing(out) == ["film.iso"]


async def test_wrong_words(film: Path, out: Path) -> None:
    async with rtcsend.Sender([film], code="7-guitar-velvet") as sender:
        assert sender.code == "7-guitar-velvet"
        with pytest.raises(errors.WrongCode):
            await rtcsend.receive("7-guitar-guitar", into=out, accept=say_yes)
        with pytest.raises(errors.WrongCode):
            await events_of(sender)


async def test_what_cannot_be_sent_is_said_on_entering(tmp_path: Path) -> None:
    with pytest.raises(errors.CannotRead, match="does not exist"):
        async with rtcsend.Sender([tmp_path / "missing"]):
            pytest.fail("there is nothing to send")
    with pytest.raises(errors.UsageError):
        rtcsend.Sender([])
    with pytest.raises(errors.UsageError, match="path is empty"):
        rtcsend.Sender([""])


async def test_an_empty_path_is_not_the_current_folder() -> None:
    with pytest.raises(errors.UsageError, match="path is empty"):
        await rtcsend.receive("7-guitar-velvet", into="", accept=say_yes)


async def test_nobody_came(film: Path) -> None:
    async with rtcsend.Sender([film], timeout=0.1) as sender:
        with pytest.raises(errors.PeerNeverCame):
            await events_of(sender)


async def test_nobody_to_receive_from(out: Path) -> None:
    with pytest.raises(rtcsend.RtcsendError) as caught:
        await rtcsend.receive("7-guitar-velvet", into=out, accept=say_yes)
    assert caught.value.exit_code == 10


@pytest.mark.datapaths
async def test_leaving_early_tells_the_other_side(film: Path, out: Path) -> None:
    async with rtcsend.Sender([film], limit=500_000) as sender:
        started = asyncio.Event()
        receiving = asyncio.create_task(
            rtcsend.receive(
                sender.code, into=out, accept=say_yes, on_event=lambda _event: started.set()
            )
        )
        async for event in sender:
            if isinstance(event, rtcsend.Progress):
                break
    with pytest.raises(errors.PeerAborted) as caught:
        await receiving
    assert caught.value.exit_code == 41
    assert started.is_set()
    assert listing(out) == []


async def test_leaving_before_anybody_came(film: Path, tmp_path: Path) -> None:
    async with rtcsend.Sender([film]) as sender:
        code = sender.code
    with pytest.raises(errors.RendezvousUnreachable):
        await rtcsend.receive(code, into=tmp_path, accept=say_yes)


@pytest.mark.datapaths
async def test_a_cancelled_receive_tells_the_sender(film: Path, out: Path) -> None:
    async with rtcsend.Sender([film], limit=500_000) as sender:
        moving = asyncio.Event()

        def on_event(event: Event) -> None:
            if isinstance(event, rtcsend.Progress):
                moving.set()

        receiving = asyncio.create_task(
            rtcsend.receive(sender.code, into=out, accept=say_yes, on_event=on_event)
        )
        await moving.wait()
        receiving.cancel()
        with pytest.raises(errors.PeerAborted):
            await events_of(sender)
        with pytest.raises(asyncio.CancelledError):
            await receiving
    assert listing(out) == []


@pytest.mark.datapaths
async def test_two_transfers_at_once(film: Path, out: Path, tmp_path: Path) -> None:
    other = random_file(tmp_path / "other.iso", SIZE, seed=2)
    async with (
        rtcsend.Sender([film], code="41-guitar-velvet") as first,
        rtcsend.Sender([other], code="42-guitar-velvet") as second,
    ):
        await asyncio.gather(
            rtcsend.receive(first.code, into=out, accept=say_yes),
            rtcsend.receive(second.code, into=out, accept=say_yes),
        )
    assert same(out / "film.iso", film)
    assert same(out / "other.iso", other)


def same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


async def test_one_code_for_several(tmp_path: Path) -> None:
    source = random_file(tmp_path / "x", 300_000)
    async with rtcsend.Sender([source], receivers=2) as sender:

        async def receive(name: str) -> rtcsend.Done:
            (tmp_path / name).mkdir()
            while True:
                try:
                    return await rtcsend.receive(
                        sender.code, into=tmp_path / name, accept=lambda _proposal: True
                    )
                except errors.NoSuchCode:  # the other one has just come
                    await asyncio.sleep(0.05)

        async def follow() -> list[Event]:
            return [event async for event in sender]

        events, *dones = await asyncio.gather(follow(), receive("one"), receive("two"))
    all_done = events[-1]
    assert isinstance(all_done, rtcsend.Done)
    assert all_done.receiver is None
    assert {done.blake3 for done in dones} == {all_done.blake3}
    assert {event.receiver for event in events} == {None, 1, 2}
