"""The client on virtual time: what callers see, however the server behaves."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from rtcsend.errors import (
    InternalError,
    NoSuchCode,
    Refused,
    RendezvousError,
    RendezvousUnreachable,
    UsageError,
)
from rtcsend.rendezvous.client import MessageReceived, PeerPresence, RendezvousClient
from rtcsend.rendezvous.frames import serialize
from rtcsend.rendezvous.messages import (
    MAX_BODY,
    Claimed,
    ErrorMessage,
    IceServer,
    Message,
    Peer,
    Resumed,
    Welcome,
)
from rtcsend.rendezvous.unacknowledged import MAX_UNACKNOWLEDGED
from signal_server.limits import Limits
from tests.fakes.clock import run_virtual
from tests.rendezvous.fake_server import FakeServer

URL = "ws://127.0.0.1:1/v1"
MAILBOX = "m" * 22
WELCOME = serialize(Welcome(server="s"))
CLAIMED = serialize(Claimed(token="t" * 22))

Test = Callable[[FakeServer], Coroutine[Any, Any, None]]


def on_virtual_time(test: Test) -> Callable[[], None]:
    """Run a test on virtual time, and check that no task is left of it."""

    async def main() -> None:
        await test(FakeServer())
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def run() -> None:
        run_virtual(main)

    run.__name__ = test.__name__
    return run


def client(server: FakeServer, **kwargs: float) -> RendezvousClient:
    return RendezvousClient(URL, dial=server.dial, **kwargs)


async def paired(a: RendezvousClient, b: RendezvousClient) -> str:
    nameplate = await a.allocate()
    await b.claim(nameplate)
    for side in (a, b):
        assert await side.receive() == PeerPresence("joined")
    return nameplate


async def seconds(awaitable: Awaitable[object]) -> float:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await awaitable
    return loop.time() - started


@on_virtual_time
async def test_two_clients_talk(server: FakeServer) -> None:
    async with client(server) as a, client(server) as b:
        nameplate = await a.allocate()
        await a.send(b"early")
        await b.claim(nameplate)
        assert await b.receive() == MessageReceived(b"early")
        assert await b.receive() == PeerPresence("joined")
        assert await a.receive() == PeerPresence("joined")
        await b.send(bytes(MAX_BODY))
        assert await a.receive() == MessageReceived(bytes(MAX_BODY))
        assert [state_of(a), state_of(b)] == ["attached", "attached"]
        await b.release()
        assert await a.receive() == PeerPresence("left")
        assert state_of(b) == "closed"
    assert state_of(a) == "closed"
    assert server.machine.directory.live == 0
    assert server.open_sockets == 0


def test_the_welcome_is_there_after_entering() -> None:
    ice = IceServer(("stun:h",))

    async def main() -> None:
        server = FakeServer(Welcome(server="s", ice_servers=(ice,), motd="hello"))
        entered = client(server)
        with pytest.raises(InternalError):
            _ = entered.welcome
        assert entered.state == "closed"
        async with entered:
            assert entered.welcome.ice_servers == (ice,)
            assert entered.welcome.motd == "hello"

    run_virtual(main)


@on_virtual_time
async def test_a_nameplate_of_the_users_own(server: FakeServer) -> None:
    async with client(server) as a, client(server) as b:
        assert await a.allocate("123") == "123"
        with pytest.raises(Refused, match="in use"):
            await b.allocate("123")
        await b.claim("123")  # the client is still good
        with pytest.raises(UsageError):
            await b.allocate("007")
        with pytest.raises(UsageError):
            await b.claim("x")


@on_virtual_time
async def test_no_such_nameplate(server: FakeServer) -> None:
    async with client(server) as a:
        with pytest.raises(NoSuchCode):
            await a.claim("7")
        with pytest.raises(InternalError):
            await a.send(b"to nobody")


@on_virtual_time
async def test_what_a_dead_socket_has_swallowed_goes_by_the_next_one(server: FakeServer) -> None:
    async with client(server) as a, client(server) as b:
        await paired(a, b)
        server.mood = "silent"  # the socket stays open, and leads nowhere
        await a.send(b"swallowed")
        await asyncio.sleep(1)
        server.mood = "well"
        a.redial()
        assert state_of(a) == "reconnecting"
        a.redial()  # twice is harmless
        assert await seconds(a.wait_attached()) < 0.5
        assert await b.receive() == PeerPresence("away")
        assert await b.receive() == PeerPresence("back")
        assert await b.receive() == MessageReceived(b"swallowed")
        await a.send(b"more")
        assert await b.receive() == MessageReceived(b"more")
        assert len(server.dials) == 3
    a.redial()  # too late is harmless too
    assert state_of(a) == "closed"
    await a.wait_attached()


@on_virtual_time
async def test_dialling_anew_before_there_is_an_answer(server: FakeServer) -> None:
    server.mood = "hanging"
    entering = asyncio.create_task(client(server).__aenter__())
    await asyncio.sleep(1)
    server.mood = "well"
    a = client(server)
    entering.cancel()
    await asyncio.wait([entering])
    async with a, client(server) as b:
        await paired(a, b)
        server.mood = "hanging"
        server.drop_all()
        await asyncio.sleep(1)
        server.mood = "well"
        a.redial()
        assert await seconds(a.wait_attached()) < 1


@on_virtual_time
async def test_a_third_party_is_refused_and_the_two_go_on(server: FakeServer) -> None:
    async with client(server) as a, client(server) as b, client(server) as c:
        nameplate = await paired(a, b)
        with pytest.raises(NoSuchCode):
            await c.claim(nameplate)
        await a.send(b"still")
        assert await b.receive() == MessageReceived(b"still")


@on_virtual_time
async def test_meet(server: FakeServer) -> None:
    async with client(server) as a, client(server) as b:
        await a.meet(MAILBOX)
        await a.send(b"hello")
        await b.meet(MAILBOX)
        assert await b.receive() == MessageReceived(b"hello")
        with pytest.raises(InternalError):
            await a.meet("short")


@on_virtual_time
async def test_dropped_sockets_lose_nothing(server: FakeServer) -> None:
    async with client(server) as a, client(server) as b:
        await paired(a, b)
        for number in range(20):
            await a.send(b"a%d" % number)
            if number % 3 == 0:
                await asyncio.sleep(0.005 * number)
                server.drop_all()
            await b.send(b"b%d" % number)
        for side, prefix in ((a, b"b"), (b, b"a")):
            heard: list[bytes] = []
            while len(heard) < 20:
                event = await side.receive()
                if isinstance(event, MessageReceived):
                    heard.append(event.body)
            assert heard == [prefix + b"%d" % number for number in range(20)]


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.05])
@pytest.mark.parametrize("kind", ["allocate", "claim", "meet"])
def test_a_drop_in_any_phase_of_a_request(kind: str, delay: float) -> None:
    async def main() -> None:
        server = FakeServer()
        async with client(server) as a, client(server) as b:
            if kind == "claim":
                nameplate = await b.allocate()
                task = asyncio.create_task(a.claim(nameplate))
            elif kind == "meet":
                task = asyncio.create_task(a.meet(MAILBOX))
            else:
                task = asyncio.create_task(_drop_result(a.allocate()))
            await asyncio.sleep(delay)
            server.drop_all()
            await task
            assert a.state == "attached"
            assert server.machine.directory.live == 1
            if kind == "claim":
                assert await b.receive() == PeerPresence("joined")

    run_virtual(main)


async def _drop_result(awaitable: Awaitable[object]) -> None:
    await awaitable


@on_virtual_time
async def test_presence_of_a_side_that_loses_its_socket(server: FakeServer) -> None:
    async with client(server) as a, client(server) as b:
        await paired(a, b)
        server.sockets[2].lose(None)
        assert await a.receive() == PeerPresence("away")
        assert await a.receive() == PeerPresence("back")


@on_virtual_time
async def test_state_while_reconnecting(server: FakeServer) -> None:
    async with client(server) as a:
        await a.allocate()
        server.mood = "failing"
        server.drop_all()
        await asyncio.sleep(1.0)
        assert state_of(a) == "reconnecting"
        server.mood = "well"
        await asyncio.sleep(5.0)
        assert state_of(a) == "attached"


def state_of(subject: RendezvousClient) -> str:
    return subject.state


# Servers that do not answer


@pytest.mark.parametrize(
    ("mood", "at_least", "at_most"),
    [("refusing", 0.0, 0.1), ("failing", 4.0, 9.1), ("hanging", 8.9, 9.1), ("silent", 8.9, 9.1)],
)
def test_entering_fails_within_ten_seconds(mood: Any, at_least: float, at_most: float) -> None:
    async def main() -> None:
        server = FakeServer()
        server.mood = mood
        loop = asyncio.get_running_loop()
        with pytest.raises(RendezvousUnreachable):
            async with client(server):
                raise AssertionError("unreachable")
        assert at_least <= loop.time() <= at_most
        assert server.open_sockets == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)


@on_virtual_time
async def test_entering_goes_on_when_the_server_comes_up(server: FakeServer) -> None:
    server.mood = "failing"

    def come_up() -> None:
        server.mood = "well"

    asyncio.get_running_loop().call_later(3.0, come_up)
    async with client(server) as a:
        assert await a.allocate()
    assert 1 < len(server.dials) < 10


@on_virtual_time
async def test_coming_back_is_given_up_after_retry_for(server: FakeServer) -> None:
    async with client(server, retry_for=60.0) as a:
        await a.allocate()
        await asyncio.sleep(100.0)
        server.mood = "refusing"
        server.drop_all()
        with pytest.raises(RendezvousUnreachable):
            await a.receive()
        loop = asyncio.get_running_loop()
        assert 50.0 <= loop.time() - 100.0 <= 61.0
        assert state_of(a) == "closed"
        pauses = [
            after - before for before, after in zip(server.dials, server.dials[1:], strict=False)
        ]
        assert pauses[1] < 0.3
        assert max(pauses[2:]) <= 5.1
        assert min(pauses[-3:]) >= 2.5
        with pytest.raises(RendezvousUnreachable):
            await a.send(b"late")


@on_virtual_time
async def test_a_silent_server_on_the_way_back_is_tried_again(server: FakeServer) -> None:
    async with client(server) as a:
        await a.allocate()
        server.mood = "silent"
        server.drop_all()
        await asyncio.sleep(12.0)
        assert len(server.dials) >= 3
        server.mood = "well"
        await asyncio.sleep(15.0)
        assert state_of(a) == "attached"


@on_virtual_time
async def test_a_request_without_an_answer_ends(server: FakeServer) -> None:
    async with client(server) as a:
        server.mood = "silent"
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(RendezvousUnreachable):
            await a.allocate()
        assert loop.time() - started <= 9.1


@on_virtual_time
async def test_a_server_that_forgot_everything(server: FakeServer) -> None:
    async with client(server) as a, client(server) as b:
        await paired(a, b)
        server.machine = FakeServer().machine
        server.drop_all()
        with pytest.raises(NoSuchCode):
            await a.receive()


@on_virtual_time
async def test_a_code_outlives_a_server_that_forgot_it(server: FakeServer) -> None:
    async with client(server) as a:
        nameplate = await a.allocate()
        server.machine = FakeServer().machine
        server.drop_all(1012)
        await asyncio.sleep(3.0)
        assert state_of(a) == "attached"
        async with client(server) as b:
            await b.claim(nameplate)
            assert await a.receive() == PeerPresence("joined")


@on_virtual_time
async def test_a_refusal_says_when_to_try_again(server: FakeServer) -> None:
    refused = serialize(ErrorMessage(code="rate-limited", message="x", retry_after=42))
    server.script = [refused]
    with pytest.raises(Refused) as caught:
        async with client(server):
            raise AssertionError("unreachable")
    assert "Try again in 42 s" in caught.value.hint
    server.script = [WELCOME, serialize(ErrorMessage(code="unauthorized", message="x"))]
    async with client(server) as a:
        with pytest.raises(Refused, match="token") as caught:
            await a.allocate()
    assert "RTCSEND_TOKEN" in caught.value.hint


@on_virtual_time
async def test_a_server_that_wants_a_newer_program(server: FakeServer) -> None:
    server.script = [serialize(Welcome(server="s", min_client="999.1"))]
    with pytest.raises(Refused, match=r"wants rtcsend 999\.1 or later") as caught:
        async with client(server):
            raise AssertionError("unreachable")
    assert caught.value.hint == "Install a newer rtcsend."


@on_virtual_time
async def test_reports_go_only_to_servers_that_want_them(server: FakeServer) -> None:
    for wanted in (False, True):
        sent: list[str] = []
        server.script = [serialize(Welcome(server="s", reports=wanted)), CLAIMED]
        server.take = lambda socket, frame, sent=sent: sent.append(frame)  # type: ignore[method-assign,misc]
        async with client(server) as a:
            await a.claim("7")
            a.report("direct")
            await asyncio.sleep(1.0)
        reports = [frame for frame in sent if "report" in frame]
        assert reports == (['{"type":"report","route":"direct"}'] if wanted else [])


@on_virtual_time
async def test_a_full_server_turns_newcomers_away_and_old_ones_try_again(
    server: FakeServer,
) -> None:
    full = FakeServer(limits=Limits(max_sockets=0)).machine
    async with client(server) as a:
        await a.allocate()
        good, server.machine = server.machine, full
        with pytest.raises(Refused, match="no room"):
            async with client(server):
                raise AssertionError("unreachable")
        for socket in list(server.sockets.values()):
            good.disconnect(socket.number, now=server.now)
        server.drop_all()
        await asyncio.sleep(3.0)
        assert state_of(a) == "reconnecting"
        server.machine = good
        await asyncio.sleep(6.0)
        assert state_of(a) == "attached"


# Servers that break the protocol


BROKEN: list[list[str | bytes]] = [
    ["garbage"],
    [b"\x00\x01"],
    [WELCOME.encode()],
    ["{}"],
    ['{"type":"welcome"}'],
    [serialize(Peer("joined"))],
    [WELCOME, WELCOME],
    [WELCOME, serialize(Message(b"unasked"))],
    [WELCOME, CLAIMED],
    ["[" * 60_000],
]


@pytest.mark.parametrize("script", BROKEN)
def test_a_broken_server_is_refused(script: list[str | bytes]) -> None:
    async def main() -> None:
        server = FakeServer()
        server.script = script
        with pytest.raises(Refused, match="protocol") as caught:
            async with client(server) as a:
                await a.receive()
        assert caught.value.hint
        assert len(server.dials) == 1  # no use in another socket
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)


@pytest.mark.parametrize("version", [0, 2])
def test_another_protocol_version_is_refused(version: int) -> None:
    async def main() -> None:
        server = FakeServer(Welcome(server="s", protocol=version))
        with pytest.raises(Refused, match=f"version {version}"):
            async with client(server):
                raise AssertionError("unreachable")

    run_virtual(main)


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1009])
def test_a_socket_closed_for_breaking_websocket_is_the_end(code: int) -> None:
    async def main() -> None:
        server = FakeServer()
        async with client(server) as a:
            await a.allocate()
            server.drop_all(code)
            with pytest.raises(Refused):
                await a.receive()

    run_virtual(main)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("not-found", NoSuchCode),
        ("expired", NoSuchCode),
        ("crowded", Refused),
        ("rate-limited", Refused),
        ("full", Refused),
        ("bad-message", Refused),
        ("too-large", Refused),
    ],
)
@pytest.mark.parametrize("attached", [True, False])
def test_errors_of_the_server(code: Any, error: type[RendezvousError], *, attached: bool) -> None:
    async def main() -> None:
        server = FakeServer()
        refusal = serialize(ErrorMessage(code=code, message="\x1b[31mred"))
        server.script = [WELCOME]
        async with client(server) as a:
            task = asyncio.create_task(a.claim("7"))
            await asyncio.sleep(1.0)
            if attached:
                server.sockets[1].arrive(CLAIMED)
                await task
            server.sockets[1].arrive(refusal)
            with pytest.raises(error) as caught:
                await (a.receive() if attached else task)
            assert "\x1b" not in caught.value.message

    run_virtual(main)


@on_virtual_time
async def test_an_expired_mailbox_ends_both_waits(server: FakeServer) -> None:
    server.script = [WELCOME]
    async with client(server) as a:
        task = asyncio.create_task(a.claim("7"))
        await asyncio.sleep(1.0)
        server.sockets[1].arrive(CLAIMED)
        await task
        server.script = [WELCOME, serialize(Resumed(received=5))]  # an impossible count
        server.drop_all()
        with pytest.raises(Refused, match="count"):
            await a.receive()


# Limits, order, and the end


@on_virtual_time
async def test_sending_is_bounded(server: FakeServer) -> None:
    async with client(server) as a:
        await a.allocate()
        server.mood = "failing"
        server.drop_all()
        for _ in range(MAX_UNACKNOWLEDGED):
            await a.send(b"")
        with pytest.raises(Refused):
            await a.send(b"")


@on_virtual_time
async def test_a_reader_that_sleeps_holds_the_server_back(server: FakeServer) -> None:
    server.script = [WELCOME]
    async with client(server) as a:
        task = asyncio.create_task(a.claim("7"))
        await asyncio.sleep(1.0)
        socket = server.sockets[1]
        socket.arrive(CLAIMED)
        await task
        for number in range(5_000):
            socket.arrive(serialize(Message(b"%d" % number)))
        await asyncio.sleep(1_000.0)
        assert len(a._arrivals.inbox) == 2_000
        for number in range(5_000):
            assert await a.receive() == MessageReceived(b"%d" % number)


@on_virtual_time
async def test_receive_is_safe_to_cancel(server: FakeServer) -> None:
    async with client(server) as a, client(server) as b:
        await paired(a, b)
        for number in range(10):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await b.receive()
            await a.send(b"%d" % number)
            assert await b.receive() == MessageReceived(b"%d" % number)


@on_virtual_time
async def test_what_came_before_the_end_is_handed_over_first(server: FakeServer) -> None:
    async with client(server) as a, client(server) as b:
        await paired(a, b)
        await a.send(b"last words")
        await a.release()
        await asyncio.sleep(1_000.0)
        assert await b.receive() == MessageReceived(b"last words")
        assert await b.receive() == PeerPresence("left")
        server.drop_all()
        with pytest.raises(RendezvousUnreachable, match="other side"):
            await b.receive()


@on_virtual_time
async def test_release_flushes_what_was_sent(server: FakeServer) -> None:
    async with client(server) as a, client(server) as b:
        await paired(a, b)
        for number in range(10):
            await a.send(b"%d" % number)
        assert await seconds(a.release()) < 1.0
        await a.release()
        for number in range(10):
            assert await b.receive() == MessageReceived(b"%d" % number)
        assert await b.receive() == PeerPresence("left")


@pytest.mark.parametrize("mood", ["silent", "failing", "hanging"])
def test_leaving_takes_a_second_at_most(mood: Any) -> None:
    async def main() -> None:
        server = FakeServer()
        a = client(server)
        async with a:
            await a.allocate()
            server.mood = mood
            if mood != "silent":
                server.drop_all()
                await asyncio.sleep(1.0)
            started = server.now
        assert server.now - started <= 1.1
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)


@on_virtual_time
async def test_release_wakes_whoever_waits(server: FakeServer) -> None:
    async with client(server) as a:
        await a.allocate()
        task = asyncio.create_task(a.receive())
        await asyncio.sleep(1.0)
        await a.release()
        with pytest.raises(InternalError):
            await task
        with pytest.raises(InternalError):
            await a.send(b"")


@on_virtual_time
async def test_an_error_inside_still_releases(server: FakeServer) -> None:
    async def failing() -> None:
        async with client(server) as a:
            await a.allocate()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()
    assert server.machine.directory.live == 0


@on_virtual_time
async def test_cancelled_while_entering(server: FakeServer) -> None:
    server.mood = "hanging"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0), client(server):
            raise AssertionError("unreachable")


@on_virtual_time
async def test_a_bug_reaches_the_caller(server: FakeServer) -> None:
    async def broken(_url: str) -> Any:
        raise ZeroDivisionError

    with pytest.raises(InternalError, match="ZeroDivisionError"):
        async with RendezvousClient(URL, dial=broken):
            raise AssertionError("unreachable")


def test_a_bad_address_is_found_at_once() -> None:
    with pytest.raises(UsageError):
        RendezvousClient("ftp://h")


# A server that is there and has no use for clients just now


@on_virtual_time
async def test_who_is_asked_to_come_again_does_not_give_up(server: FakeServer) -> None:
    server.mood = "later"
    asyncio.get_running_loop().call_later(30, setattr, server, "mood", "well")
    async with client(server) as a:
        assert await a.allocate()


@on_virtual_time
async def test_a_request_outlives_that_its_server_has_no_store(server: FakeServer) -> None:
    async with client(server) as a:
        server.mood = "later"
        asyncio.get_running_loop().call_later(0.005, server.drop_all, 1013)
        asyncio.get_running_loop().call_later(30, setattr, server, "mood", "well")
        assert 30 < await seconds(a.allocate()) < 36


@on_virtual_time
async def test_for_as_long_as_for_a_server_that_was_lost(server: FakeServer) -> None:
    server.mood = "later"

    async def enter() -> None:
        with pytest.raises(RendezvousUnreachable, match="503"):
            await client(server).__aenter__()

    assert 55 < await seconds(enter()) < 61
