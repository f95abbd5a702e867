"""Known machines find each other: over a server and without one, whoever is first."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtcsend.errors import (
    PeerNeverCame,
    Refused,
    RendezvousUnreachable,
    RtcsendError,
    UsageError,
    WrongCode,
)
from rtcsend.meeting import by_keys
from rtcsend.pairing.doors import Direction
from rtcsend.rendezvous.local import local_notes
from signal_server.config import ServerConfig
from signal_server.server import RendezvousServer
from tests.known.pairs import STEP, Pair, acquaint, both, private_runtime, store_in


@pytest.fixture(params=["server", "nearby"])
async def pair(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pair]:
    for name, value in private_runtime(tmp_path / "run").items():
        monkeypatch.setenv(name, value)
    if request.param == "nearby":
        yield Pair(tmp_path, None)
        return
    async with RendezvousServer(ServerConfig(host="127.0.0.1", port=0)) as server:
        yield Pair(tmp_path, f"ws://127.0.0.1:{server.port}/v1")


async def ends_with(work: "asyncio.Task[object]", error: type[RtcsendError]) -> RtcsendError:
    with pytest.raises(error) as caught:
        async with asyncio.timeout(STEP):
            await work
    return caught.value


async def met(pair: Pair) -> None:
    """Send once, to the end."""
    async with pair.sending() as sender:
        assert sender.machine == "laptop"
        await sender.mailbox.send(b"x")
        assert await sender.mailbox.receive_body() == b"y"


async def host(pair: Pair, *, times: int = 1) -> None:
    async with pair.doors(at_once=times) as doors:
        for _ in range(times):
            guest = await doors.next_guest()
            assert guest.met.machine == "desktop"
            assert await guest.met.mailbox.receive_body() == b"x"
            await guest.met.mailbox.send(b"y")
            assert await guest.met.mailbox.receive_body() is None
            await guest.aclose()


async def test_they_meet_and_have_the_same_keys(pair: Pair) -> None:
    async with pair.doors() as doors, pair.sending() as sender:
        guest = await doors.next_guest()
        await both(sender, guest)
        await guest.aclose()
    assert pair.desktop.machine("laptop").used is not None
    assert pair.laptop.machine("desktop").used is not None


@pytest.mark.parametrize("first", ["sender", "receiver"])
async def test_either_may_be_first(pair: Pair, first: str) -> None:
    works = {"sender": met, "receiver": host}
    early = asyncio.create_task(works.pop(first)(pair))
    if first == "sender":
        await pair.waits.wait()
    async with asyncio.timeout(STEP):
        await asyncio.gather(early, *(work(pair) for work in works.values()))


async def test_several_of_one_machine_come_one_after_the_other(pair: Pair) -> None:
    async with asyncio.timeout(STEP):
        await asyncio.gather(host(pair, times=3), *(met(pair) for _ in range(3)))


async def test_who_finds_no_room_waits_outside(pair: Pair) -> None:
    async with pair.doors(at_once=1) as doors:
        async with pair.sending():
            guest = await doors.next_guest()
            second = asyncio.create_task(met(pair))
            third = asyncio.create_task(doors.next_guest())
            done, _ = await asyncio.wait([second, third], timeout=0.5)
            assert not done
            await guest.aclose()
        async with asyncio.timeout(STEP):
            guest = await third
            assert await guest.met.mailbox.receive_body() == b"x"
            await guest.met.mailbox.send(b"y")
            await second
            await guest.aclose()


async def test_nobody_comes(pair: Pair) -> None:
    with pytest.raises(PeerNeverCame, match="laptop did not come"):
        async with pair.sending(patience=0.3):
            pass


async def test_who_is_not_known_is_an_error_at_once(pair: Pair) -> None:
    pair.desktop.remove("laptop")
    with pytest.raises(UsageError, match="was removed"):
        async with pair.sending():
            pass
    with pytest.raises(UsageError, match="no known machine"):
        async with pair.doors(["nobody"]):
            pass


async def test_another_key_is_noticed_on_both_sides(pair: Pair) -> None:
    # The desktop was set up anew, and has kept the secret of the pair, but not its key.
    (pair.desktop.folder / "identity.pem").unlink()
    # Its doors have other names now: it has to be led to the right ones.
    public = pair.laptop.machine("desktop").key
    real = Direction(
        secret=pair.laptop.machine("desktop").secret,
        sender=public,
        receiver=pair.laptop.identity().public_key().public_bytes_raw(),
    )
    patch = pytest.MonkeyPatch()
    patch.setattr(by_keys.Acquaintance, "direction", property(lambda _: real))
    try:
        async with pair.doors() as doors:
            sending = asyncio.create_task(met(pair))
            guest = asyncio.create_task(doors.next_guest())
            for task in (sending, guest):
                error = await ends_with(task, WrongCode)
                assert "not the one that was paired" in error.message
    finally:
        patch.undo()


async def test_who_was_removed_is_told_so(pair: Pair) -> None:
    pair.laptop.remove("desktop")
    async with pair.doors(None) as doors:
        error = await ends_with(asyncio.create_task(met(pair)), WrongCode)
        assert error.told_by_peer
        assert error.message == "laptop does not know this machine any more."
        guest = asyncio.create_task(doors.next_guest())
        await asyncio.wait([guest], timeout=0.1)
        assert not guest.done()  # the others are still waited for
        guest.cancel()
    assert pair.refusals == ["desktop"]


async def test_machines_are_added_and_removed_meanwhile(pair: Pair, tmp_path: Path) -> None:
    phone = store_in(tmp_path / "phone")
    async with pair.doors(None, at_once=2) as doors:
        async with pair.sending():
            await (await doors.next_guest()).aclose()
        acquaint(pair.laptop, "phone", phone, secret=b"p" * 32)
        acquaint(phone, "laptop", pair.laptop, secret=b"p" * 32)
        pair.laptop.remove("desktop")
        pair.desktop, desktop = phone, pair.desktop
        async with pair.sending() as sender:
            guest = await doors.next_guest()
            assert guest.met.machine == "phone"
            await both(sender, guest)
            await guest.aclose()
        pair.desktop = desktop
        await ends_with(asyncio.create_task(met(pair)), WrongCode)


async def test_a_sender_that_dies_leaves_nothing_stuck(pair: Pair) -> None:
    async with pair.doors() as doors:
        for _ in range(3):
            dying = asyncio.create_task(met(pair))
            await pair.waits.wait()
            pair.waits.clear()
            dying.cancel()
            await asyncio.gather(dying, return_exceptions=True)
        async with pair.sending() as sender:
            while True:
                guest = await doors.next_guest()
                if guest.met.keys == sender.keys:
                    break
                await guest.aclose()  # one that has come and died
            await both(sender, guest)
            await guest.aclose()


async def test_another_command_waits_already(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    if pair.server is None:
        return  # each sender has a server of its own: nobody is in the way
    monkeypatch.setattr("rtcsend.meeting.known_receiving.LOCK_PATIENCE", 0.1)
    async with pair.doors() as doors, pair.doors() as others:
        first = asyncio.create_task(doors.next_guest())
        error = await ends_with(asyncio.create_task(others.next_guest()), UsageError)
        assert "waits for desktop already" in error.message
        first.cancel()


async def test_no_server_is_an_error_at_once(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "ws://127.0.0.1:1/v1")
    with pytest.raises(RendezvousUnreachable):
        async with pair.sending():
            pass
    async with pair.doors(None) as doors:
        await ends_with(asyncio.create_task(doors.next_guest()), RendezvousUnreachable)


async def test_a_server_that_restarts_is_waited_for(tmp_path: Path) -> None:
    config = ServerConfig(host="127.0.0.1", port=0)
    async with RendezvousServer(config) as server:
        port = server.port
        pair = Pair(tmp_path, f"ws://127.0.0.1:{port}/v1")
        doors = pair.doors(None)
        await doors.__aenter__()
        guests = asyncio.create_task(doors.next_guest())
        await pair.waits_at_doors.wait()
    async with RendezvousServer(ServerConfig(host="127.0.0.1", port=port)):
        async with asyncio.timeout(STEP), pair.sending() as sender:
            guest = await guests
            await both(sender, guest)
            await guest.aclose()
        await doors.__aexit__(None, None, None)


async def test_strangers_notes_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in private_runtime(tmp_path / "run").items():
        monkeypatch.setenv(name, value)
    pair = Pair(tmp_path, None)
    stranger = Pair(tmp_path / "others", None)
    waiting = asyncio.create_task(met(stranger))
    await stranger.waits.wait()
    async with pair.doors() as doors, pair.sending() as sender:
        guest = await doors.next_guest()
        await both(sender, guest)
        await guest.aclose()
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_server_that_wants_a_token(tmp_path: Path) -> None:
    config = ServerConfig(host="127.0.0.1", port=0, auth_tokens=("hunter2",))
    async with RendezvousServer(config) as server:
        pair = Pair(tmp_path, f"ws://127.0.0.1:{server.port}/v1")
        with pytest.raises(Refused, match="token"):
            async with pair.sending():
                pass
        for token in ("hunter2", None):  # what they were given serves them the second time
            pair.token = token
            async with asyncio.timeout(STEP), pair.doors() as doors, pair.sending() as sender:
                guest = await doors.next_guest()
                await both(sender, guest)
                await guest.aclose()


async def test_who_is_removed_at_the_last_moment_is_not_let_in(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "rtcsend.meeting.known_receiving.LOOK", 1000.0
    )  # nobody looks again meanwhile
    monkeypatch.setattr(by_keys, "EXCHANGE_TIMEOUT", 0.3)
    if pair.server is None:
        return  # there who is known is looked up when a note is found
    async with pair.doors(None) as doors:
        await pair.waits_at_doors.wait()
        pair.laptop.remove("desktop")
        guest = asyncio.create_task(doors.next_guest())
        with pytest.raises(PeerNeverCame):
            async with pair.sending(patience=1.0):
                pytest.fail("let in")
        assert not guest.done()
        guest.cancel()


async def test_two_that_send_to_one_machine_do_not_meet_each_other(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "rtcsend.meeting.known_sending.MAX_BROKEN", 1
    )  # one such meeting would end it
    sending = [asyncio.create_task(met(pair)) for _ in range(2)]
    await pair.waits.wait()
    done, _ = await asyncio.wait(sending, timeout=0.5)
    assert not done
    async with asyncio.timeout(STEP):
        await asyncio.gather(host(pair, times=2), *sending)


async def test_who_was_let_in_is_not_visited_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in private_runtime(tmp_path / "run").items():
        monkeypatch.setenv(name, value)
    pair = Pair(tmp_path, None)
    async with pair.doors(at_once=2) as doors, pair.sending():
        guest = await doors.next_guest()
        ((note, url),) = local_notes()  # it is announced for as long as the sender lives
        doors._notes.clear()
        doors._on_note(note, (url,))
        assert doors._notes == {}
        await guest.aclose()
