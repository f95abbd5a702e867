"""The other side of an interoperation test: what each implementation is made to do.

An implementation is a :class:`StandardPeer`: it has the two negotiated channels, echoes each
message on the channel it came by, and on demand collects or sends a stream of frames instead.
Descriptions and candidates are text, as any signalling would carry them.
"""

import asyncio
import hashlib
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from rtcsend.connecting import Connection, connected
from rtcsend.options import RoutePolicy
from rtcsend.pairing.keys import Role
from rtcsend.peer.candidate import maybe_parse_candidate_untrusted
from rtcsend.peer.description import DescriptionType, parse_description_untrusted
from rtcsend.peer.signalling import SealedSignalling
from rtcsend.peer.signals import CandidateSignal, DescriptionSignal, EndOfCandidates
from tests.peer.box import signallings

TIMEOUT = 120.0  # seconds for any one thing to happen
FRAME_SIZE = 65_536  # bytes
BASE = bytes((index * 31 + (index >> 8)) & 0xFF for index in range(FRAME_SIZE))
_NUMBER = struct.Struct("!L")


def frames(count: int) -> Iterator[bytes]:
    """Yield the frames of a stream: alike but for their numbers, so that order matters."""
    for number in range(count):
        yield _NUMBER.pack(number) + BASE[_NUMBER.size :]


def stream_digest(count: int) -> str:
    """Return the SHA-256 of a stream."""
    digest = hashlib.sha256()
    for frame in frames(count):
        digest.update(frame)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Outcome:
    """A stream, as the other side has seen it go by."""

    digest: str
    seconds: float


class StandardPeer(Protocol):
    """A connection of another implementation, with the channels 0 (control) and 1 (data)."""

    candidates: "asyncio.Queue[str | None]"
    """Its own, from its local description on, as they are found; None: no more."""

    async def offer(self) -> str:
        """Make the local description, an offer; return its SDP."""
        ...

    async def answer(self, sdp: str) -> str:
        """Take an offer; make the local description, return its SDP."""
        ...

    async def accept(self, sdp: str) -> None:
        """Take the answer."""
        ...

    async def add_candidate(self, candidate: str | None) -> None:
        """Take a candidate of the other side; None: no more."""
        ...

    async def wait_open(self) -> None:
        """Return when both channels are open."""
        ...

    async def say(self, text: str) -> None:
        """Send a text on the control channel."""
        ...

    async def collect(self, count: int, *, slowly: bool = False) -> Outcome:
        """Take so many frames from the data channel, instead of echoing them."""
        ...

    async def push(self, count: int) -> Outcome:
        """Send a stream on the data channel, no faster than its queue drains."""
        ...

    async def close_data(self) -> None:
        """Close the data channel, and nothing else."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...

    async def wait_closed(self) -> None:
        """Return when the data channel is closed."""
        ...


async def _say_all(peer: StandardPeer, signalling: SealedSignalling) -> None:
    while (line := await peer.candidates.get()) is not None:
        candidate = maybe_parse_candidate_untrusted(line)
        if candidate is not None:  # None: it is one for TCP
            await signalling.send(CandidateSignal(candidate))
    await signalling.send(EndOfCandidates())


async def _describe(kind: DescriptionType, sdp: str, signalling: SealedSignalling) -> None:
    await signalling.send(DescriptionSignal(parse_description_untrusted(kind, sdp)))


async def negotiate(peer: StandardPeer, signalling: SealedSignalling, *, offers: bool) -> None:
    """Do the other side's part of the signalling, for as long as it is let."""
    async with asyncio.TaskGroup() as tasks:
        if offers:
            await _describe("offer", await peer.offer(), signalling)
            tasks.create_task(_say_all(peer, signalling))
        while True:
            match await signalling.receive():
                case DescriptionSignal(description=description) if offers:
                    await peer.accept(description.to_sdp())
                case DescriptionSignal(description=description):
                    answer = await peer.answer(description.to_sdp())
                    await _describe("answer", answer, signalling)
                    tasks.create_task(_say_all(peer, signalling))
                case CandidateSignal(candidate=candidate):
                    await peer.add_candidate(str(candidate))
                case EndOfCandidates():
                    await peer.add_candidate(None)
                case signal:
                    raise AssertionError(signal)


@asynccontextmanager
async def joined(role: Role, peer: StandardPeer) -> AsyncIterator[Connection]:
    """Connect our side in ``role`` with a peer; yield ours when the channels are open."""
    sides = signallings()
    offers = role is Role.RECEIVER
    talking = asyncio.create_task(negotiate(peer, sides[role.peer], offers=offers))
    try:
        async with connected(
            role,
            route=RoutePolicy.ANY,
            ice_servers=(),
            signalling=sides[role],
            peer_datapath=0,  # what a greeting says that does not know ours
        ) as ours:
            async with asyncio.timeout(TIMEOUT):
                await peer.wait_open()
            yield ours
    finally:
        talking.cancel()
        with suppress(asyncio.CancelledError):  # and tell what else it died of
            await talking
