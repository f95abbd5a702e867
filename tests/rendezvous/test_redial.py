import asyncio

import pytest

from rtcsend.rendezvous.redial import MAX_ATTEMPTS, STAGGER, first_to_open
from rtcsend.rendezvous.websocket import Socket, SocketLost
from tests.fakes.clock import run_virtual


class FakeSocket:
    """A socket that only knows whether it was closed."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = False

    async def send(self, frame: str) -> None:
        raise AssertionError(frame)

    async def receive(self) -> str | bytes:
        raise AssertionError

    async def close(self) -> None:
        self.closed = True


class FakeNetwork:
    """Dials that open so many seconds after they began; None: never."""

    def __init__(self, *delays: float | None) -> None:
        self.delays = delays
        self.began: list[float] = []
        self.opened: list[FakeSocket] = []

    async def dial(self, url: str) -> Socket:
        assert url == "ws://h/v1"
        number = len(self.began)
        self.began.append(asyncio.get_running_loop().time())
        delay = self.delays[number] if number < len(self.delays) else None
        if delay is None:
            await asyncio.get_running_loop().create_future()
        else:
            await asyncio.sleep(delay)
        socket = FakeSocket(number)
        self.opened.append(socket)
        return socket


async def open_first(network: FakeNetwork) -> int:
    socket = await first_to_open("ws://h/v1", network.dial)
    assert isinstance(socket, FakeSocket)
    assert not socket.closed
    assert [other for other in network.opened if other is not socket and not other.closed] == []
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return socket.number


@pytest.mark.parametrize(
    ("delays", "opens", "began"),
    [
        ((0.04,), 0, [0.0]),
        ((None, 0.04), 1, [0.0, STAGGER]),
        ((None, None, None, 0.04), 3, [STAGGER * number for number in range(4)]),
        ((2.5, None), 0, [0.0, STAGGER, 2 * STAGGER]),  # slow, but the first one to answer
    ],
)
def test_the_first_to_open(
    delays: tuple[float | None, ...], opens: int, began: list[float]
) -> None:
    async def main() -> None:
        network = FakeNetwork(*delays)
        assert await open_first(network) == opens
        assert network.began == began

    run_virtual(main)


def test_two_at_once_leave_one() -> None:
    async def main() -> None:
        await open_first(FakeNetwork(2 * STAGGER, STAGGER))

    run_virtual(main)


def test_never_more_than_some() -> None:
    async def main() -> None:
        network = FakeNetwork()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100):
                await open_first(network)
        assert len(network.began) == MAX_ATTEMPTS
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)


def test_a_failure_ends_it() -> None:
    async def main() -> None:
        calls = 0

        async def dial(_url: str) -> Socket:
            nonlocal calls
            calls += 1
            if calls == 1:
                await asyncio.sleep(100)
            raise SocketLost("gone")

        with pytest.raises(SocketLost):
            await first_to_open("ws://h/v1", dial)
        assert calls == 2
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)
