"""What the system tells of a datagram that nobody wanted; routers and firewalls are tests/lab's."""

import asyncio
from contextlib import closing

import pytest

from rtcsend.doctor import knocking
from rtcsend.doctor.knocking import knock
from tests.doctor.test_examine import dead_port

pytestmark = [pytest.mark.net]


async def test_nobody_listens_there() -> None:
    with closing(dead_port()) as sock:
        port = sock.getsockname()[1]
    refused = await knock(("127.0.0.1", port))
    assert refused is not None
    assert refused.slug == "refused"


async def test_silence_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knocking, "KNOCK_WAIT", 0.02)
    with closing(dead_port()) as sock:
        assert await knock(sock.getsockname()) is None


async def test_an_answer_is_no_refusal() -> None:
    with closing(dead_port()) as sock:
        sock.settimeout(10.0)

        def answer() -> None:
            data, source = sock.recvfrom(2_048)
            sock.sendto(data, source)

        refused, _ = await asyncio.gather(knock(sock.getsockname()), asyncio.to_thread(answer))
    assert refused is None
