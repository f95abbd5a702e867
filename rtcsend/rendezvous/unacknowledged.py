"""What one side has said and the server may not have: numbered, bounded, and kept to say it again.

Pure. Place in the flow: kept by :mod:`rtcsend.rendezvous.machine`. Source:
docs/rendezvous-protocol.md, "Coming back".
"""

from collections import deque
from itertools import islice

from rtcsend.rendezvous.messages import MAX_BODY, BadMessage, Message

MAX_UNACKNOWLEDGED = 1_000  # messages; the most that a server keeps for one direction
MAX_UNACKNOWLEDGED_BYTES = 2**20  # of bodies; likewise, so that nothing kept here is useless


class Unacknowledged:
    """Messages from number :attr:`first` on; the one that was said first has number 0."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self.first = 0
        """How many the server is known to have."""

    @property
    def has_room(self) -> bool:
        """True when another message of any size can be added."""
        return (
            len(self._messages) < MAX_UNACKNOWLEDGED
            and self._bytes + MAX_BODY <= MAX_UNACKNOWLEDGED_BYTES
        )

    def add(self, message: Message) -> None:
        """Keep one more."""
        self._messages.append(message)
        self._bytes += message.size

    def clear(self) -> None:
        """Forget those that nobody will ask for."""
        self._messages.clear()
        self._bytes = 0

    def missing_untrusted(self, received: int) -> list[Message]:
        """Return what has to be said again to a server that has received so many.

        Raises:
            BadMessage: It says that it has fewer than before, or more than there are.
        """
        if not self.first <= received <= self.first + len(self._messages):
            raise BadMessage("an impossible count of messages")
        return list(islice(self._messages, received - self.first, None))

    def forget(self, received: int) -> None:
        """Forget what the server has; it is a number that :meth:`missing_untrusted` has taken."""
        for _ in range(received - self.first):
            self._bytes -= self._messages.popleft().size
        self.first = received
