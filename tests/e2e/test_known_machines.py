"""Known machines, as their users have them: real processes, each machine with keys of its own."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rtcsend.cli.signals import SERVES_ON
from rtcsend.known.store import Store
from tests.cli.pty_process import Screen
from tests.e2e.processes import Machine, Side, random_file
from tests.known.pairs import acquaint

pytestmark = pytest.mark.e2e
SIZE = 1_000_000


class Machines:
    """A desktop and a laptop on one machine: what they share is the way to find each other."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.film = random_file(machine.folder / "film.iso", SIZE)
        self.server: tuple[str, ...] = ()

    def env(self, who: str) -> dict[str, str]:
        return {"XDG_DATA_HOME": str(self.keys(who).parent)}

    def keys(self, who: str) -> Path:
        return self._machine.folder / f"{who}-data" / "rtcsend"

    def run(self, who: str, *arguments: str | Path, stdin: int = asyncio.subprocess.DEVNULL) -> Any:
        """Run ``rtcsend ARGUMENTS`` as ``who``, at the server if there is one."""
        return self._machine.run(*arguments, *self.server, env=self.env(who), stdin=stdin)

    async def plain(self, who: str, *arguments: str) -> Side:
        """Run a command that talks to nobody, to its end."""
        async with self._machine.run(*arguments, env=self.env(who)) as side:
            await side.exit()
        return side

    def send(self, *arguments: str | Path, who: str = "desktop", to: str = "laptop") -> Any:
        return self.run(who, "send", "--json", "--to", to, *(arguments or (self.film,)))

    def receive(self, *arguments: str | Path, who: str = "laptop", name: str = "desktop") -> Any:
        return self.run(who, "receive", "--json", "-y", "--from", name, *arguments)

    @asynccontextmanager
    async def listening(self, *arguments: str | Path) -> AsyncIterator[Side]:
        """Have the laptop listen, until it is told to stop."""
        inbox = self._machine.folder / "inbox"
        inbox.mkdir(exist_ok=True)
        command = ("receive", "--json", "-y", "--listen", "--into", inbox, *arguments)
        async with self.run("laptop", *command) as side:
            await side.event("waiting")
            yield side
            side.signal(signal.SIGTERM)
            assert await side.exit() == 143, side.stderr
            assert (side.last()["event"], side.last()["code"]) == ("error", "terminated")
            assert side.last()["hint"] == SERVES_ON

    def acquaint(self, who: str) -> None:
        """Have ``who`` and the laptop know each other, as a pairing leaves them."""
        store, laptop = Store(self.keys(who)), Store(self.keys("laptop"))
        secret = os.urandom(32)
        acquaint(store, "laptop", laptop, secret=secret)
        acquaint(laptop, who, store, secret=secret)

    async def pair(self, *, who: str = "desktop", options: tuple[str, ...] = ()) -> None:
        """Pair ``who`` and the laptop, each by its name."""
        async with self.run(who, "pair", "--json", "laptop", *options) as shows:
            code = await shows.code()
            async with self.run("laptop", "pair", "--json", who, code, *options) as takes:
                assert await takes.exit() == await shows.exit() == 0, takes.stderr + shows.stderr
        theirs, ours = takes.last(), shows.last()
        assert theirs["fingerprint"] == ours["own_fingerprint"]
        assert ours["fingerprint"] == theirs["own_fingerprint"]


@pytest.fixture(params=["server", "nearby"])
async def machines(request: pytest.FixtureRequest, machine: Machine, rendezvous: str) -> Machines:
    found = Machines(machine)
    found.server = ("--server", rendezvous) if request.param == "server" else ()
    found.acquaint("desktop")
    return found


async def test_a_pairing_and_what_follows(machine: Machine, rendezvous: str, out: Path) -> None:
    machines = Machines(machine)
    for server in ((), ("--server", rendezvous)):
        machines.server = server
        await machines.pair(options=("--replace",) if server else ())
        async with machines.receive("-o", out, "--skip") as receiver, machines.send() as sender:
            await sender.succeeds()
            await receiver.succeeds()


@pytest.mark.parametrize("first", ["send", "receive"])
async def test_either_may_be_first(machines: Machines, out: Path, first: str) -> None:
    start = {"send": machines.send, "receive": lambda: machines.receive("-o", out)}
    second = next(name for name in start if name != first)
    async with start[first]() as early:
        await early.event("waiting")
        async with start[second]() as late:
            await late.succeeds()
            await early.succeeds()
    receiver = late if second == "receive" else early
    assert (out / "film.iso").read_bytes() == machines.film.read_bytes()
    assert (await receiver.event("paired"))["machine"] == "desktop"
    assert (await receiver.event("proposal"))["sender"] == "desktop"


async def test_a_listener_serves_two_senders(machines: Machines, machine: Machine) -> None:
    machines.acquaint("ci")
    paper = random_file(machine.folder / "paper.pdf", SIZE, seed=2)
    async with machines.listening() as listener:
        async with machines.send() as one, machines.send(paper, who="ci") as other:
            await one.succeeds()
            await other.succeeds()
        async with machines.send("--timeout", "30", machines.film) as again:
            await again.fails("declined")  # it is there already: one visit's own matter
    visits = {event["visit"]: event["machine"] for event in listener.events if "machine" in event}
    assert sorted(visits.values()) == ["ci", "desktop", "desktop"]
    done = {visits[event["visit"]] for event in listener.events if event["event"] == "done"}
    assert done == {"ci", "desktop"}
    for file in (machines.film, paper):
        assert (machine.folder / "inbox" / file.name).read_bytes() == file.read_bytes()


async def test_a_person_sees_what_comes_to_a_listener(machines: Machines, machine: Machine) -> None:
    (machine.folder / "inbox").mkdir()
    command = ("receive", "-y", "--listen", "--into", "inbox", *machines.server)
    waits = "Waiting for desktop. Ctrl-C ends it."
    async with machine.on_terminal(*command, env=machines.env("laptop")) as listener:
        await listener.stderr_has(waits)
        async with machines.send("--limit", "700k", machines.film) as sender:
            await listener.stderr_has(" left direct")
            await sender.succeeds()
        await listener.stderr_has("(BLAKE3 verified)")
        listener.signal(signal.SIGINT)
        assert await listener.exit() == 130
    assert listener.stderr.count(waits) < 100  # it is not drawn over and over
    moved = [line for line in listener.stderr.splitlines() if " left direct" in line]
    assert all("desktop: film.iso" in line for line in moved)
    assert listener.stderr.rindex(waits) > listener.stderr.index("(BLAKE3 verified)")
    proposal, figures, *rest = Screen(listener.stderr).lines()
    assert proposal == "film.iso  1.0 MB  from desktop"
    assert figures.startswith("desktop: film.iso  1.0 MB  ")
    assert rest == [
        "desktop: Saved inbox/film.iso (BLAKE3 verified)",
        "rtcsend: Stopped by Ctrl-C.",
        SERVES_ON,
    ]


async def test_a_machine_that_is_removed_is_told_so(machines: Machines) -> None:
    async with machines.listening() as listener:
        removed = await machines.plain("laptop", "peers", "remove", "desktop")
        assert removed.process.returncode == 0
        async with machines.send() as sender:
            error = await sender.fails("wrong-code")
            assert error["message"] == "laptop does not know this machine any more."
        assert (await listener.event("refusal"))["machine"] == "desktop"
    async with machines.receive() as receiver:
        assert "was removed" in (await receiver.fails("usage"))["message"]
    await machines.pair(options=("--replace",))
    async with machines.listening(), machines.send() as sender:
        await sender.succeeds()


async def test_nobody_comes(machines: Machines) -> None:
    async with machines.send("--timeout", "0.5", machines.film) as sender:
        await sender.fails("peer-never-came")
    async with machines.receive("--wait", "0.5") as receiver:
        await receiver.fails("peer-never-came")


async def test_a_killed_receiver_resumes(machines: Machines, machine: Machine, out: Path) -> None:
    film = random_file(machine.folder / "long.iso", 8 * SIZE)
    async with machines.send("--limit", "4M", film):
        async with machines.receive("-o", out) as receiver:
            await receiver.moving(2 * SIZE)
            receiver.process.kill()
    async with machines.receive("-o", out) as receiver, machines.send(film) as sender:
        await sender.succeeds()
        done = await receiver.succeeds()
    assert done["moved"] < done["bytes"]
    assert (out / "long.iso").read_bytes() == film.read_bytes()


async def test_a_lost_server_costs_nothing(machine: Machine, out: Path) -> None:
    machines = Machines(machine)
    async with machine.server() as (server, url):
        machines.server = ("--server", url)
        machines.acquaint("desktop")
        async with machines.receive("-o", out) as receiver:
            await receiver.event("waiting")
            server.process.kill()
            await server.exit()
            async with machine.server(port=int(url.rpartition(":")[2])):
                async with machines.send() as sender:
                    await sender.succeeds()
                    await receiver.succeeds()


@pytest.fixture
async def alone(machine: Machine) -> Machines:
    machines = Machines(machine)
    machines.acquaint("desktop")
    return machines


async def test_open_keys_are_refused(alone: Machines) -> None:
    (alone.keys("desktop") / "identity.pem").chmod(0o644)
    async with alone.send() as sender:
        error = await sender.fails("cannot-read")
    assert "open to other users" in error["message"]
    (alone.keys("desktop") / "identity.pem").chmod(0o600)
    alone.keys("desktop").chmod(0o755)
    async with alone.send() as sender:
        error = await sender.fails("cannot-read")
    assert "chmod 700" in error["hint"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_keys_of_others_are_refused(alone: Machines) -> None:
    os.chown(alone.keys("laptop") / "machines" / "desktop.json", 12345, -1)
    async with alone.receive() as receiver:
        assert "another user" in (await receiver.fails("cannot-read"))["message"]


async def test_who_is_not_known(alone: Machines) -> None:
    async with alone.send(to="labtop") as sender:
        error = await sender.fails("usage")
    assert error["hint"] == "Did you mean “laptop”?"
    async with alone.receive(name="a b") as receiver:
        await receiver.fails("usage")


async def test_peers(alone: Machines, out: Path) -> None:
    async with alone.send() as sender, alone.receive("-o", out) as receiver:
        await sender.succeeds()
        await receiver.succeeds()
    listed = await alone.plain("desktop", "peers", "--json")
    (entry,) = map(json.loads, listed.stdout)
    shown = await alone.plain("laptop", "peers", "show-key")
    assert entry["machine"] == "laptop"
    assert entry["last_used"] >= entry["paired"]
    assert shown.stdout == [entry["fingerprint"]]
    renamed = await alone.plain("desktop", "peers", "rename", "laptop", "notebook")
    assert renamed.process.returncode == 0
    table = await alone.plain("desktop", "peers")
    assert table.stdout[0].split() == ["NAME", "FINGERPRINT", "PAIRED", "LAST", "USED"]
    assert table.stdout[1].startswith("notebook")
    assert max(map(len, table.stdout)) <= 80
    missing = await alone.plain("desktop", "peers", "remove", "laptop")
    assert missing.process.returncode == 2


async def test_a_pairing_with_a_transfer_ends_both(alone: Machines) -> None:
    async with alone.run("desktop", "send", "--json", alone.film) as sender:
        code = await sender.code()
        async with alone.run("laptop", "pair", "--json", "other", code) as takes:
            await takes.fails("incompatible-peer")
        await sender.fails("incompatible-peer")
    async with alone.run("desktop", "pair", "--json", "other") as shows:
        code = await shows.code()
        async with alone.run("laptop", "receive", "--json", "-y", code) as receiver:
            await receiver.fails("incompatible-peer")
        await shows.fails("incompatible-peer")
    listed = await alone.plain("desktop", "peers", "--json")
    assert len(listed.stdout) == 1


async def test_a_wrong_code_pairs_nobody(alone: Machines) -> None:
    async with alone.run("desktop", "pair", "--json", "other") as shows:
        number = (await shows.code()).partition("-")[0]
        wrong = f"{number}-zoo-zebra"
        async with alone.run("laptop", "pair", "--json", "other", wrong) as takes:
            errors = [await takes.fails("wrong-code"), await shows.fails("wrong-code")]
    again = "The code is used up: run “rtcsend pair” again on both machines."
    assert [error["hint"] for error in errors] == [again, again]


async def test_the_code_may_come_from_standard_input(alone: Machines) -> None:
    async with alone.run("desktop", "pair", "--json", "other", "--replace") as shows:
        code = await shows.code()
        pipe = asyncio.subprocess.PIPE
        async with alone.run(
            "laptop", "pair", "--json", "other", "-", "--replace", stdin=pipe
        ) as takes:
            takes.process.stdin.write(f"{code}\n".encode())
            assert await takes.exit() == 0, takes.stderr
        assert await shows.exit() == 0


async def test_a_machine_does_not_pair_with_itself(alone: Machines) -> None:
    async with alone.run("desktop", "pair", "--json", "me") as shows:
        code = await shows.code()
        async with alone.run("desktop", "pair", "--json", "myself", code) as takes:
            await takes.fails("usage")
        assert await shows.exit() != 0


async def test_the_tab_key_completes_names(alone: Machines) -> None:
    for words in ("send --to l", "peers remove l"):
        env = {"_RTCSEND_COMPLETE": "complete_bash", "COMP_WORDS": f"rtcsend {words}"}
        env["COMP_CWORD"] = str(len(words.split()))
        async with alone._machine.run(env={**alone.env("desktop"), **env}) as side:
            await side.exit()
        assert side.stdout == ["laptop"], words
