"""All mailboxes of a server, and the three ways to find a side: name, side and token.

What it does: keeps the indexes and the mailboxes together, and counts what is stored.
What it does not: decide who may enter; that is :mod:`signal_server.mailbox`.

Pure. Source: docs/rendezvous-protocol.md, "Mailboxes".
"""

from signal_server.messages import Allocate, Claim, Meet, Resume
from signal_server.storage import Mailbox, Name, Side, SideKey

Place = tuple[Mailbox, Side]


class Directory:
    """The mailboxes of one server.

    A mailbox that one side has left can be entered by nobody, and its name is free; the
    other side still finds it by its token or its repeated request until it leaves as well.
    """

    def __init__(self) -> None:
        self._by_name: dict[Name, Mailbox] = {}
        self._by_key: dict[SideKey, Place] = {}
        self._by_token: dict[str, Place] = {}
        self.stored_bytes = 0
        """Of the bodies in all mailboxes."""

    def __len__(self) -> int:
        """Return how many mailboxes can be entered."""
        return len(self._by_name)

    @property
    def sides(self) -> int:
        """How many sides are kept, those of mailboxes that have ended included."""
        return len(self._by_token)

    def named(self, name: Name) -> Mailbox | None:
        """Return the mailbox that can be entered under ``name``."""
        return self._by_name.get(name)

    def place_of(self, message: Allocate | Claim | Meet | Resume) -> Place | None:
        """Return the place of a side that asks again, or comes back with its token."""
        if isinstance(message, Resume):
            place = self._by_token.get(message.token)
            asked = (message.nameplate, message.mailbox)
            return place if place is not None and place[0].name.text in asked else None
        key = _key_of(message)
        return self._by_key.get(key) if key is not None else None

    def open(self, name: Name, *, now: float) -> Mailbox:
        """Return a new mailbox under a free name; a side must be added at once."""
        mailbox = Mailbox(name, created=now)
        self._by_name[name] = mailbox
        return mailbox

    def add_side(
        self, mailbox: Mailbox, message: Allocate | Claim | Meet, *, token: str, now: float
    ) -> Side:
        """Return a new side of ``mailbox``; it is away until a socket is attached."""
        key = _key_of(message)
        side = Side(token=token, key=key, connection=None, away_since=now)
        mailbox.sides.append(side)
        self._by_token[token] = (mailbox, side)
        if key is not None:
            self._by_key[key] = (mailbox, side)
        return side

    def store(self, side: Side, body: bytes) -> None:
        """Keep what ``side`` has sent."""
        side.sent.append(body)
        side.sent_bytes += len(body)
        self.stored_bytes += len(body)

    def remove_side(self, mailbox: Mailbox, side: Side, *, now: float) -> bool:
        """Take ``side`` out for good; the name is free from the first one on.

        Returns:
            Whether the other side is still in.
        """
        side.left = True
        del self._by_token[side.token]
        if side.key is not None:
            del self._by_key[side.key]
        if mailbox.ended_at is None:
            mailbox.ended_at = now
            del self._by_name[mailbox.name]
        other = mailbox.other(side)
        if other is not None and not other.left:
            return True
        self.stored_bytes -= sum(each.sent_bytes for each in mailbox.sides)
        return False


def _key_of(message: Allocate | Claim | Meet) -> SideKey | None:
    if message.side is None:
        return None
    match message:
        case Allocate(nameplate=nameplate):
            return SideKey("allocate", nameplate or "", message.side)
        case Claim(nameplate=nameplate):
            return SideKey("claim", nameplate, message.side)
        case Meet(mailbox=mailbox):
            return SideKey("meet", mailbox, message.side)
