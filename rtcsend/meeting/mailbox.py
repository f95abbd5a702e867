"""The rendezvous as pairing, meetings and peers see it: bodies, and whether somebody is there.

A shell, thin: it passes over what presence means to nobody. Place in the flow: between
:mod:`rtcsend.rendezvous.client` and everything that speaks through it.
"""

from rtcsend.rendezvous.client import MessageReceived, PeerPresence, RendezvousClient


class BodyMailbox:
    """The bodies of one rendezvous mailbox."""

    def __init__(self, client: RendezvousClient) -> None:
        self._client = client
        self._first: bytes | None = None

    async def wait_for_peer(self) -> None:
        """Return when the other side has joined, or has said something."""
        while True:
            match await self._client.receive():
                case MessageReceived(body=body):  # a socket that comes back hears of it first
                    self._first = body
                    return
                case PeerPresence(state="joined"):
                    return
                case PeerPresence():
                    pass  # means nothing yet

    async def send(self, body: bytes) -> None:
        """Queue a body for the other side; when that has left, its last words say why."""
        if not self._client.peer_left:
            await self._client.send(body)

    async def receive_body(self) -> bytes | None:
        """Return the next body; None when the other side has left for good."""
        if self._first is not None:
            body, self._first = self._first, None
            return body
        while True:
            match await self._client.receive():
                case MessageReceived(body=body):
                    return body
                case PeerPresence(state="left"):
                    return None
                case PeerPresence():
                    pass
