"""Streams and texts between real commands, in real pipelines."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.processes import Machine, Side, listing, random_file

pytestmark = pytest.mark.e2e

CODE = "7-guitar-velvet"
TO_STDOUT = ("-o", "-")
TEXT = "grün\n\x1b[31mred\u202e, and no line end"


def shell(pipeline: str) -> tuple[str, ...]:
    """Return what puts a command into a pipeline, in the place of ``"$@"``."""
    return ("bash", "-c", f"set -o pipefail; {pipeline}", "-")


@asynccontextmanager
async def both(
    machine: Machine,
    rendezvous: str,
    *,
    send: tuple[str | Path, ...] = ("-",),
    feed: str = '"$@"',
    receive: tuple[str | Path, ...] = TO_STDOUT,
    drain: str = '"$@"',
    stdin: int = asyncio.subprocess.DEVNULL,
) -> AsyncIterator[tuple[Side, Side]]:
    """Run both commands, each in a pipeline."""
    named = ("--server", rendezvous, "--json")
    command = (*send, "--code", CODE, *named)
    async with machine.run("send", *command, wrapper=shell(feed), stdin=stdin) as sender:
        await sender.event("code")
        arguments = ("receive", "-y", CODE, *receive, *named)
        if receive == TO_STDOUT:
            arguments = arguments[:-1]  # events would be between what people read
        async with machine.run(*arguments, wrapper=shell(drain)) as receiver:
            yield sender, receiver


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Reading end, writing end; a test may close the latter."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


async def test_a_folder_by_tar(machine: Machine, out: Path, rendezvous: str) -> None:
    folder = machine.folder / "x"
    (folder / "deeper").mkdir(parents=True)
    random_file(folder / "deeper" / "film.iso", 3_000_000)
    (folder / "empty").touch()
    async with both(
        machine,
        rendezvous,
        send=("-", "--name", "x.tar"),
        feed='tar c x | "$@"',
        drain='"$@" | tar x -C out',
    ) as (sender, receiver):
        done = await sender.succeeds()
        assert await receiver.exit() == 0
    assert done["paths"] == ["x.tar"]
    assert listing(out / "x") == listing(folder)
    copy = out / "x" / "deeper" / "film.iso"
    assert copy.read_bytes() == (folder / "deeper" / "film.iso").read_bytes()
    assert "x.tar  of unknown length" in receiver.stderr
    assert {event["total"] for event in sender.events if event["event"] == "progress"} <= {None}


async def test_each_line_comes_when_it_is_written(
    machine: Machine, rendezvous: str, pipe: tuple[int, int]
) -> None:
    async with both(machine, rendezvous, stdin=pipe[0], drain='"$@" | cat') as (sender, receiver):
        for line in ("one", "two", "three"):
            os.write(pipe[1], f"{line}\n".encode())
            assert await receiver.line(line) == line
        os.close(pipe[1])
        done = await sender.succeeds()
        assert await receiver.exit() == 0
    assert done["bytes"] == len("one\ntwo\nthree\n")
    assert os.get_blocking(pipe[0]) is not False  # as it was, for all who share it


async def test_a_reader_that_has_enough(machine: Machine, rendezvous: str) -> None:
    async with both(machine, rendezvous, feed='yes | "$@"', drain='"$@" | head -1') as (
        sender,
        receiver,
    ):
        assert await receiver.exit() == 51
        assert await sender.exit() == 51
    assert receiver.stdout == ["y"]
    assert "whoever read standard output closed it" in receiver.stderr
    assert sender.last()["code"] == "cannot-write"


async def test_a_reader_who_stands_still_on_purpose(machine: Machine, rendezvous: str) -> None:
    """For longer than a side may that just does not go on."""
    film = random_file(machine.folder / "film.iso", 3_000_000)
    os.mkfifo(machine.folder / "gate")
    gate = os.open(machine.folder / "gate", os.O_RDWR)
    named = ("--server", rendezvous, "--json")
    command: tuple[str | Path, ...] = ("send", film, "--code", CODE, *named)
    async with machine.run(*command, module="tests.e2e.hurried", env={"HURRY": "6"}) as sender:
        await sender.event("code")
        pager = shell('"$@" | { cat gate; cat > copy; }')
        command = ("receive", "-y", CODE, *TO_STDOUT, *named[:-1])
        async with machine.run(*command, wrapper=pager) as receiver:
            try:
                first = await sender.event("stalled")
                told = await sender.event("stalled", after=sender.events.index(first) + 1)
                await receiver.stderr_has("Nobody takes what is written here.")
            finally:
                os.close(gate)  # he reads on
            assert told["seconds"] > 6
            assert told["reason"] == "Nobody takes what the other side writes."
            await sender.succeeds()
            assert await receiver.exit() == 0
    assert (machine.folder / "copy").read_bytes() == film.read_bytes()


async def test_more_than_is_accepted(machine: Machine, out: Path, rendezvous: str) -> None:
    async with both(
        machine, rendezvous, feed='yes | "$@"', receive=("-o", out, "--max-size", "1M")
    ) as (sender, receiver):
        await receiver.fails("declined")
        assert await sender.exit() == 40
    assert listing(out) == []


@pytest.mark.parametrize("who", ["sender", "receiver"])
async def test_who_is_interrupted_leaves_nothing(
    machine: Machine, out: Path, rendezvous: str, pipe: tuple[int, int], who: str
) -> None:
    named = ("--server", rendezvous, "--json")
    async with machine.run("send", "-", *named, stdin=pipe[0]) as sender:
        command = (await sender.code(), "-o", out, *named)
        async with machine.run("receive", "-y", *command) as receiver:
            os.write(pipe[1], b"one\n")
            await sender.moving(4)
            assert listing(out) == [".stdin.rtcsend-partial"]
            stopped, other = (sender, receiver) if who == "sender" else (receiver, sender)
            stopped.signal(signal.SIGINT)
            error = await stopped.fails("interrupted")
            assert error["hint"].startswith("Nobody can go on with a stream")
            await other.fails("aborted")
    assert listing(out) == []


async def test_a_stream_in_a_file(machine: Machine, out: Path, rendezvous: str) -> None:
    film = random_file(machine.folder / "film.iso", 2_000_000)
    async with both(machine, rendezvous, feed='"$@" < film.iso', receive=("-o", out)) as (
        sender,
        receiver,
    ):
        assert (await receiver.succeeds())["paths"] == [str(out / "stdin")]
        await sender.succeeds()
    assert (out / "stdin").read_bytes() == film.read_bytes()
    assert listing(out) == ["stdin"]


async def test_a_named_pipe(machine: Machine, out: Path, rendezvous: str) -> None:
    os.mkfifo(machine.folder / "fifo")
    async with both(
        machine, rendezvous, send=("fifo",), feed='(echo hello > fifo)& "$@"', receive=("-o", out)
    ) as (sender, receiver):
        await sender.succeeds()
        await receiver.succeeds()
    assert (out / "fifo").read_bytes() == b"hello\n"


async def test_a_text(machine: Machine, rendezvous: str) -> None:
    async with both(machine, rendezvous, send=("--text", TEXT), receive=(), drain='"$@"') as (
        sender,
        receiver,
    ):
        await sender.succeeds()
        done = await receiver.succeeds()
    assert (done["text"], done["paths"]) == (TEXT, [])


@pytest.mark.parametrize("options", [(), TO_STDOUT])
async def test_a_script_gets_the_very_bytes_of_a_text(
    machine: Machine, rendezvous: str, options: tuple[str, ...]
) -> None:
    named = ("--server", rendezvous)
    async with machine.run("send", "--text", TEXT, "--json", *named) as sender:
        command = ("receive", "-y", await sender.code(), *options, *named)
        async with machine.run(*command, wrapper=shell('"$@" > note')) as receiver:
            assert await receiver.exit() == 0
        await sender.succeeds()
    assert (machine.folder / "note").read_bytes() == TEXT.encode()


async def test_what_is_typed_on_a_terminal(machine: Machine, rendezvous: str) -> None:
    async with machine.on_terminal("send", "-", "--server", rendezvous, "--code", CODE) as sender:
        await sender.stderr_has("Reading from the terminal")
        await sender.stderr_has(CODE)
        named = ("-o", "-", "--server", rendezvous)
        async with machine.run("receive", "-y", CODE, *named, wrapper=shell('"$@" | cat')) as end:
            sender.type("hello\n")
            assert await end.line("hello") == "hello"
            sender.type("\x04")
            assert await end.exit() == 0
        assert await sender.exit() == 0
