"""A rendezvous server that speaks protocol version 1 as it pleases.

A real WebSocket server for one pair of sides. An :class:`Attack` decides what becomes of each
body, :class:`Frames` are sent as they are, at a chosen moment. Otherwise it behaves like the
honest server, as far as one honest transfer needs that.

It knows what any server can: who sent a body, its number and its size. From these it tells
the kinds of bodies apart (:func:`kind_of`).
"""

import asyncio
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from rtcsend.pairing.envelope import Sealer
from rtcsend.pairing.keys import Role
from rtcsend.pairing.machine import PairingMachine
from rtcsend.rendezvous.frames import serialize
from rtcsend.rendezvous.messages import Message, Peer, Welcome
from rtcsend.rendezvous.wire import decode_base64url_untrusted

NAMEPLATE: Final = "7"

Kind = Literal["SPAKE2 message", "confirmation", "hello", "description", "candidate", "end"]
KINDS: Final[tuple[Kind, ...]] = (
    "SPAKE2 message",
    "confirmation",
    "hello",
    "description",
    "candidate",
    "end",
)
_END_SIZE: Final = len('{"type":"end-of-candidates"}') + 9 + 16  # with header and tag of a box

Moment = Literal["welcome", "granted", "joined"]
Deliveries = list[tuple[Role, bytes]]
"""Who gets what."""


def kind_of(number: int, body: bytes) -> Kind:
    """Return what the ``number``-th body of a side is, by its size as far as need be."""
    if number < 4:
        return KINDS[number]
    return "end" if len(body) == _END_SIZE else "candidate"


class Attack:
    """Passes everything on; a subclass does worse.

    Attributes:
        hits: How often it did something.
    """

    def __init__(self) -> None:
        self.hits = 0

    def on_body(self, origin: Role, number: int, body: bytes) -> Deliveries:
        """Return what to deliver when ``origin`` has sent its ``number``-th body."""
        return [(origin.peer, body)]


class OnOneBody(Attack):
    """Does something about the first body of one kind, from one side."""

    def __init__(self, origin: Role, kind: Kind) -> None:
        super().__init__()
        self.origin = origin
        self.kind = kind

    def on_body(self, origin: Role, number: int, body: bytes) -> Deliveries:
        wanted = origin is self.origin and kind_of(number, body) == self.kind
        if self.hits or not wanted:
            return super().on_body(origin, number, body)
        self.hits += 1
        return self.strike(body)

    def strike(self, body: bytes) -> Deliveries:
        """Return what to deliver instead."""
        raise NotImplementedError


class Flip(OnOneBody):
    """Flips one bit.

    Args:
        origin: Whose body.
        kind: Which one.
        position: Of the byte, as a part of the whole: 0.0 is the first one, 1.0 the last.
        bit: 0 to 7.
    """

    def __init__(self, origin: Role, kind: Kind, *, position: float, bit: int) -> None:
        super().__init__(origin, kind)
        self.position = position
        self.bit = bit

    def strike(self, body: bytes) -> Deliveries:
        changed = bytearray(body)
        changed[round(self.position * (len(body) - 1))] ^= 1 << self.bit
        return [(self.origin.peer, bytes(changed))]


class Replay(OnOneBody):
    """Delivers a body twice."""

    def strike(self, body: bytes) -> Deliveries:
        return [(self.origin.peer, body)] * 2


class Drop(OnOneBody):
    """Loses a body."""

    def strike(self, body: bytes) -> Deliveries:
        return []


class Reflect(OnOneBody):
    """Gives a body back to the side that sent it, instead of to the other."""

    def strike(self, body: bytes) -> Deliveries:
        return [(self.origin, body)]


class Forge(OnOneBody):
    """Replaces a box by another one with the same number, sealed with a key of its own."""

    def __init__(self, origin: Role, kind: Kind, *, plaintext: bytes) -> None:
        super().__init__(origin, kind)
        self.plaintext = plaintext

    def strike(self, body: bytes) -> Deliveries:
        sealer = Sealer(secrets.token_bytes(32))
        for _ in range(KINDS.index(self.kind) - KINDS.index("hello")):
            sealer.seal(b"")
        return [(self.origin.peer, sealer.seal(self.plaintext))]


class Reorder(OnOneBody):
    """Holds a body back until the next one of the same side has been delivered."""

    def __init__(self, origin: Role, kind: Kind) -> None:
        super().__init__(origin, kind)
        self._held: bytes | None = None

    def on_body(self, origin: Role, number: int, body: bytes) -> Deliveries:
        deliveries = super().on_body(origin, number, body)
        if deliveries and origin is self.origin and self._held is not None:
            deliveries.append((origin.peer, self._held))
            self._held = None
        return deliveries

    def strike(self, body: bytes) -> Deliveries:
        self._held = body
        return []


class SwapDescriptions(Attack):
    """Gives the sealed answer to the receiver and the sealed offer to the sender.

    The receiver needs the offer before it answers, so it has that first.
    """

    def __init__(self) -> None:
        super().__init__()
        self._offer = b""

    def on_body(self, origin: Role, number: int, body: bytes) -> Deliveries:
        if kind_of(number, body) == "description":
            self.hits += 1
            if origin is Role.SENDER:
                self._offer = body
            else:
                return [(Role.SENDER, self._offer), (Role.RECEIVER, body)]
        return super().on_body(origin, number, body)


class OwnPairing(Attack):
    """Pairs with both sides by itself, with words that it guessed.

    Args:
        password: What it tries instead of the words.
        confirm: Answers with its own confirmation; else it repeats the one that it was sent.
    """

    def __init__(self, password: bytes, *, confirm: bool) -> None:
        super().__init__()
        self._confirm = confirm
        self._machines = {
            role: PairingMachine(
                role.peer, nameplate=NAMEPLATE, password=password, entropy=secrets.token_bytes
            )
            for role in Role
        }
        self._first_bodies = {role: machine.start() for role, machine in self._machines.items()}
        self._waiting: list[tuple[Role, bytes]] = []

    def on_body(self, origin: Role, number: int, body: bytes) -> Deliveries:
        self.hits += 1
        if number == 0:
            confirmation = self._machines[origin].receive_body_untrusted(body)
            assert confirmation is not None, "the answer to a first body"
            self._waiting.append((origin, self._first_bodies[origin]))
            if self._confirm:
                self._waiting.append((origin, confirmation))
            # Both at once: else the one that is refused has left before the other is.
            return self._waiting if {role for role, _ in self._waiting} == set(Role) else []
        return [] if self._confirm else [(origin, body)]


@dataclass(frozen=True)
class Frames:
    """Frames that are sent as they are, instead of or after what belongs there.

    Attributes:
        at: ``welcome``: instead of the welcome; ``granted``: after the answer to a request;
            ``joined``: when both sides are there.
        frames: Text, or bytes for binary ones.
        to: One side only; None: both, as far as they are known.
    """

    at: Moment
    frames: Sequence[str | bytes]
    to: Role | None = None


@dataclass
class _Place:
    """One side at the nameplate."""

    socket: ServerConnection
    bodies: int = 0
    released: bool = False


@dataclass
class HostileRendezvous:
    """The server, running while it is entered.

    Attributes:
        attack: What it does to bodies.
        frames: What else it sends.
        ice_servers: Of its welcome, as JSON.
        seen: The kinds of bodies that came, by side.
        struck: Set when both sides are there, and bodies were attacked or other frames sent.
    """

    attack: Attack = field(default_factory=Attack)
    frames: Sequence[Frames] = ()
    ice_servers: Sequence[Any] = ()
    seen: dict[Role, list[Kind]] = field(default_factory=lambda: {role: [] for role in Role})
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    _came: set[Role] = field(default_factory=set)
    _places: dict[Role, _Place] = field(default_factory=dict)
    _waiting: dict[Role, list[bytes]] = field(default_factory=lambda: {role: [] for role in Role})
    """Bodies for a side that has not come yet: the sender speaks before anybody is there."""
    _sender_there: asyncio.Event = field(default_factory=asyncio.Event)
    _server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(self._handle, "127.0.0.1", 0, compression=None, max_size=None)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None, "it was entered"
        self._server.close()
        await self._server.wait_closed()

    @property
    def said(self) -> int:
        """How many bodies have come."""
        return sum(map(len, self.seen.values()))

    @property
    def url(self) -> str:
        """What clients take as ``--server``."""
        assert self._server is not None, "it was entered"
        port: int = next(iter(self._server.sockets)).getsockname()[1]
        return f"ws://127.0.0.1:{port}/v1"

    async def _handle(self, socket: ServerConnection) -> None:
        try:
            await self._serve(socket)
        except ConnectionClosed:
            pass  # the side has had enough
        finally:
            for role, place in self._places.items():
                if place.socket is socket and not place.released:
                    await self._release(role)

    async def _serve(self, socket: ServerConnection) -> None:
        welcome = json.loads(serialize(Welcome(server="hostile")))
        welcome["ice_servers"] = list(self.ice_servers)
        if not await self._send_frames("welcome", None, socket):
            await socket.send(json.dumps(welcome))
        async for raw in socket:
            message = json.loads(raw)
            match message["type"]:
                case "allocate":
                    await self._grant(Role.SENDER, socket, "allocated")
                case "claim":
                    await self._grant(Role.RECEIVER, socket, "claimed")
                case "message":
                    await self._pass_on(socket, decode_base64url_untrusted(message["body"]))
                case "release":
                    return
                case _:
                    pass

    async def _grant(self, role: Role, socket: ServerConnection, answer: str) -> None:
        granted = {"type": answer, "nameplate": NAMEPLATE, "token": secrets.token_urlsafe(16)}
        await socket.send(json.dumps(granted))
        self._came.add(role)
        try:
            await self._send_frames("granted", role, socket)
        finally:  # it may have had enough, and then the other one waits for it no longer
            if role is Role.SENDER:
                self._sender_there.set()
        await self._sender_there.wait()
        self._note_blow()
        self._places[role] = _Place(socket)
        for body in self._waiting[role]:
            await _quietly(socket, serialize(Message(body)))
        if len(self._places) == len(Role):
            for each, place in self._places.items():
                await _quietly(place.socket, serialize(Peer("joined")))
                await self._send_frames("joined", each, place.socket)

    async def _pass_on(self, socket: ServerConnection, body: bytes) -> None:
        origin = next(role for role, place in self._places.items() if place.socket is socket)
        place = self._places[origin]
        number, place.bodies = place.bodies, place.bodies + 1
        self.seen[origin].append(kind_of(number, body))
        deliveries = self.attack.on_body(origin, number, body)
        self._note_blow()
        for role, delivered in deliveries:
            if role in self._places:
                await _quietly(self._places[role].socket, serialize(Message(delivered)))
            else:
                self._waiting[role].append(delivered)

    def _note_blow(self) -> None:
        if self._came == set(Role) and (self.attack.hits or self.frames):
            self.struck.set()

    async def _release(self, role: Role) -> None:
        self._places[role].released = True
        other = self._places.get(role.peer)
        if other is not None:
            await _quietly(other.socket, serialize(Peer("left")))
            await other.socket.close()

    async def _send_frames(self, at: Moment, role: Role | None, socket: ServerConnection) -> bool:
        """Send the frames of a moment; return whether there were any."""
        chosen = [
            frames
            for frames in self.frames
            if frames.at == at and (frames.to in (None, role) or role is None)
        ]
        for frames in chosen:
            for frame in frames.frames:
                await socket.send(frame)
                await asyncio.sleep(0)  # the sides run in this process: they must have a turn
        return bool(chosen)


async def _quietly(socket: ServerConnection, frame: str) -> None:
    try:
        await socket.send(frame)
    except ConnectionClosed:
        return  # this side has gone, and its own handler tells the other
