"""Two people at two terminals: what they see, what they are asked, and what is left behind."""

import signal
from pathlib import Path

import pytest

from tests.cli.pty_process import Screen
from tests.e2e.processes import Machine, Side, listing, random_file

pytestmark = pytest.mark.e2e

ASK = "Accept? [Y/n] "
CODE = "7-guitar-velvet"


@pytest.fixture
def film(machine: Machine) -> Path:
    return random_file(machine.folder / "film.iso", 2_000_000)


@pytest.fixture
def out(machine: Machine) -> Path:
    folder = machine.folder / "out"
    folder.mkdir()
    return folder


def screen(side: Side) -> list[str]:
    """Return the lines that are left on the screen, in an orderly terminal."""
    shown = Screen(side.stderr)
    assert shown.cursor_shown
    assert side.echoes()
    return shown.lines()


async def test_a_file(machine: Machine, film: Path, out: Path) -> None:
    async with machine.on_terminal("send", film, "--code", CODE) as sender:
        await sender.stderr_has(f"rtcsend receive {CODE}")
        async with machine.on_terminal("receive", CODE, "-o", out) as receiver:
            await receiver.stderr_has(ASK)
            receiver.type("y\n")
            assert (await receiver.exit(), await sender.exit()) == (0, 0)
            received, sent = screen(receiver), screen(sender)
    assert sent[:2] == ["On the other machine, run:", f"    rtcsend receive {CODE}"]
    assert sent[-1] == "Sent. Verified by the receiver."
    assert "film.iso" in sent[-2]
    assert "2.0/2.0 MB" in sent[-2]
    assert received[0].startswith("film.iso  2.0 MB  from ")
    assert received[1] == f"{ASK}y"
    assert "2.0/2.0 MB" in received[2]
    assert received[3:] == ["Saved out/film.iso (BLAKE3 verified)"]
    assert len(sent) == 4
    assert listing(out) == ["film.iso"]


@pytest.mark.parametrize("keys", ["n\n", "\x04"])
async def test_declined(machine: Machine, film: Path, out: Path, keys: str) -> None:
    async with machine.send(film) as sender:
        async with machine.on_terminal("receive", await sender.code(), "-o", out) as receiver:
            await receiver.stderr_has(ASK)
            receiver.type(keys)
            assert await receiver.exit() == 40
            error = await sender.fails("declined")
            assert error["exit"] == 40
            assert error["message"] == "film.iso was declined."
            assert screen(receiver)[-2:] == [f"rtcsend: {error['message']}", "Nothing was saved."]
    assert listing(out) == machine.announcements() == []


@pytest.mark.parametrize(
    ("answer", "exit_code", "names"),
    [
        ("o", 0, ["film.iso"]),
        ("r", 0, ["film (1).iso", "film.iso"]),
        ("s", 0, ["film.iso"]),
        ("c", 53, ["film.iso"]),
    ],
)
async def test_a_target_that_exists(
    *, machine: Machine, film: Path, out: Path, answer: str, exit_code: int, names: list[str]
) -> None:
    (out / "film.iso").write_text("old")
    async with machine.send(film) as sender:
        async with machine.on_terminal("receive", "-y", await sender.code(), "-o", out) as receiver:
            await receiver.stderr_has("[o]verwrite, [r]ename, [s]kip, [c]ancel? ")
            receiver.type(f"{answer}\n")
            assert await receiver.exit() == exit_code
            assert await sender.exit() == (40 if exit_code else 0)
            assert screen(receiver)
    assert listing(out) == names
    assert (out / "film.iso").stat().st_size == (2_000_000 if answer == "o" else 3)


@pytest.mark.parametrize("same", [True, False])
async def test_comparing(*, machine: Machine, film: Path, out: Path, same: bool) -> None:
    command = ("send", "--json", "--verify", film)
    async with machine.on_terminal(*command, stdout_is_pipe=True) as sender:
        async with machine.receive(await sender.code(), "--verify", "-o", out) as receiver:
            await sender.stderr_has("the same? [y/N] ")
            shown = (await receiver.event("paired"))["verification"]
            assert f"Verification: {shown}" in sender.stderr
            sender.type("y\n" if same else "\n")
            if same:
                await receiver.succeeds()
                await sender.succeeds()
            else:
                for side in (sender, receiver):
                    assert (await side.fails("wrong-code"))["exit"] == 20
    assert listing(out) == (["film.iso"] if same else [])


async def test_the_code_is_asked_for_and_completed(machine: Machine, film: Path, out: Path) -> None:
    async with machine.send(film, "--code", CODE) as sender:
        await sender.code()
        async with machine.on_terminal("receive", "-y", "-o", out) as receiver:
            await receiver.stderr_has("Code: ")
            receiver.type("7-guitar-velvt\n")
            await receiver.stderr_has("did you mean")
            receiver.type("7-guit\t")
            await receiver.stderr_has("7-guitar-")
            receiver.type("velvet\n")
            assert (await receiver.exit(), await sender.exit()) == (0, 0)
            assert receiver.echoes()
    assert listing(out) == ["film.iso"]


async def test_ctrl_c_at_the_code(machine: Machine) -> None:
    async with machine.on_terminal("receive") as receiver:
        await receiver.stderr_has("Code: ")
        receiver.type("7-gui")
        await receiver.stderr_has("Code: 7-gui")
        # CPython loses a Ctrl-C that comes after readline's echo and before its select; a
        # person is never that fast, and would press it again.
        receiver.type("\x03")
        while not await receiver.ends_within(1.0):
            receiver.type("\x03")
        assert await receiver.exit() == 130
        assert receiver.echoes()


@pytest.mark.parametrize("who", ["sender", "receiver"])
async def test_ctrl_c_amid_the_file(machine: Machine, film: Path, out: Path, who: str) -> None:
    async with machine.on_terminal("send", film, "--code", CODE, "--limit", "100k") as sender:
        await sender.stderr_has(CODE)
        async with machine.on_terminal("receive", "-y", CODE, "-o", out) as receiver:
            await receiver.stderr_has("B/s")
            await sender.stderr_has("B/s")
            side, other = (sender, receiver) if who == "sender" else (receiver, sender)
            side.type("\x03")
            assert (await side.exit(), await other.exit()) == (130, 41)
            assert screen(side)[-2:] == [
                "rtcsend: Stopped by Ctrl-C.",
                "Run both commands again to go on where it stopped.",
            ]
            assert screen(other)[-2] == "rtcsend: The other side was stopped by its user."
    assert listing(out) == machine.announcements() == []


async def test_ctrl_c_at_the_question_and_while_waiting(
    machine: Machine, film: Path, out: Path
) -> None:
    async with machine.on_terminal("send", film, "--code", CODE) as sender:
        await sender.stderr_has(CODE)
        async with machine.on_terminal("receive", CODE, "-o", out) as receiver:
            await receiver.stderr_has(ASK)
            receiver.type("perhaps\x03")
            assert (await receiver.exit(), await sender.exit()) == (130, 41)
            assert screen(receiver)[1:] == [
                "rtcsend: Stopped by Ctrl-C.",
                "Run both commands again to go on where it stopped.",
            ]
            assert screen(sender)[2:] == [
                "rtcsend: The other side was stopped by its user.",
                "Ask the person on the other side, and run both commands again.",
            ]
    assert listing(out) == machine.announcements() == []


async def test_a_question_is_taken_back_when_the_sender_goes(
    machine: Machine, film: Path, out: Path
) -> None:
    async with machine.send(film) as sender:
        async with machine.on_terminal("receive", await sender.code(), "-o", out) as receiver:
            await receiver.stderr_has(ASK)
            receiver.type("perh")
            await receiver.stderr_has("perh")
            sender.signal(signal.SIGINT)
            assert await receiver.exit() == 41
            assert not [line for line in screen(receiver) if ASK.strip() in line]
            await sender.fails("interrupted")
    assert listing(out) == []


async def test_wrong_words(machine: Machine, film: Path, out: Path) -> None:
    async with machine.on_terminal("send", film, "--code", CODE) as sender:
        await sender.stderr_has(CODE)
        async with machine.on_terminal("receive", "7-guitar-zebra", "-o", out) as receiver:
            assert (await receiver.exit(), await sender.exit()) == (20, 20)
            hints = (
                "The code is used up: send again, and type the new code.",
                "If the sender has ended, the code is used up: send again; else type it again.",
            )
            for side, hint in zip((sender, receiver), hints, strict=True):
                assert screen(side)[-2:] == ["rtcsend: The words of the code do not match.", hint]
    assert listing(out) == []
