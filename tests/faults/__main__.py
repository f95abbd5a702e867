"""``python -m tests.faults``: every fault as often as docs/reliability.md says, as a table.

It takes more than an hour; ``--only kills,cuts`` some of it, ``--rows "for 20 s"`` of the network's
faults those with that in their names, ``--times 3`` each of them less often. ``--only huge`` sends
one very large file. The first thing that is not as it is promised ends the run with a traceback,
and exit code 1.

``python -m tests.faults count`` only counts what is tried, here and in the other tests.
"""

import argparse
import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.e2e import processes
from tests.e2e.processes import Machine, random_file
from tests.fakes.namespaces import hosts
from tests.faults import clocks, count, disks, huge, kills, servers, sources, survey
from tests.faults.network import Fault, Networked
from tests.faults.scene import Resumption, Scene
from tests.lab import Kind, Lab
from tests.lab.required import missing

MB: Final = 1_000_000  # bytes
UNITS: Final = {"": 1, "K": 1_000, "M": MB, "G": 1_000 * MB}
SMALL: Final = 128 * MB  # bytes; for what does not become harder with the size
CUTS: Final = (2, 7, 20, 60)  # seconds; below and above what a connection is given up after
STEP_TIMEOUT: Final = 150.0  # seconds for any single thing to happen; files are large here
TIMES: Final = 10  # that every fault of the network happens


class Run:
    """One run: where it is, how large, and how often.

    Args:
        folder: For everything.
        moments: Kills of each side.
        size: Bytes of the files that are killed.
        big: Bytes of the partial file whose reading is timed.
        times: That each fault of the network happens.
        rows: Only those of the network with this in their names.
        huge: Bytes of the very large file.
        out: Where that one goes; None: beside everything.
    """

    def __init__(
        self,
        folder: Path,
        *,
        moments: int,
        size: int,
        big: int,
        times: int,
        rows: str,
        huge: int,
        out: Path | None,
    ) -> None:
        self._folder, self._moments, self._size, self._big = folder, moments, size, big
        self._times, self._rows = times, rows
        self._huge, self._out = huge, out
        self._number = 0

    @contextmanager
    def machine(self) -> Iterator[Machine]:
        """Yield a machine of its own for one scenario; check it at the end."""
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        machine = Machine(folder)
        yield machine
        machine.check()
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    @contextmanager
    def scene(
        self, size: int, *, wire: str | None = None, film: Path | None = None
    ) -> Iterator[Scene]:
        """Yield a scene with nothing in its folder."""
        with self.machine() as machine:
            yield Scene(machine, size=size, wire=wire, film=film)

    async def kills(self) -> None:
        """Kill either side; go on with a new code."""
        film = random_file(self._folder / "film.iso", self._size)
        for who in ("sender", "receiver"):
            results = []
            for seed in range(self._moments):
                with (
                    hosts(1) as (host,),
                    self.scene(self._size, wire=host.name, film=film) as scene,
                ):
                    results.append(await kills.kill(scene, who=who, seed=seed))
            row(f"{who} killed, {self._size // MB} MB", *resumptions(results))
        with self.scene(self._size, film=film) as scene:
            results = await kills.kill_repeatedly(scene, times=10, seed=1)
        row("one of the two killed, ten times in one file", *resumptions(results))
        film.unlink()

    async def notice(self) -> None:
        """Time how long the other side takes to notice."""
        for who in ("sender", "receiver"):
            name = f"{who} killed at 40 ms"
            said, noticed = [], []
            for _ in self._rounds(name):
                with Lab() as lab, self.machine() as machine:
                    networked = Networked(lab, machine, seconds=60)
                    async with networked.moving() as pair:
                        first, second = await kills.time_to_notice(pair, who)
                said.append(first)
                noticed.append(second)
            if said:
                row(f"{name}: said", f"{len(said)}", seconds(said))
                row(f"{name}: connection given up", f"{len(said)}", seconds(noticed))

    async def cuts(self) -> None:
        """Cut the link."""
        for length in CUTS:

            async def cut(networked: Networked, length: int = length) -> Fault:
                site = networked.lab.a
                return await networked.happen(site.cut, site.heal, seconds=length)

            await self._network(f"link cut for {length} s", cut)

    async def paths(self) -> None:
        """Change the path."""

        async def rebound(networked: Networked) -> Fault:
            lab, turn = networked.lab, networked.lab.turn()
            lab.a.kind = lab.b.kind = Kind.PORT_RESTRICTED
            ice = ("--ice", turn.stun_url())
            return await networked.happen(lambda: lab.a.rebind(address=True), options=ice)

        async def readdressed(networked: Networked) -> Fault:
            return await networked.happen(networked.lab.alice.readdress, seconds=None)

        async def asleep(networked: Networked) -> Fault:
            return await networked.asleep("sender", seconds=11)

        async def other_asleep(networked: Networked) -> Fault:
            return await networked.asleep("receiver", seconds=30)

        async def relay(networked: Networked) -> Fault:
            lab, turn = networked.lab, networked.lab.turn()
            return await networked.happen(
                lambda: lab.kill("turn"),
                lambda: lab.start_again("turn"),
                seconds=None,
                options=("--relay-only", "--ice", turn.ice_url()),
                env=turn.environment,
            )

        await self._network("NAT rebound, with another address", rebound)
        await self._network("sender's address changed", readdressed)
        await self._network("sender asleep for 11 s", asleep)
        await self._network("receiver asleep for 30 s", other_asleep)
        await self._network("relay killed and restarted", relay)

    async def servers(self) -> None:
        """Kill the rendezvous."""
        name = "rendezvous restarted before the other side came"
        for _ in (rounds := self._rounds(name)):
            with Lab() as lab, self.machine() as machine:
                await servers.while_waiting(Networked(lab, machine, seconds=1))
        if rounds:
            row(name, f"{len(rounds)}", "the code stays the same")
        name = "rendezvous restarted before the two are connected"
        for _ in (rounds := self._rounds(name)):
            with Lab() as lab, self.machine() as machine:
                pair = await servers.while_pairing(Networked(lab, machine, seconds=1))
                for side in (pair.sender, pair.receiver):
                    assert (await side.fails("no-such-code"))["exit"] == 12
        if rounds:
            row(name, f"{len(rounds)}", "both end with exit code 12")
        name = "rendezvous restarted amid the file"
        for _ in (rounds := self._rounds(name)):
            with Lab() as lab, self.machine() as machine:
                await servers.amid_the_file(Networked(lab, machine, seconds=5))
        if rounds:
            row(name, f"{len(rounds)}", "nobody notices")
        await self._network(
            "rendezvous killed, link cut, rendezvous restarted", servers.while_reconnecting
        )

    async def disks(self) -> None:
        """Fill the disk, and close, remove and move the folder."""
        scenarios: dict[str, Callable[[Scene], Awaitable[Resumption]]] = {
            "disk filled; other file removed": lambda scene: disks.fill(scene, disks.CURES[0]),
            "disk filled; made larger": lambda scene: disks.fill(scene, disks.CURES[1]),
            "folder made read-only, and writable again": disks.forbid,
            "folder removed": disks.remove,
        }
        for name, scenario in scenarios.items():
            with self.scene(SMALL) as scene:
                row(name, *resumptions([await scenario(scene)]))

    async def sources(self) -> None:
        """Change the source between two runs."""
        for how in (*sources.KEPT, *sources.NOT_KEPT):
            with self.scene(SMALL) as scene:
                result = await sources.change(scene, how)
            name = f"source {how.__name__.replace('_', ' ')}"
            row(name, "1", f"resumed {result.resumed / MB:.0f} of {result.there / MB:.0f} MB")

    async def clocks(self) -> None:
        """Have the time of day wrong."""
        year = clocks.YEAR
        for sender, receiver in ((year, -year), (-20 * year, 0), (0, 10 * year)):
            with self.scene(SMALL) as scene:
                result = await clocks.wrong(scene, sender=sender, receiver=receiver)
            name = f"clocks ahead by {sender // year} and {receiver // year} years, sender killed"
            row(name, *resumptions([result]))
        with self.scene(SMALL) as scene:
            await clocks.jump(scene)
        row("clocks set amid the file", f"{len(clocks.JUMPS)}", "nobody notices")

    async def survey(self) -> None:
        """Time the reading of a large partial file."""
        for name, text in await survey.measure(self._folder, size=self._big):
            row(name, "1", text)

    def _rounds(self, name: str) -> range:
        """Return as many rounds as a fault of the network happens."""
        return range(self._times if self._rows in name else 0)

    async def huge(self) -> None:
        """Send one very large file in two runs."""
        source = self._folder / "huge"
        source.mkdir()
        out = self._out or source / "out"
        out.mkdir(exist_ok=True)
        for name, text in await huge.measure(source, out, size=self._huge):
            row(name, "1", text)

    async def _network(self, name: str, scenario: Callable[[Networked], Awaitable[Fault]]) -> None:
        faults = []
        for _ in self._rounds(name):
            with Lab() as lab, self.machine() as machine:
                faults.append(await scenario(Networked(lab, machine, seconds=5)))
        if not faults:
            return
        noticed = [fault.noticed for fault in faults if fault.noticed is not None]
        said = [fault.said for fault in faults if fault.said is not None]
        twice = max(fault.twice for fault in faults)
        parts = [
            f"said after {seconds(said)}" if said else "",
            f"both meet again after {seconds(noticed)}" if noticed else "",
            f"data flows after {seconds([fault.flowing for fault in faults])}",
            f"sent twice at most {twice:,} bytes",
        ]
        row(name, f"{len(faults)}", "; ".join(part for part in parts if part))


PARTS: Final = (
    *("kills", "notice", "cuts", "paths", "servers"),
    *("disks", "sources", "clocks", "survey"),
)
ASKED_FOR: Final = ("huge",)
"""Parts that run only when they are named."""


def row(what: str, count: str, text: str) -> None:
    """Print a line of the table."""
    print(f"| {what} | {count} | {text} |", flush=True)


def resumptions(results: Sequence[Resumption]) -> tuple[str, str]:
    """Return how many there were, and what travelled twice."""
    worst = max(result.twice for result in results)
    mean = sum(result.twice for result in results) / len(results)
    spared = sum(result.resumed for result in results) / MB
    text = f"sent twice at most {worst:,} bytes, on average {mean:,.0f}; resumed {spared:,.0f} MB"
    return f"{len(results)}", text


def seconds(values: Sequence[float]) -> str:
    """Return the least and the most of some times."""
    return f"{min(values):.1f} to {max(values):.1f} s"


def parse_size(text: str) -> int:
    """Read a size like 500M.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    match = re.fullmatch(r"([0-9]+)([KMG]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text} is no size; write it like 500M")
    return int(match[1]) * UNITS[match[2]]


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("count", nargs="?", choices=["count"], help="count what is tried")
    parser.add_argument("--moments", type=int, default=20, help="kills of each side (20)")
    parser.add_argument("--size", type=parse_size, default=500 * MB, help="of those files (500M)")
    parser.add_argument("--big", type=parse_size, default=10_000 * MB, help="partial file (10G)")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--times", type=int, default=TIMES, help="each fault of the network (10)")
    parser.add_argument("--rows", default="", help="those of the network with this in their names")
    parser.add_argument(
        "--huge", type=parse_size, default=100_000 * MB, help="of --only huge (100G)"
    )
    parser.add_argument("--out", type=Path, help="where that arrives; empty")
    options = parser.parse_args(arguments)
    if options.count:
        print(count.table(count.counts()))
        return 0
    if (reason := missing()) is not None:
        print(reason, file=sys.stderr)
        return 1
    parts = options.only.split(",")
    if unknown := set(parts) - {*PARTS, *ASKED_FOR}:
        parser.error(f"there is no {unknown.pop()}; there are {', '.join(PARTS)}")
    processes.STEP_TIMEOUT = STEP_TIMEOUT
    os.nice(5)
    print("| fault | times | what came of it |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="rtcsend-faults-") as folder:
        run = Run(
            Path(folder),
            moments=options.moments,
            size=options.size,
            big=options.big,
            times=options.times,
            rows=options.rows,
            huge=options.huge,
            out=options.out,
        )
        for part in parts:
            asyncio.run(getattr(run, part)())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
