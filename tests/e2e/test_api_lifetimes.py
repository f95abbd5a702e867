"""The Python API: what may be called when, where and how often, and that nothing of it stays."""

import asyncio
import inspect
import signal
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import rtcsend
from rtcsend import api, blocking, errors
from rtcsend.api import MAX_WAITING_EVENTS
from rtcsend.events import Event, Paired, Progress, Reconnecting
from rtcsend.options import ReceiveOptions, SendOptions
from tests.e2e.processes import Machine, listing, random_file

pytestmark = pytest.mark.e2e

SIZE = 1_500_000  # bytes; more than a block
CODE = "907153-guitar-velvet"  # that nobody else uses
SLOW = 500_000  # bytes per second: three seconds, in which something can happen

INTERRUPTED = """
import sys, threading
import rtcsend

def on_event(event):
    if isinstance(event, rtcsend.Progress) and event.bytes:
        print("moving", flush=True)

try:
    if sys.argv[1] == "send":
        rtcsend.send_file(sys.argv[2], limit=500_000, on_event=on_event,
                          on_code=lambda code: print(code, flush=True))
    else:
        rtcsend.receive_file(sys.argv[2], limit=500_000, on_event=on_event, into="out")
except KeyboardInterrupt:
    print("interrupted", [thread.name for thread in threading.enumerate()], flush=True)
"""


@pytest.fixture(autouse=True)
def own_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("RTCSEND_DISCOVERY", "local")


@pytest.fixture
def film(machine: Machine) -> Path:
    return random_file(machine.folder / "film.iso", SIZE)


def same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


# Names and signatures


SIGNATURES = {
    "Sender": "(paths=..., *, text=..., name=..., server=..., ice=..., route=..., timeout=..., "
    "limit=..., compress=..., code=..., to=..., words=..., verify=..., links=..., exclude=..., "
    "gitignore=..., skip_unreadable=..., token=..., receivers=..., forever=...)",
    "receive": "(code=..., *, from_=..., into=..., accept, conflict=..., server=..., ice=..., "
    "route=..., timeout=..., limit=..., max_size=..., max_files=..., accept_glob=..., "
    "preserve=..., on_event=...)",
    "send_file": "(*paths, on_code=..., on_event=..., **settings)",
    "receive_file": "(code=..., *, accept=..., on_event=..., **settings)",
    "new_event_loop": "()",
}
"""Adding to them is free; anything else breaks somebody's program."""


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_signature(name: str) -> None:
    signature = inspect.signature(getattr(rtcsend, name))
    parameters = [
        parameter.replace(
            annotation=inspect.Parameter.empty,
            default=... if parameter.default is not inspect.Parameter.empty else parameter.default,
        )
        for parameter in signature.parameters.values()
    ]
    shown = str(inspect.Signature(parameters)).replace("=Ellipsis", "=...")
    assert shown == SIGNATURES[name]


def test_what_the_blocking_calls_take_is_what_the_others_take() -> None:
    sends = set(inspect.signature(rtcsend.Sender).parameters) - {"paths", "text"}
    receives = set(inspect.signature(rtcsend.receive).parameters) - {"code", "accept", "on_event"}
    assert set(blocking.SendSettings.__annotations__) == sends
    assert set(blocking.ReceiveSettings.__annotations__) == receives
    for settings, function in (
        (blocking.SendSettings, rtcsend.Sender.__init__),
        (blocking.ReceiveSettings, rtcsend.receive),
    ):
        types = inspect.get_annotations(function)
        assert all(types[name] == kind for name, kind in settings.__annotations__.items())


def test_the_names_are_there_and_documented() -> None:
    assert set(rtcsend.__all__) <= set(dir(rtcsend))
    for name in set(rtcsend.__all__) - {"__version__"}:
        assert inspect.getdoc(getattr(rtcsend, name))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = rtcsend.nonsense


@pytest.mark.parametrize(
    ("taken", "options"),
    [(rtcsend.Sender, SendOptions), (rtcsend.receive, ReceiveOptions)],
    ids=["send", "receive"],
)
def test_no_default_differs_from_that_of_the_engine(taken: type, options: type) -> None:
    fields = options.__dataclass_fields__  # type: ignore[attr-defined]
    for name, parameter in inspect.signature(taken).parameters.items():
        if parameter.default is not inspect.Parameter.empty and name in fields.keys() - {"verify"}:
            assert parameter.default == fields[name].default or name == "paths", name


# Without asyncio


def test_two_threads(film: Path, out: Path) -> None:
    """Neither is the main one, and each has an event loop of its own."""
    codes: list[str] = []
    has_code = threading.Event()

    def on_code(code: str) -> None:
        codes.append(code)
        has_code.set()

    events: list[Event] = []
    with ThreadPoolExecutor(2) as pool:
        sending = pool.submit(rtcsend.send_file, film, on_code=on_code, on_event=events.append)
        assert has_code.wait(30)
        receiving = pool.submit(rtcsend.receive_file, codes[0], into=out, max_files=1)
        sent, received = sending.result(40), receiving.result(40)
    assert sent.blake3 == received.blake3
    assert events[-1] == sent
    assert received.paths == (str(out / "film.iso"),)
    assert same(out / "film.iso", film)


def test_the_blocking_calls_raise_what_went_wrong(machine: Machine) -> None:
    with pytest.raises(errors.CannotRead):
        rtcsend.send_file(machine.folder / "missing")
    with pytest.raises(errors.RendezvousUnreachable):
        rtcsend.receive_file(CODE, into=machine.folder)


async def test_a_blocking_call_in_a_loop_is_refused(
    film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(errors.UsageError, match="send_file blocks"):
        rtcsend.send_file(film)
    with pytest.raises(errors.UsageError, match="receive_file blocks"):
        rtcsend.receive_file("7-guitar-velvet")
    assert capsys.readouterr().out == ""


async def test_a_blocking_call_beside_a_loop(film: Path, out: Path) -> None:
    async with rtcsend.Sender([film]) as sender:
        done = await asyncio.to_thread(rtcsend.receive_file, sender.code, into=out)
        assert await sender.wait() == (await events_of(sender))[-1]
    assert done.files == 1


@pytest.mark.parametrize("role", ["send", "receive"])
async def test_ctrl_c_in_a_blocking_call(
    machine: Machine, film: Path, out: Path, role: str
) -> None:
    (machine.folder / "interrupted.py").write_text(INTERRUPTED)
    if role == "send":
        async with machine.run("send", film, module="interrupted") as stopped:
            code = await stopped.line("-")
            async with machine.run("receive", code, "-y", "-o", out, "--json") as other:
                await stopped.line("moving")
                stopped.signal(signal.SIGINT)
                assert (await other.fails("aborted"))["exit"] == 41
            assert await stopped.exit() == 0
    else:
        async with machine.run("send", film, "--json") as other:
            code = await other.code()
            async with machine.run("receive", code, module="interrupted") as stopped:
                await stopped.line("moving")
                stopped.signal(signal.SIGINT)
                assert (await other.fails("aborted"))["exit"] == 41
                assert await stopped.exit() == 0
    assert stopped.stdout[-1] == "interrupted ['MainThread']"
    assert stopped.stderr == ""
    assert listing(out) == []


# With asyncio


async def events_of(sender: rtcsend.Sender) -> list[Event]:
    return [event async for event in sender]


async def test_a_text(out: Path) -> None:
    text = "the key is under the mat\nand so on\n"
    async with rtcsend.Sender(text=text) as sender:
        done = await rtcsend.receive(sender.code, accept=lambda _proposal: True)
        assert (await sender.wait()).blake3 == done.blake3
    assert done.text == text


@pytest.mark.parametrize("matches", [True, False])
async def test_verifying(film: Path, out: Path, matches: bool) -> None:
    asked: list[str] = []

    async def verify(verification: str) -> bool:
        asked.append(verification)
        await asyncio.sleep(0)
        return matches

    async with rtcsend.Sender([film], verify=verify) as sender:
        events: list[Event] = []
        receiving = asyncio.create_task(
            rtcsend.receive(
                sender.code, into=out, accept=lambda _proposal: True, on_event=events.append
            )
        )
        if matches:
            await asyncio.gather(sender.wait(), receiving)
        else:
            results = await asyncio.gather(sender.wait(), receiving, return_exceptions=True)
            assert isinstance(results[0], errors.WrongCode)
            assert isinstance(results[1], rtcsend.RtcsendError)
    assert asked == [event.verification for event in events if isinstance(event, Paired)]
    assert listing(out) == (["film.iso"] if matches else [])


async def test_waiting_may_be_given_up(film: Path, out: Path) -> None:
    """It is the context that holds the transfer, and no one who waits for it."""
    async with rtcsend.Sender([film]) as sender:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await sender.wait()
        await rtcsend.receive(sender.code, into=out, accept=lambda _proposal: True)
        assert (await sender.wait()).files == 1


async def test_cancelled_before_there_is_a_code(film: Path) -> None:
    """No rendezvous is left behind, which nobody would ever end."""
    before = asyncio.all_tasks()

    async def enter() -> None:
        async with rtcsend.Sender([film], code=CODE):
            pytest.fail("it was cancelled before")

    for turns in range(6):
        entering = asyncio.create_task(enter())
        for _ in range(turns):
            await asyncio.sleep(0)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
    assert asyncio.all_tasks() == before
    with pytest.raises(errors.RendezvousUnreachable):
        await rtcsend.receive(CODE, into=film.parent, accept=lambda _proposal: True)


async def test_a_sender_is_entered_once(film: Path) -> None:
    sender = rtcsend.Sender([film])
    assert sender.code == ""
    with pytest.raises(errors.UsageError, match="not been entered"):
        await sender.wait()
    with pytest.raises(errors.UsageError, match="not been entered"):
        await events_of(sender)
    async with sender:
        with pytest.raises(errors.UsageError, match="sends once"):
            await sender.__aenter__()
    with pytest.raises(errors.UsageError, match="sends once"):
        async with sender:
            pytest.fail("a second time")


def test_either_paths_or_a_text(film: Path) -> None:
    with pytest.raises(errors.UsageError):
        rtcsend.Sender([film], text="x")
    with pytest.raises(errors.UsageError, match="list of paths"):
        rtcsend.Sender(str(film))


async def test_events_that_nobody_reads_are_bounded() -> None:
    events = api._Events()
    for attempt in range(2 * MAX_WAITING_EVENTS):
        events.put(Reconnecting(reason="x.", attempt=attempt))
    events.end(None)

    async def all_() -> AsyncIterator[Event]:
        async for event in events:
            yield event

    kept = [event async for event in all_()]
    assert len(kept) == MAX_WAITING_EVENTS
    assert kept[-1] == Reconnecting(reason="x.", attempt=2 * MAX_WAITING_EVENTS - 1)


async def test_several_in_one_loop_and_one_is_cancelled(machine: Machine, film: Path) -> None:
    """What is not cancelled does not notice."""
    folders = [machine.folder / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    moving = asyncio.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, rtcsend.Progress):
            moving.set()

    async with rtcsend.Sender([film], limit=SLOW) as first, rtcsend.Sender([film]) as second:
        receiving = asyncio.create_task(
            rtcsend.receive(
                first.code, into=folders[0], accept=lambda _proposal: True, on_event=on_event
            )
        )
        await moving.wait()
        other = asyncio.create_task(
            rtcsend.receive(second.code, into=folders[1], accept=lambda _proposal: True)
        )
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        with pytest.raises(errors.PeerAborted):
            await first.wait()
        await asyncio.gather(other, second.wait())
    assert listing(folders[0]) == []
    assert same(folders[1] / "film.iso", film)


async def test_news_of_several_receivers_do_not_push_each_other_out() -> None:
    events = api._Events()
    events.put(Paired(receiver=1, verification="1"))
    for count in range(MAX_WAITING_EVENTS):
        for receiver in (1, 2, 3):
            events.put(Progress(receiver=receiver, bytes=count, total=10**6, bytes_per_s=1))
    events.end(None)
    kept = [event async for event in events]
    assert [(event.name, event.receiver) for event in kept] == [
        ("paired", 1),
        ("progress", 1),
        ("progress", 2),
        ("progress", 3),
    ]
