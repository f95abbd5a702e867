"""Codes: wrong, unknown, used up, taken, of one's own, and where they come from."""

import asyncio
import re
import signal
from pathlib import Path

import pytest

from tests.e2e.processes import Machine, listing, random_file

pytestmark = pytest.mark.e2e

WRONG = "zebra-zebra"


@pytest.fixture
def film(machine: Machine) -> Path:
    return random_file(machine.folder / "film.iso", 10_000)


@pytest.fixture
def out(machine: Machine) -> Path:
    folder = machine.folder / "out"
    folder.mkdir()
    return folder


def wrong(code: str) -> str:
    """Return a code with the same number and other words."""
    return f"{code.partition('-')[0]}-{WRONG}"


async def test_wrong_words_end_both_and_burn_the_code(
    machine: Machine, film: Path, out: Path
) -> None:
    async with machine.send(film) as sender:
        code = await sender.code()
        async with machine.receive(wrong(code), "-o", out) as receiver:
            hints = []
            for side in (sender, receiver):
                error = await side.fails("wrong-code")
                assert error["exit"] == 20
                hints.append(error["hint"])
    assert hints == [
        "The code is used up: send again, and type the new code.",
        "If the sender has ended, the code is used up: send again; else type it again.",
    ]
    assert sender.names() == ["code", "error"]
    assert receiver.names() == ["error"]
    async with machine.receive(code, "-o", out) as late:
        assert (await late.fails("rendezvous-unreachable"))["exit"] == 10
    assert listing(out) == machine.announcements() == []


async def test_wrong_words_burn_the_code_at_a_server_too(
    machine: Machine, film: Path, out: Path
) -> None:
    async with machine.server() as (_, url):
        async with machine.send(film, "--server", url) as sender:
            code = await sender.code()
            async with machine.receive(wrong(code), "-o", out, "--server", url) as receiver:
                assert (await receiver.fails("wrong-code"))["exit"] == 20
                assert (await sender.fails("wrong-code"))["exit"] == 20
        async with machine.receive(code, "-o", out, "--server", url) as late:
            assert (await late.fails("no-such-code"))["exit"] == 12
    assert listing(out) == []


async def test_a_code_works_once(machine: Machine, film: Path, out: Path) -> None:
    async with machine.server() as (_, url):
        server = {"RTCSEND_SERVER": url}
        async with machine.send(film, env=server) as sender:
            code = await sender.code()
            assert sender.events[0]["server"] == url
            assert sender.events[0]["embedded"] is False
            async with machine.receive(code, "-o", out, env=server) as receiver:
                await receiver.succeeds()
                await sender.succeeds()
        async with machine.receive(code, "-o", out, "--rename", env=server) as late:
            assert (await late.fails("no-such-code"))["exit"] == 12
    assert listing(out) == ["film.iso"]


async def test_unknown_number_beside_an_embedded_server(
    machine: Machine, film: Path, out: Path
) -> None:
    async with machine.send(film, "--code", "7-guitar-velvet") as sender:
        await sender.code()
        async with machine.receive("8-guitar-velvet", "-o", out) as receiver:
            error = await receiver.fails("no-such-code")
    assert error["exit"] == 12
    assert "number" in error["message"]
    assert listing(out) == []


async def test_no_sender_anywhere_says_what_to_run(machine: Machine, out: Path) -> None:
    async with machine.receive("8-guitar-velvet", "-o", out) as receiver:
        error = await receiver.fails("rendezvous-unreachable")
    assert error["exit"] == 10
    assert "rtcsend send" in error["hint"]
    assert "--server URL to both commands" in error["hint"]


@pytest.mark.parametrize("embedded", [True, False])
async def test_a_third_party_is_refused_and_the_two_go_on(
    machine: Machine, film: Path, out: Path, *, embedded: bool
) -> None:
    async with machine.server() as (_, url):
        server = () if embedded else ("--server", url)
        async with machine.send(film, *server) as sender:
            code = await sender.code()
            async with machine.receive(code, "-o", out, *server) as receiver:
                await receiver.event("paired")
                receiver.signal(signal.SIGSTOP)  # so that the two are still at it
                async with machine.receive(code, "-o", out, *server) as third:
                    assert (await third.fails("no-such-code"))["exit"] == 12
                receiver.signal(signal.SIGCONT)
                await receiver.succeeds()
                await sender.succeeds()
    assert listing(out) == ["film.iso"]


async def test_who_freezes_before_the_two_are_connected_is_told_of(
    machine: Machine, film: Path, out: Path
) -> None:
    async with machine.send(film) as sender:
        async with machine.receive(await sender.code(), "-o", out) as receiver:
            await receiver.event("paired")
            receiver.signal(signal.SIGSTOP)
            stalled = await sender.event("stalled")
            receiver.signal(signal.SIGCONT)
            await receiver.succeeds()
            await sender.succeeds()
    assert stalled["reason"] == "There is no connection to the other side yet."
    connected = await sender.event("connected")
    assert sender.events.index(stalled) < sender.events.index(connected)


async def test_a_taken_number_is_refused_to_a_second_sender(machine: Machine, film: Path) -> None:
    async with machine.server() as (_, url):
        mine = ("--code", "7-guitar-velvet", "--server", url)
        async with machine.send(film, *mine) as first:
            await first.code()
            async with machine.send(film, *mine) as second:
                assert (await second.fails("refused"))["exit"] == 11
            assert second.names() == ["error"]


@pytest.mark.parametrize(
    ("send", "receive"),
    [
        (["--code", "7-guitar-velvet"], ["7 GUITAR Velvet"]),
        (["--code-file", "code.txt"], ["--code-file", "code.txt"]),
        (["env"], ["env"]),
        (["--code", "7guitarvelvet"], ["stdin"]),
    ],
)
async def test_a_code_of_ones_own(
    machine: Machine, film: Path, out: Path, send: list[str], receive: list[str]
) -> None:
    (machine.folder / "code.txt").write_text("7-guitar-velvet\n")
    environment = {"RTCSEND_CODE": "7-guitar-velvet"}
    arguments = [argument for argument in send if argument != "env"]
    async with machine.send(film, *arguments, env=environment if "env" in send else {}) as sender:
        assert await sender.code() == "7-guitar-velvet"
        arguments = [argument for argument in receive if argument not in ("env", "stdin")]
        async with machine.receive(
            *arguments,
            *("-o", out),
            env=environment if "env" in receive else {},
            stdin=asyncio.subprocess.PIPE,
        ) as receiver:
            if "stdin" in receive:
                receiver.process.stdin.write(b"7-guitar-velvet\n")
            receiver.process.stdin.close()
            await receiver.succeeds()
            await sender.succeeds()
    assert listing(out) == ["film.iso"]


async def test_more_words(machine: Machine, film: Path, out: Path) -> None:
    async with machine.send(film, "--words", "4") as sender:
        code = await sender.code()
        assert re.fullmatch(r"[1-9][0-9]*(-[a-z]+){4}", code)
        async with machine.receive(code.replace("-", " \u2014 "), "-o", out) as receiver:
            await receiver.succeeds()
            await sender.succeeds()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["receive", "-y", "7-guitar-velvt"], "did you mean \u201cvelvet\u201d?"),
        (["receive", "-y", "7-guitar"], "at least 2 words"),
        (["receive", "-y", "guitar-velvet"], "does not start with a number"),
        (["receive", "-y"], "no code on standard input"),
        (["receive", "7-guitar-velvet"], "no terminal to ask on"),
        (["receive", "-y", "7-guitar-velvet", "--overwrite", "--skip"], "exclude each other"),
        (["receive", "-y", "7-guitar-velvet", "--server", "ftp://host"], "starts with none of"),
        (["receive", "-y", "7-guitar-velvet", "--ice", "turn:host"], "USER:PASSWORD"),
        (["receive", "-y", "7-guitar-velvet", "--server", f"{'a' * 64}.org"], "host or port"),
        (["send", "film.iso", "--code", "7-guitar"], "at least 2 words"),
        (["send", "film.iso", "--code", "7-guitar-velvet\x1b[2J"], "not a code word"),
        (["send", "film.iso", "--words", "1"], "--words"),
        (["send", "film.iso", "--verify"], "no terminal to ask on"),
        (["send"], "nothing to send"),
        (["send", "film.iso", "--no-such-option"], "--no-such-option"),
    ],
)
async def test_what_cannot_be_meant(
    machine: Machine, film: Path, arguments: list[str], sentence: str
) -> None:
    async with machine.run(*arguments, "--json") as side:
        error = await side.fails("usage")
    assert error["exit"] == 2
    assert sentence in error["message"]
    assert listing(machine.folder / "run") == []
