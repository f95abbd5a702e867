"""Notes of known machines: on this machine, in the LAN, and in the way of nobody else."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rtcsend.errors import RendezvousUnreachable
from rtcsend.rendezvous import discovery, lan_notes
from rtcsend.rendezvous.discovery import find_note
from rtcsend.rendezvous.lan import service_of_untrusted
from rtcsend.rendezvous.lan_notes import LanNotes, note_of_untrusted
from rtcsend.rendezvous.local import (
    announce_local,
    any_local,
    find_local,
    local_nameplates,
    local_notes,
)
from tests.rendezvous.test_lan import (  # noqa: F401 - a fixture
    announced,
    ask,
    info,
    packed,
    two_hosts,
)

NOTE = "Ab-_" * 9 + "yz"
URL = "ws://127.0.0.1:40123/v1"

FIND_NOTE = """
import asyncio, sys
from rtcsend.errors import RtcsendError
from rtcsend.rendezvous.discovery import find_note

try:
    print(asyncio.run(find_note(sys.argv[1], lan=True)))
except RtcsendError as exc:
    print(type(exc).__name__)
"""
DISCOVER = """
import asyncio, sys
from rtcsend.errors import RtcsendError
from rtcsend.rendezvous.discovery import find_rendezvous

try:
    print(asyncio.run(find_rendezvous(sys.argv[1], lan=True)))
except RtcsendError as exc:
    print(type(exc).__name__)
"""


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_a_note_is_found_on_this_machine_and_is_no_nameplate(runtime: Path) -> None:
    assert local_notes() == []
    with announce_local(NOTE, URL), announce_local("7", URL):
        assert local_notes() == [(NOTE, URL)]
        assert local_nameplates() == {"7"}
        assert find_local("7") == [URL]
    with announce_local(NOTE, URL):
        assert not any_local()
    assert not list((runtime / "rtcsend").iterdir())


def test_a_note_in_the_lan() -> None:
    answer = info(properties={"v": "1", "k": NOTE})
    assert note_of_untrusted(answer) == (NOTE, ("ws://192.168.1.7:4000/v1",))
    assert service_of_untrusted(answer) is None  # nothing for those who look for a nameplate


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"properties": {}},
        {"properties": {"v": "2", "k": NOTE}},
        {"properties": {"v": "1", "k": NOTE[1:]}},
        {"properties": {"v": "1", "k": None}},
        {"properties": {"v": "1", "k": NOTE}, "port": 0},
        {"properties": {"v": "1", "k": NOTE}, "addresses": packed("127.0.0.1")},
    ],
)
def test_bad_answers(changes: dict[str, Any]) -> None:
    note, urls = note_of_untrusted(info(**changes))
    assert not (note and urls)


async def test_no_network_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = asyncio.Event()

    def broken(*_: object, **__: object) -> None:
        tried.set()
        raise OSError(98, "Address already in use")

    monkeypatch.setattr("zeroconf.asyncio.AsyncZeroconf", broken)
    async with LanNotes(lambda _note, _urls: None):
        await tried.wait()


async def test_entering_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(lan_notes, "load_zeroconf", never)
    async with LanNotes(lambda _note, _urls: None):
        pass


@pytest.mark.usefixtures("runtime")
async def test_a_sender_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with announce_local(NOTE, URL):
        assert await find_note(NOTE, lan=False) == URL
    with pytest.raises(RendezvousUnreachable):
        await find_note(NOTE, lan=False)

    async def load(*_: object) -> None:
        return None

    monkeypatch.setattr(lan_notes, "load_zeroconf", load)
    monkeypatch.setattr(lan_notes.LanNotes, "_start", load)
    monkeypatch.setattr(discovery, "LAN_TIMEOUT", 0.05)
    with pytest.raises(RendezvousUnreachable):
        await find_note(NOTE, lan=True)


@pytest.mark.lab
def test_one_host_finds_the_other(
    two_hosts: tuple[str, str],  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    here, there = two_hosts
    with announced(here, NOTE, 4000):
        assert ask(there, FIND_NOTE, NOTE, tmp_path) == "ws://10.77.0.1:4000/v1"
        assert ask(there, FIND_NOTE, NOTE[::-1], tmp_path) == "RendezvousUnreachable"
        assert ask(there, DISCOVER, "42", tmp_path) == "RendezvousUnreachable"
