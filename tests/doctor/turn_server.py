"""A TURN server as a function: long-term credentials, allocations, channels. Virtual time.

What it does wrong is what a test puts into ``errors`` and ``forge``.
"""

from collections.abc import Callable
from typing import Any

from aioice import stun, turn

from rtcsend.datapath.turn_frames import channel_data, maybe_channel_data_untrusted

USER, PASSWORD, REALM = "ada", "secret", "test"
HOST = "203.0.113.10"
Forge = Callable[[stun.Message], stun.Message | None]


class TurnServer:
    """One allocation for each place.

    Attributes:
        errors: Codes with which the next requests are refused, once their credential holds.
        forge: May change or drop an answer before it is signed.
        sign: Whether answers are signed, and so with which password.
        nonces: How many times the nonce is stale.
    """

    def __init__(self, *, password: str = PASSWORD, stale: int = 0) -> None:
        self.errors: list[int] = []
        self.forge: Forge = lambda message: message
        self.sign: str | None = PASSWORD
        self.stale = stale
        self.allocations: dict[int, tuple[str, int]] = {}
        self._password = password
        self._channels: dict[int, tuple[str, int]] = {}
        self._nonce = 0

    def receive(self, place: int, data: bytes) -> list[tuple[int, bytes]]:
        """Take a message of a client's socket; return what goes to which socket."""
        framed = maybe_channel_data_untrusted(data)
        if framed is not None:
            return self._relay(place, *framed)
        request = stun.parse_message(data)
        answer = self.forge(self._answer(place, request))
        if answer is None:
            return []
        signed = answer.error_code not in (401, 438)
        if signed and self.sign is not None:
            answer.add_message_integrity(turn.make_integrity_key(USER, REALM, self.sign))
        return [(place, bytes(answer))]

    def _relay(self, place: int, channel: int, payload: bytes) -> list[tuple[int, bytes]]:
        peer = self._channels.get(place)
        to = next((p for p, address in self.allocations.items() if address == peer), None)
        if to is None or self._channels.get(to) != self.allocations.get(place):
            return []  # nobody there, or no permission
        return [(to, channel_data(payload, len(payload), channel, padded=False))]

    def _answer(self, place: int, request: stun.Message) -> stun.Message:
        refusal = self._refusal(request)
        if refusal is not None:
            return self._error(request, refusal)
        method = request.message_method
        attributes: dict[str, Any] = {}
        if method == stun.Method.ALLOCATE:
            self.allocations[place] = HOST, 50_000 + place
            attributes = {
                "XOR-RELAYED-ADDRESS": self.allocations[place],
                "XOR-MAPPED-ADDRESS": ("198.51.100.7", 4_000 + place),
                "LIFETIME": 600,
            }
        elif method == stun.Method.CHANNEL_BIND:
            self._channels[place] = request.attributes["XOR-PEER-ADDRESS"]
        elif request.attributes["LIFETIME"] == 0:
            self.allocations.pop(place, None)
            attributes = {"LIFETIME": 0}
        else:
            attributes = {"LIFETIME": 600}
        return stun.Message(method, stun.Class.RESPONSE, request.transaction_id, attributes)

    def _refusal(self, request: stun.Message) -> int | None:
        if request.attributes.get("NONCE") is None:
            return 401
        if not request.check_message_integrity(
            turn.make_integrity_key(USER, REALM, self._password)
        ):
            return 401
        if self.stale:
            self.stale -= 1
            self._nonce += 1
        if request.attributes["NONCE"] != self._nonce_now():
            return 438
        return self.errors.pop(0) if self.errors else None

    def _error(self, request: stun.Message, code: int) -> stun.Message:
        attributes: dict[str, Any] = {"ERROR-CODE": (code, "no")}
        if code in (401, 438):
            attributes |= {"REALM": REALM, "NONCE": self._nonce_now()}
        return stun.Message(
            request.message_method, stun.Class.ERROR, request.transaction_id, attributes
        )

    def _nonce_now(self) -> bytes:
        return f"nonce{self._nonce}".encode()
