"""What a table of tricks is made of."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.e2e.hostile.peer import Peer

Play = Callable[[Peer], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Trick:
    """One way of breaking the rules, and what has to follow."""

    name: str
    play: Play
    """From open channels on."""
    sentence: str
    """A part of what the honest side tells its user."""
    code: str = "peer-protocol"
    """How the honest side ends."""
    told: str | None = "peer-protocol"
    """What the hostile side hears of it; None: it has ended itself, or is not told."""
    quotes: bool = False
    """Whether the honest side's sentence is the hostile side's."""
    options: tuple[str, ...] = ()
    """Of the honest side's command."""

    def __str__(self) -> str:
        return self.name


def says(*messages: str) -> Play:
    """Return a play of control messages."""

    async def play(peer: Peer) -> None:
        await peer.say(*messages)

    return play
