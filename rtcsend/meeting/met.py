"""Two sides that have met and trust each other, by words or by keys: what the rest goes on from.

Place in the flow: what pairing (:mod:`rtcsend.meeting.by_words`) and known machines
(:mod:`rtcsend.meeting.by_keys`) return, and everything after the pairing takes.
"""

from dataclasses import dataclass

from rtcsend.meeting.mailbox import BodyMailbox
from rtcsend.meeting.place import Place
from rtcsend.pairing.keys import SessionKeys
from rtcsend.rendezvous.client import RendezvousClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """A pairing that is done, and the mailbox in which the two are."""

    keys: SessionKeys
    client: RendezvousClient
    """Entered; whoever made it ends it."""
    mailbox: BodyMailbox
    """Of the client."""
    place: Place
    """Of the rendezvous, for when the two lose each other."""
    machine: str | None = None
    """The name by which the other one is known; None: it came by words."""
