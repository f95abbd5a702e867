"""One sender, several receivers: real processes, at its own rendezvous and at a server."""

import asyncio
import json
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rtcsend.cli.signals import SERVES_ON
from tests.cli.pty_process import Screen
from tests.e2e.processes import Machine, Side, random_file
from tests.files.trees import MIXED, digest, make, read

pytestmark = pytest.mark.e2e

CODE = "7-guitar-velvet"
# Several that start at once: the number is nobody's for a round trip after each.
PATIENT = ("--wait", "30")


def folders(machine: Machine, count: int) -> list[Path]:
    made = [machine.folder / f"into{number}" for number in range(count)]
    for folder in made:
        folder.mkdir()
    return made


def results(sender: Side) -> dict[int, str]:
    """Return how it ended for each receiver, by its number."""
    ends = [event for event in sender.events if event["event"] in ("done", "error")]
    return {event["receiver"]: event.get("code", "done") for event in ends if "receiver" in event}


@pytest.mark.parametrize("is_named", [False, True])
async def test_three_receivers_of_a_file(machine: Machine, is_named: bool) -> None:
    source = random_file(machine.folder / "x", 3_000_000)
    async with AsyncExitStack() as stack:
        options: tuple[str, ...] = ()
        if is_named:
            _, url = await stack.enter_async_context(machine.server())
            options = ("--server", url)
        sender = await stack.enter_async_context(
            machine.send(source, "--receivers", "3", "--limit", "6M", *options)
        )
        code = await sender.code()
        receivers = [
            await stack.enter_async_context(machine.receive(code, "-o", folder, *options, *PATIENT))
            for folder in folders(machine, 3)
        ]
        for receiver in receivers:
            assert (await receiver.exit()) == 0, receiver.stderr
        done = await sender.succeeds()
    assert results(sender) == {1: "done", 2: "done", 3: "done"}
    assert (done["bytes"], done["moved"]) == (3_000_000, 9_000_000)
    assert done["moved"] / done["seconds"] <= 6_600_000  # of all together
    assert {receiver.last()["blake3"] for receiver in receivers} == {done["blake3"]}
    for number in range(3):
        assert (machine.folder / f"into{number}" / "x").read_bytes() == source.read_bytes()


async def test_one_is_wrong_one_declines_and_one_gets_it(machine: Machine) -> None:
    source = random_file(machine.folder / "x", 500_000)
    (into,) = folders(machine, 1)
    async with machine.send(source, "--receivers", "2", "--code", CODE) as sender:
        await sender.code()
        async with machine.receive("7-zebra-zebra") as wrong:
            await wrong.fails("wrong-code")
        async with machine.receive(CODE, "--max-size", "1k", *PATIENT) as picky:
            await picky.fails("declined")
        async with machine.receive(CODE, "-o", into, *PATIENT) as receiver:
            await receiver.succeeds()
        assert await sender.exit() == 40
    error = sender.last()
    assert (error["code"], "receiver" in error) == ("declined", False)
    assert error["message"].startswith("Of 2 receivers 1 got everything. Receiver 2 has not: ")
    assert results(sender) == {1: "wrong-code", 2: "declined", 3: "done"}


async def test_the_trace_says_whose_step_each_is(machine: Machine) -> None:
    source = random_file(machine.folder / "x", 500_000)
    one, two = folders(machine, 2)
    options = ("--receivers", "2", "--code", CODE, "--trace", "trace")
    async with machine.send(source, *options) as sender:
        await sender.code()
        async with machine.receive("7-zebra-zebra") as wrong:
            await wrong.fails("wrong-code")
        for folder in (one, two):
            async with machine.receive(CODE, "-o", folder, *PATIENT) as receiver:
                await receiver.succeeds()
        await sender.succeeds()
    lines = [json.loads(line) for line in (machine.folder / "trace").read_text().splitlines()]
    steps = {
        number: [line["step"] for line in lines if line.get("receiver") == number]
        for number in (1, 2, 3)
    }
    assert steps[1][-1] == "failed"
    for number in (2, 3):
        for step in ("pairing", "hello", "check", "nominated", "dtls", "sctp", "connected"):
            assert step in steps[number]
        assert [steps[number].count(step) for step in ("first-byte", "done")] == [1, 1]
    nobody_s = {line["step"] for line in lines if "receiver" not in line}
    assert {"start", "nameplate", "rendezvous-open", "end"} <= nobody_s
    assert not nobody_s & {
        "hello",
        "gather",
        "candidate",
        "check",
        "nominated",
        "dtls",
        "connected",
    }


async def test_a_folder_of_which_one_has_a_part_already(machine: Machine) -> None:
    make(machine.folder, MIXED)
    one, two = folders(machine, 2)
    make(two, {path: MIXED[path] for path in ("top", "top/b", "top/b/x")})
    async with machine.send(machine.folder / "top", "--receivers", "2") as sender:
        code = await sender.code()
        async with (
            machine.receive(code, "-o", one, *PATIENT) as first,
            machine.receive(code, "-o", two, "--skip", *PATIENT) as second,
        ):
            assert (await first.exit(), await second.exit()) == (0, 0)
        done = await sender.succeeds()
    assert read(one) == read(two) == MIXED
    assert first.last()["blake3"] == digest(MIXED) != second.last()["blake3"]
    assert done["blake3"] == ""


async def test_ctrl_c_ends_all_and_each_is_told(machine: Machine) -> None:
    source = random_file(machine.folder / "x", 20_000_000)
    one, two = folders(machine, 2)
    async with machine.send(source, "--receivers", "3", "--limit", "4M") as sender:
        code = await sender.code()
        async with (
            machine.receive(code, "-o", one, *PATIENT) as first,
            machine.receive(code, "-o", two, *PATIENT) as second,
        ):
            await asyncio.gather(first.moving(2_500_000), second.moving(2_500_000))
            sender.signal(signal.SIGINT)
            await sender.fails("interrupted")
            await asyncio.gather(first.fails("aborted"), second.fails("aborted"))
    # What has come is kept, and both go on with a new code.
    async with machine.send(source, "--receivers", "2") as again:
        code = await again.code()
        async with (
            machine.receive(code, "-o", one, *PATIENT) as first,
            machine.receive(code, "-o", two, *PATIENT) as second,
        ):
            await asyncio.gather(first.succeeds(), second.succeeds())
        await again.succeeds()
    assert all(any(e["event"] == "resumed" for e in side.events) for side in (first, second))


async def test_for_ever_each_gets_what_is_there_when_it_comes(machine: Machine) -> None:
    source = machine.folder / "x"
    source.write_text("one")
    one, two = folders(machine, 2)
    async with machine.send(source, "--forever", "--code", CODE) as sender:
        await sender.code()
        async with machine.receive(CODE, "-o", one) as first:
            await first.succeeds()
        source.write_text("another")
        async with machine.receive(CODE, "-o", two, *PATIENT) as second:
            await second.succeeds()
        while len(results(sender)) < 2:
            await sender.event("done", after=len(sender.events))
        sender.signal(signal.SIGTERM)
        assert (await sender.fails("terminated"))["hint"] == SERVES_ON
    assert [(folder / "x").read_text() for folder in (one, two)] == ["one", "another"]
    assert results(sender) == {1: "done", 2: "done"}


async def test_a_text_for_two(machine: Machine) -> None:
    async with machine.send("--text", "the key", "--receivers", "2") as sender:
        code = await sender.code()
        async with (
            machine.receive(code, *PATIENT) as first,
            machine.receive(code, *PATIENT) as second,
        ):
            await asyncio.gather(first.succeeds(), second.succeeds())
        await sender.succeeds()
    assert [side.last()["text"] for side in (first, second)] == ["the key"] * 2


async def test_what_one_receiver_alone_can_have_is_refused(machine: Machine) -> None:
    source = random_file(machine.folder / "x", 10)
    for arguments in (
        ("-", "--receivers", "2"),
        (source, "--forever", "--checksums", "sums"),
        (source, "--receivers", "0"),
        (source, "--receivers", "65"),
        (source, "--receivers", "9", "--limit", "8k"),
    ):
        async with machine.send(*arguments) as sender:
            await sender.fails("usage")


async def test_on_a_terminal_each_has_a_line(machine: Machine) -> None:
    source = random_file(machine.folder / "film.iso", 6_000_000)
    one, two = folders(machine, 2)
    arguments = ("send", source, "--receivers", "3", "--limit", "2M")
    async with machine.on_terminal(*arguments, "--code", CODE) as sender:
        await sender.stderr_has("On each of the 3 other machines, run:")
        async with (
            machine.receive(CODE, "-o", one, *PATIENT) as first,
            machine.receive(CODE, "-o", two, *PATIENT) as second,
        ):
            await sender.stderr_has("waiting for 1 more")
            await asyncio.gather(first.succeeds(), second.succeeds())
        for number in (1, 2):
            await sender.stderr_has(f"Receiver {number}: sent and verified.")
        sender.type("\x03")
        assert await sender.exit() == 130
    lines = Screen(sender.stderr).lines()
    assert [line.partition(".")[0] for line in lines[2:4]] in (
        ["Receiver 1: sent and verified", "Receiver 2: sent and verified"],
        ["Receiver 2: sent and verified", "Receiver 1: sent and verified"],
    )
    assert lines[-2] == "rtcsend: Stopped by Ctrl-C."
    assert "━" not in "".join(lines)  # what moved is gone
