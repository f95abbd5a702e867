"""What happens to one client of a rendezvous, as its machine tells it.

Pure. Place in the flow: from :mod:`rtcsend.rendezvous.machine`, by way of
:mod:`rtcsend.rendezvous.keeper`, to :mod:`rtcsend.rendezvous.client`.
"""

from dataclasses import dataclass
from typing import Literal

from rtcsend.rendezvous.messages import ErrorMessage, Welcome


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """The other side sent something."""

    body: bytes


@dataclass(frozen=True, slots=True)
class PeerPresence:
    """The other side came, lost its socket, came back, or ended the rendezvous."""

    state: Literal["joined", "away", "back", "left"]


@dataclass(frozen=True, slots=True)
class Welcomed:
    """The server said welcome on this socket."""

    welcome: Welcome


@dataclass(frozen=True, slots=True)
class Attached:
    """The server granted what was asked for, or took this side back."""

    nameplate: str | None
    """What was allocated or claimed; None for a meeting."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The server refused; ``attached`` says whether it ended something that worked."""

    error: ErrorMessage
    attached: bool


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The server has no place for it now: nothing has changed, try again on another socket."""

    error: ErrorMessage


MachineEvent = MessageReceived | PeerPresence | Welcomed | Attached | Failed | TurnedAway
