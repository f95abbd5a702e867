"""An engine that plays a scenario instead of moving files.

In process: the fixture ``play``. As a
program: ``python -m tests.cli.fake_engine SCENARIO ARGUMENT...`` is the command line with
the scenario of that name.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

from rtcsend.cli import engine, main
from rtcsend.errors import Declined, PeerAborted, TargetExists
from rtcsend.events import CodeReady, Connected, Done, Entry, Paired, Progress, Proposal
from rtcsend.options import CommonOptions, Conflict, Emit, Questions, ReceiveOptions, SendOptions

LOADERS = ("load_sending", "load_receiving", "load_listening")
"""Of the real one: the functions of :mod:`rtcsend.cli.engine`."""

GO = signal.SIGUSR1  # a test lets the scenario go on
TOTAL = 4_400_000_000
HOSTILE_NAME = "\x1b]0;owned\x07\x9b31mfi\u202egpj.exe\r\n[red]x[/red]"
CODE = CodeReady(code="7-guitar-velvet", server="ws://192.168.1.7:40123/v1", embedded=True)
PAIRED = Paired(verification="tennis-orbit-canvas")
CONNECTED = Connected(route="direct", local="host", remote="srflx", protocol="udp", rtt_ms=0.4)
DONE = Done(files=1, bytes=TOTAL, moved=TOTAL, seconds=24.1, blake3="ab" * 32, paths=("film.iso",))

Scenario = Callable[[CommonOptions, Questions, Emit], Awaitable[Done]]


def proposal(name: str = "film.iso", sender: str = "ada-laptop") -> Proposal:
    entries = (Entry(path=name, kind="file", bytes=TOTAL),)
    return Proposal(files=1, bytes=TOTAL, entries=entries, sender=sender)


def progress(part: int, total: int = TOTAL) -> Progress:
    return Progress(bytes=part, total=total, bytes_per_s=182_000_000)


class FakeEngine:
    """Plays one scenario for both roles, and keeps the options it was given."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self.options: list[CommonOptions] = []

    async def send(self, options: SendOptions, *, questions: Questions, emit: Emit) -> Done:
        self.options.append(options)
        return await self._scenario(options, questions, emit)

    async def receive(self, options: ReceiveOptions, *, questions: Questions, emit: Emit) -> Done:
        self.options.append(options)
        return await self._scenario(options, questions, emit)

    async def listen(
        self, options: ReceiveOptions, *, questions: Questions, emit: Emit
    ) -> NoReturn:
        self.options.append(options)
        while True:
            await self._scenario(options, questions, emit)


async def success(options: CommonOptions, questions: Questions, emit: Emit) -> Done:
    if isinstance(options, SendOptions):
        emit(CODE)
    emit(PAIRED)
    emit(CONNECTED)
    emit(proposal())
    if isinstance(options, ReceiveOptions) and not await questions.accept(proposal()):
        raise Declined("You declined.")
    for part in range(0, TOTAL + 1, TOTAL // 4):
        emit(progress(part))
        await asyncio.sleep(0)
    emit(DONE)
    return DONE


async def hostile(options: CommonOptions, questions: Questions, emit: Emit) -> Done:
    offered = proposal(HOSTILE_NAME, sender="\x1b[2Jada")
    emit(PAIRED)
    emit(CONNECTED)
    emit(offered)
    if not await questions.accept(offered):
        raise PeerAborted(f"The other side says: {HOSTILE_NAME}")
    emit(progress(TOTAL // 2))
    name = (HOSTILE_NAME,)
    done = Done(files=1, bytes=TOTAL, moved=TOTAL, seconds=1.0, blake3="ab" * 32, paths=name)
    emit(done)
    return done


async def conflict(options: CommonOptions, questions: Questions, emit: Emit) -> Done:
    emit(PAIRED)
    answer = await questions.conflict("film.iso")
    if answer is Conflict.ASK:
        raise TargetExists("film.iso exists.")
    paths = (answer.value,)
    return Done(files=1, bytes=1, moved=1, seconds=1.0, blake3="ab" * 32, paths=paths)


async def verification(options: CommonOptions, questions: Questions, emit: Emit) -> Done:
    emit(CODE)
    emit(PAIRED)
    if not await questions.verification_matches(PAIRED.verification):
        raise Declined("The strings differ.")
    emit(DONE)
    return DONE


async def moving(options: CommonOptions, questions: Questions, emit: Emit) -> Done:
    """Transfer for ever."""
    emit(CODE)
    emit(CONNECTED)
    emit(progress(TOTAL // 2))
    return await _for_ever()


async def waiting(options: CommonOptions, questions: Questions, emit: Emit) -> Done:
    """Wait for ever."""
    emit(CODE)
    return await _for_ever()


async def stubborn(options: CommonOptions, questions: Questions, emit: Emit) -> Done:
    """Wait for ever, whatever is asked."""
    emit(CODE)
    try:
        return await _for_ever()
    finally:
        emit(PAIRED)
        while True:
            try:
                await _for_ever()
            except asyncio.CancelledError:
                continue


async def patient(options: CommonOptions, questions: Questions, emit: Emit) -> Done:
    """Ask when GO comes."""
    go = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(GO, go.set)
    emit(PAIRED)
    await go.wait()
    return await success(options, questions, emit)


async def aborted(options: CommonOptions, questions: Questions, emit: Emit) -> Done:
    """Ask, until GO says that the other side has gone."""
    gone = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(GO, gone.set)
    question = asyncio.create_task(questions.accept(proposal()))
    await gone.wait()
    question.cancel()
    await asyncio.wait([question])
    raise PeerAborted("The other side stopped: enough.")


async def talkative(options: CommonOptions, questions: Questions, emit: Emit) -> Done:
    """Emit events for ever."""
    while True:
        emit(PAIRED)
        await asyncio.sleep(0.01)


async def declined(options: CommonOptions, questions: Questions, emit: Emit) -> Done:
    raise Declined("The receiver declined.")


async def bug(options: CommonOptions, questions: Questions, emit: Emit) -> Done:
    logging.getLogger("rtcsend.test").info("about to fail")
    raise KeyError("a key")


async def interrupted_prompt(options: CommonOptions, questions: Questions, emit: Emit) -> Done:
    await questions.accept(proposal())
    raise AssertionError("nobody answers")


async def _for_ever() -> Done:
    await asyncio.Event().wait()
    raise AssertionError("never")


def command(scenario: Scenario, *arguments: str | Path) -> list[str]:
    """Return the command that runs the command line with ``scenario``."""
    return [sys.executable, "-m", "tests.cli.fake_engine", scenario.__name__, *map(str, arguments)]


def put_in_place(fake: FakeEngine) -> None:
    """Have the commands of this process take it for the engine."""
    for name in LOADERS:
        setattr(engine, name, lambda: fake)


def _run(name: str, arguments: list[str]) -> int:
    fake = FakeEngine(globals()[name])
    put_in_place(fake)
    return main.main(arguments)


if __name__ == "__main__":
    sys.exit(_run(sys.argv[1], sys.argv[2:]))
