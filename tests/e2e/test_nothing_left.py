"""However a transfer ends, in one program that goes on: no task, thread, socket or file is left."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import rtcsend
from rtcsend import connecting, errors, receiving
from rtcsend.datapath.channel import Channels
from rtcsend.errors import ConnectionLost
from rtcsend.events import Event
from rtcsend.meeting import again
from rtcsend.rendezvous.websocket import Socket, SocketRefused
from rtcsend.transfer.receiving import Receiving
from tests.e2e.processes import listing, random_file

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.datapaths,
    pytest.mark.skipif(
        not Path("/proc/self/fd").is_dir(), reason="open files are counted through /proc"
    ),
]

SIZE = 6_000_000  # bytes
LIMIT = 1_000_000  # bytes a second: seconds in which something can happen
PATIENCE = 60.0  # seconds for what was closed to be gone
STEADY = 15  # looks, 20 ms apart


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return random_file(tmp_path / "film.iso", SIZE)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("RTCSEND_DISCOVERY", "local")
    return folder


def open_files() -> list[str]:
    """Return what this process has open: sockets, files, pipes."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the folder itself
            found.append(str(entry.readlink()).partition(":[")[0])
    return sorted(found)


def threads() -> list[str]:
    """Return the names of all threads but those that asyncio keeps for the next job."""
    names = (thread.name for thread in threading.enumerate())
    return sorted(name for name in names if not name.startswith("asyncio_"))


def tasks() -> set["asyncio.Task[object]"]:
    return asyncio.all_tasks() - {asyncio.current_task()}


@pytest.fixture(autouse=True)
async def nothing_is_left(
    runtime: Path, tmp_path: Path, small: Path, out: Path
) -> AsyncIterator[None]:
    """Compare before and after; before is after a first transfer, which loads the libraries."""
    begun = tasks()
    async with rtcsend.Sender([small]) as sender:
        await rtcsend.receive(sender.code, into=out, accept=say_yes)
        await events_of(sender)
    (out / small.name).unlink()
    assert await settled(tasks, begun) == begun
    before = await steady(state)
    yield
    after = await settled(state, before)
    assert after == before
    assert [name for name in listing(runtime) if name != "rtcsend"] == []


def state() -> object:
    return threads(), tasks(), open_files()


async def settled(look: Callable[[], object], expected: object) -> object:
    """Return what is to be seen as soon as it is what is expected, or after a while."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while look() != expected and loop.time() < deadline:  # noqa: ASYNC110 - nobody announces it
        await asyncio.sleep(0.02)
    return look()


async def steady(look: Callable[[], object]) -> object:
    """Return what is to be seen when it was the same for many turns of the loop."""
    seen, same = look(), 0
    while same < STEADY:
        await asyncio.sleep(0.02)
        before, seen = seen, look()
        same = same + 1 if seen == before else 0
    return seen


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return random_file(tmp_path / "small", 1000)


def say_yes(_proposal: rtcsend.Proposal) -> bool:
    return True


async def events_of(sender: rtcsend.Sender) -> list[Event]:
    return [event async for event in sender]


class Watched:
    """Events of a receiver, and a wait for one of them."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._changed = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.names.append(event.name)
        self._changed.set()

    async def seen(self, name: str, count: int = 1) -> None:
        async with asyncio.timeout(90):
            while self.names.count(name) < count:
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> list[Channels]:
    """All channels that this process makes."""
    made: list[Channels] = []

    class Recorded(Channels):
        def __init__(self, path: object) -> None:
            super().__init__(path)  # type: ignore[arg-type]  # handed on as it is
            made.append(self)

    monkeypatch.setattr(connecting, "Channels", Recorded)
    return made


async def test_a_good_end(film: Path, out: Path) -> None:
    async with rtcsend.Sender([film]) as sender:
        await rtcsend.receive(sender.code, into=out, accept=say_yes)
        await events_of(sender)


async def test_after_a_reconnection(film: Path, out: Path, channels: list[Channels]) -> None:
    watched = Watched()
    async with rtcsend.Sender([film], limit=LIMIT) as sender:
        receiving = asyncio.create_task(
            rtcsend.receive(sender.code, into=out, accept=say_yes, on_event=watched)
        )
        for losses in range(1, 3):
            await watched.seen("connected", losses)
            await watched.seen("progress", losses)
            channels[-1].fail(ConnectionLost("The test has cut it."))
            await watched.seen("reconnecting", losses)
        await receiving
        events = await events_of(sender)
    assert (out / "film.iso").read_bytes() == film.read_bytes()  # noqa: ASYNC240 - small
    assert [event.name for event in events].count("connected") == 3


@pytest.mark.parametrize("who", ["sender", "receiver"])
@pytest.mark.parametrize("phase", ["paired", "connected", "progress"])
async def test_stopped(film: Path, out: Path, who: str, phase: str) -> None:
    watched = Watched()
    async with rtcsend.Sender([film], limit=LIMIT) as sender:
        receiving = asyncio.create_task(
            rtcsend.receive(sender.code, into=out, accept=say_yes, on_event=watched)
        )
        await watched.seen(phase)
        if who == "receiver":
            receiving.cancel()
            await asyncio.wait([receiving])
            with pytest.raises(errors.PeerAborted):
                await events_of(sender)
    if who == "sender":
        with pytest.raises(errors.PeerAborted):
            await receiving


@pytest.mark.parametrize("who", ["sender", "receiver"])
async def test_stopped_while_the_path_is_lost(
    film: Path, out: Path, who: str, channels: list[Channels], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_server(_url: str, *, proxied: bool) -> Socket:
        await asyncio.sleep(0)
        raise SocketRefused("The test has none.")

    monkeypatch.setattr(again, "redial", no_server)
    watched = Watched()
    async with rtcsend.Sender([film], limit=LIMIT) as sender:
        receiving = asyncio.create_task(
            rtcsend.receive(sender.code, into=out, accept=say_yes, on_event=watched)
        )
        await watched.seen("progress")
        channels[-1].fail(ConnectionLost("The test has cut it."))
        await watched.seen("reconnecting", 3)
        if who == "receiver":
            receiving.cancel()
            await asyncio.wait([receiving])
            with pytest.raises(errors.PeerAborted):
                await events_of(sender)
    if who == "sender":
        with pytest.raises(errors.PeerAborted):
            await receiving


async def test_given_up(
    film: Path, out: Path, channels: list[Channels], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_server(_url: str, *, proxied: bool) -> Socket:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    monkeypatch.setattr(again, "redial", no_server)
    watched = Watched()
    async with rtcsend.Sender([film], limit=LIMIT) as sender:
        receiving = asyncio.create_task(
            rtcsend.receive(sender.code, into=out, accept=say_yes, on_event=watched, timeout=2.0)
        )
        await watched.seen("progress")
        channels[-1].fail(ConnectionLost("The test has cut it."))
        with pytest.raises(ConnectionLost, match="could not meet again in 2 seconds"):
            await receiving
        with pytest.raises(ConnectionLost, match="could not meet again") as caught:
            await events_of(sender)
        assert caught.value.told_by_peer


@pytest.fixture
def lost_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection breaks when the receiver has saved the file, before it can say so."""
    real = Receiving._say_farewell
    broken = False

    async def say_farewell(self: Receiving, over: Any) -> None:
        nonlocal broken
        if not broken:
            broken = True
            raise ConnectionLost("The test has cut it.")
        await real(self, over)

    monkeypatch.setattr(Receiving, "_say_farewell", say_farewell)


@pytest.mark.usefixtures("lost_at_the_end")
async def test_the_last_word_is_said_after_a_reconnection(film: Path, out: Path) -> None:
    async with rtcsend.Sender([film]) as sender:
        done = await rtcsend.receive(sender.code, into=out, accept=say_yes)
        events = await events_of(sender)
    assert done.bytes == SIZE
    assert events[-1].name == "done"
    assert [event.name for event in events].count("connected") == 2


@pytest.mark.usefixtures("lost_at_the_end")
async def test_the_sender_does_not_come_back_for_the_last_word(
    film: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_server(_url: str, *, proxied: bool) -> Socket:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    monkeypatch.setattr(again, "redial", no_server)
    monkeypatch.setattr(receiving, "LINGER", 0.3)
    async with rtcsend.Sender([film]) as sender:
        done = await rtcsend.receive(sender.code, into=out, accept=say_yes)
        assert done.bytes == SIZE
        with pytest.raises(ConnectionLost, match="has saved everything"):
            await events_of(sender)
    assert listing(out) == ["film.iso"]


async def test_declined(film: Path, out: Path) -> None:
    async with rtcsend.Sender([film]) as sender:
        with pytest.raises(errors.Declined):
            await rtcsend.receive(sender.code, into=out, accept=lambda _proposal: False)
        with pytest.raises(errors.Declined):
            await events_of(sender)


async def test_the_other_side_never_came(film: Path) -> None:
    async with rtcsend.Sender([film], timeout=0.1) as sender:
        with pytest.raises(errors.PeerNeverCame):
            await events_of(sender)


async def test_nobody_is_there(out: Path) -> None:
    with pytest.raises(errors.RendezvousError):
        await rtcsend.receive("7-guitar-velvet", into=out, accept=say_yes)
