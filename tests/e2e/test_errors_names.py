"""Names from a hostile sender: refused, or made safe; never outside the folder."""

import unicodedata
from pathlib import Path

import pytest

from rtcsend.pairing.keys import Role
from tests.e2e.hostile.nonsense import EVIL
from tests.e2e.hostile.peer import Peer
from tests.e2e.hostile.sender_tricks import CONTENT, NAMES, entry, offer, send_honestly
from tests.e2e.hostile.trick import Trick, says
from tests.e2e.hostile.victims import ForkServer
from tests.e2e.processes import Machine, listing

pytestmark = [pytest.mark.e2e, pytest.mark.hostile]

LONG = "\u00e9" * 150 + ".tar.gz"  # 307 bytes


@pytest.mark.parametrize("name", [*NAMES, "FOLDER/evil"], ids=lambda name: name[:12])
async def test_refused(
    machine: Machine, out: Path, forks: ForkServer, rendezvous: str, name: str
) -> None:
    name = name.replace("FOLDER", str(machine.folder))
    trick = Trick(
        name="",
        play=says(*offer(entry(path=name))),
        code="unsafe-path",
        sentence="name",
        told="unsafe-path",
    )
    before = listing(machine.folder)
    receiver = await forks.receive(machine, rendezvous, out, trick)
    assert receiver.last()["exit"] == 52
    assert "rename" in receiver.last()["hint"]
    assert receiver.names() == ["paired", "connected", "error"]
    assert listing(machine.folder) == before


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("a\x1b[2J\x9b2Jb.iso", "a_[2J_2Jb.iso"),
        ("gpj.\u202eexe\n", "gpj._exe_"),
        ("NUL.txt", "_NUL.txt"),
        ("-rf .. . ", "-rf"),
        (LONG, "\u00e9" * 124 + ".tar.gz"),
    ],
)
async def test_made_safe(
    *, machine: Machine, out: Path, forks: ForkServer, rendezvous: str, name: str, saved: str
) -> None:
    async with Peer(Role.SENDER, rendezvous) as peer:
        # People's output, of which Machine.check wants no escape character either.
        command = ("receive", "-y", peer.code, "--server", rendezvous, "-o", out)
        async with forks.run(machine, *command) as receiver:
            await peer.connect()
            await send_honestly(peer, path=name)
            assert await receiver.exit() == 0
    assert listing(out) == [saved]
    assert holds(out / saved, CONTENT)
    assert len(saved.encode()) <= 255
    assert receiver.stdout == [str(out / saved)]
    assert saved in receiver.stderr
    assert not [char for char in receiver.stderr if unicodedata.category(char) in {"Cf", "Co"}]


def holds(path: Path, content: bytes) -> bool:
    return path.read_bytes() == content


async def test_a_hostile_host_name_is_shown_harmless(
    machine: Machine, out: Path, rendezvous: str
) -> None:
    async with Peer(Role.SENDER, rendezvous) as peer:
        command = ("receive", peer.code, "--server", rendezvous, "-o", out)
        async with machine.on_terminal(*command) as receiver:
            await peer.connect()
            await peer.say(*offer(entry(), sender=EVIL))
            await receiver.stderr_has("\nAccept? [Y/n] ")  # ours, at the start of a line
            shown = receiver.stderr
            receiver.type("n\n")
            assert await peer.hear_end() == "declined"
            assert await receiver.exit() == 40
    assert "from \\x1b]0;root\\x07\\u202e\\x1b[2J\\nAccept? [Y/n] y" in shown
    assert listing(out) == []
