"""The client's side of one rendezvous: what to say on each socket, so that nothing is lost.

A rendezvous outlives its sockets. The machine is told when one opened and when it is gone;
it says what to send, and what happened::

    IDLE ──allocate/claim/meet──▶ ASKING ──allocated/claimed──▶ ATTACHED ──release──▶ ENDED
     ▲                              │                            │    ▲
     └────────── refused ───────────┘             socket dropped ▼    │ resumed
                                                               RESUMING

In ASKING a new socket repeats the request with the same side, in RESUMING it shows the
token; either way both ends say how many messages they have, and the missing ones follow.
So each body arrives exactly once and in order, wherever the socket broke. A server that has
forgotten a nameplate to which nobody had come yet is asked for the same one again: whoever has
the code need not know that the server was restarted.

What it does not: open sockets, wait, or decide how often to try; that is
:mod:`rtcsend.rendezvous.client`. Pure. Source: docs/rendezvous-protocol.md.
"""

import enum
from collections import deque

from rtcsend.errors import InternalError
from rtcsend.rendezvous.frames import parse_server_message_untrusted, serialize
from rtcsend.rendezvous.machine_events import (
    Attached,
    Failed,
    MachineEvent,
    MessageReceived,
    PeerPresence,
    TurnedAway,
    Welcomed,
)
from rtcsend.rendezvous.messages import (
    MAX_BODY,
    PROTOCOL,
    Allocate,
    Allocated,
    BadMessage,
    Claim,
    Claimed,
    ClientMessage,
    ErrorMessage,
    IceServer,
    Meet,
    Message,
    Peer,
    PeerState,
    Release,
    Report,
    ReportedRoute,
    Resume,
    Resumed,
    ServerMessage,
    Welcome,
)
from rtcsend.rendezvous.unacknowledged import Unacknowledged


class State(enum.Enum):
    """Where the rendezvous stands, sockets apart."""

    IDLE = enum.auto()
    """Nothing was asked for yet, or what was asked for was refused."""
    ASKING = enum.auto()
    """Asked, and not answered."""
    ATTACHED = enum.auto()
    RESUMING = enum.auto()
    """It has a token, but this socket is not attached, or there is no socket."""
    ENDED = enum.auto()
    """Released by this side, or given up by the server."""


class ClientMachine:
    """One client of one rendezvous. Sans-I/O.

    Contract: after each call, send what :meth:`frames_to_send` returns, in order, on the
    current socket, and drain :meth:`next_event`. Frames are returned only once, and only
    while a socket is open; what a dropped socket swallowed is made again on the next one.

    Args:
        side: 16 unguessable bytes in base64url: they prove that a repeated request comes
            from the same client.
    """

    def __init__(self, *, side: str) -> None:
        self._side = side
        self._state = State.IDLE
        # The rendezvous: what was asked for, and what the server gave.
        self._request: Allocate | Claim | Meet | None = None
        self._token: str | None = None
        self._peer: PeerState | None = None
        self._relays: tuple[IceServer, ...] = ()
        self._permit: str | None = None
        # Counting: what came in, and what went out.
        self._received = 0
        self._sent = Unacknowledged()
        # This socket.
        self._connected = False
        self._welcomed = False
        self._outgoing: deque[ClientMessage] = deque()
        self._events: deque[MachineEvent] = deque()

    @property
    def state(self) -> State:
        """Where the rendezvous stands."""
        return self._state

    @property
    def peer_left(self) -> bool:
        """True when the other side has ended the rendezvous: nothing more will come."""
        return self._peer == "left"

    @property
    def relays(self) -> tuple[IceServer, ...]:
        """The ICE servers that came with the other side, beside those of the welcome."""
        return self._relays

    @property
    def permit(self) -> str | None:
        """What the server wants to see when this side comes to a meeting; None: nothing."""
        return self._permit

    @property
    def settled(self) -> bool:
        """True when this socket has nothing to wait for: welcomed, and every request answered."""
        return self._welcomed and self._state not in (State.ASKING, State.RESUMING)

    @property
    def has_room(self) -> bool:
        """True when another message of any size can be taken by :meth:`send`."""
        return self._sent.has_room

    def request(self, request: Allocate | Claim | Meet) -> None:
        """Ask for a mailbox; the answer is :class:`Attached` or :class:`Failed`.

        Raises:
            InternalError: Something was asked for already, and not refused.
        """
        if self._state is not State.IDLE:
            raise InternalError("The rendezvous client was asked for a second mailbox.")
        self._request = request
        self._state = State.ASKING
        if self._welcomed:
            self._ask()

    def send(self, body: bytes) -> None:
        """Take a message to the other side; it is sent now, or when the socket is back.

        Raises:
            InternalError: Too long, no room (ask :attr:`has_room` first), nothing was asked
                for, or already over.
        """
        if len(body) > MAX_BODY:
            raise InternalError(f"A rendezvous message has {len(body)} bytes, over {MAX_BODY}.")
        if self._state in (State.IDLE, State.ENDED):
            raise InternalError("A rendezvous message was sent outside a mailbox.")
        if not self.has_room:
            raise InternalError("Too many rendezvous messages at once.")
        message = Message(body)
        self._sent.add(message)
        if self._state is State.ATTACHED:
            self._outgoing.append(message)

    def report(self, route: ReportedRoute) -> None:
        """Tell the server how the two were connected, if it can hear that now; else never."""
        if self._state is State.ATTACHED and self._connected:
            self._outgoing.append(Report(route))

    def release(self) -> bool:
        """End the mailbox for both sides; what was sent before still goes out first.

        Returns:
            Whether the server hears of it on this socket, and then closes the socket.
        """
        # Also behind a request without its answer: the server takes frames in order.
        told = self._welcomed and self._state not in (State.IDLE, State.ENDED)
        if told:
            self._outgoing.append(Release())
        self._state = State.ENDED
        return told

    def connected(self) -> None:
        """Tell that a new socket is open; the server's welcome comes first."""
        self.disconnected()
        self._connected = True

    def disconnected(self) -> None:
        """Tell that the socket is gone; nothing more comes from it."""
        self._connected = False
        self._welcomed = False
        self._outgoing.clear()
        if self._state is State.ATTACHED:
            self._state = State.RESUMING

    def receive_frame_untrusted(self, frame: str | bytes) -> None:
        """Take one frame from the server; bytes stand for a binary frame.

        Raises:
            BadMessage: The server broke the protocol; drop the socket and give up.
        """
        if isinstance(frame, bytes):
            raise BadMessage("a binary frame")
        message = parse_server_message_untrusted(frame)
        if not self._welcomed and not isinstance(message, Welcome | ErrorMessage):
            raise BadMessage("the first frame is no welcome")
        if self._state is State.ENDED:
            return  # frames that crossed our release
        self._dispatch(message)

    def next_event(self) -> MachineEvent | None:
        """Return what happened next, or None."""
        return self._events.popleft() if self._events else None

    def frames_to_send(self) -> list[str]:
        """Return the frames to send now, in order, once."""
        if not self._connected:
            return []
        frames = [serialize(message) for message in self._outgoing]
        self._outgoing.clear()
        return frames

    def _dispatch(self, message: ServerMessage) -> None:
        match message:
            case Welcome():
                self._on_welcome(message)
            case Allocated() | Claimed():
                self._on_granted(message)
            case Resumed():
                self._on_resumed(message)
            case Message():
                self._on_message(message)
            case Peer():
                self._on_peer(message)
            case ErrorMessage():
                self._on_error(message)

    def _on_welcome(self, welcome: Welcome) -> None:
        if self._welcomed:
            raise BadMessage("a second welcome")
        self._welcomed = True
        self._events.append(Welcomed(welcome))
        if welcome.protocol != PROTOCOL:
            return  # whoever drains the events gives up
        if self._state is State.ASKING:
            self._ask()
        elif self._state is State.RESUMING:
            self._outgoing.append(self._resume())

    def _ask(self) -> None:
        """Ask, for the first time or again; the side makes the second one harmless."""
        match self._request:
            case Allocate(nameplate=nameplate, auth=auth):
                self._outgoing.append(Allocate(nameplate=nameplate, side=self._side, auth=auth))
            case Claim(nameplate=claimed):
                self._outgoing.append(Claim(nameplate=claimed, side=self._side))
            case Meet(mailbox=mailbox, permit=permit, auth=auth):
                meet = Meet(mailbox=mailbox, side=self._side, permit=permit, auth=auth)
                self._outgoing.append(meet)
            case None:
                raise AssertionError("asking without a request")

    def _resume(self) -> Resume:
        assert self._token is not None, "a state with a token"
        mailbox = self._request.mailbox if isinstance(self._request, Meet) else None
        return Resume(
            token=self._token, nameplate=self._nameplate(), mailbox=mailbox, received=self._received
        )

    def _nameplate(self) -> str | None:
        return self._request.nameplate if isinstance(self._request, Allocate | Claim) else None

    def _on_granted(self, answer: Allocated | Claimed) -> None:
        asked = isinstance(self._request, Allocate)
        if self._state is not State.ASKING or isinstance(answer, Allocated) != asked:
            raise BadMessage("an answer to no request")
        if isinstance(answer, Allocated):
            assert isinstance(self._request, Allocate), "checked above"
            if self._request.nameplate not in (None, answer.nameplate):
                raise BadMessage("another nameplate than the one asked for")
            self._request = Allocate(nameplate=answer.nameplate, auth=self._request.auth)
        self._token = answer.token
        self._attach(answer.received)

    def _on_resumed(self, answer: Resumed) -> None:
        if self._state is not State.RESUMING:
            raise BadMessage("an answer to no request")
        self._attach(answer.received)

    def _attach(self, received: int) -> None:
        """Forget what the server has, send the rest again.

        At a nameplate of its own nothing is forgotten before the other side has come: a server that
        has been restarted gets all of it again.
        """
        missing = self._sent.missing_untrusted(received)
        if self._peer is not None or not isinstance(self._request, Allocate):
            self._sent.forget(received)
        self._state = State.ATTACHED
        self._outgoing.extend(missing)
        self._events.append(Attached(self._nameplate()))

    def _on_message(self, message: Message) -> None:
        if self._state is not State.ATTACHED:
            raise BadMessage("a message outside a mailbox")
        self._received += 1
        self._events.append(MessageReceived(message.body))

    def _on_peer(self, peer: Peer) -> None:
        """Turn snapshots (each new socket gets one) into changes."""
        if self._state is not State.ATTACHED:
            raise BadMessage("presence outside a mailbox")
        self._relays = peer.ice_servers or self._relays
        self._permit = peer.permit or self._permit
        before, now = self._peer, peer.state
        here = {"joined", "back"}
        if before in ("left", now) or (before in here and now in here):
            return
        if before is None and now in ("away", "back"):
            self._events.append(PeerPresence("joined"))
        if before == "away" and now == "joined":
            now = "back"
        if not (before is None and now == "back"):
            self._events.append(PeerPresence(now))
        self._peer = now

    def _on_error(self, error: ErrorMessage) -> None:
        """End what it refuses: a request can be made again, a mailbox is over."""
        if not self._welcomed:
            self._events.append(TurnedAway(error))
            return
        if error.code == "expired" and self._can_begin_again():
            self._state = State.ASKING
            self._ask()
            return
        if self._token is not None and error.retry_after is not None:
            # It was granted before: what stands in the way now will pass.
            self._events.append(TurnedAway(error))
            return
        attached = self._token is not None
        self._state = State.ENDED if attached else State.IDLE
        if not attached:
            self._request = None
            self._sent.clear()
        self._events.append(Failed(error, attached=attached))

    def _can_begin_again(self) -> bool:
        """Return whether a new mailbox with the same nameplate would be as good as the old one."""
        unused = self._peer is None and self._received == self._sent.first == 0
        return unused and self._state is State.RESUMING and isinstance(self._request, Allocate)
