"""A STUN request that is sent until it is answered, faster than aioice sends it.

A shell: one timer over a protocol of aioice's, which hands the response in. aioice waits half a
second before it sends a request again. The paths of ICE are shorter than that, and what is lost
by a NAT that was not open yet is worth sending again at once (:meth:`Transaction.nudge`): RFC 8445
§14.3 has its 500 ms for media streams by the dozen, here a handful of pairs is checked.

Source: RFC 8489 §6.2.1.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from aioice import stun
from aioice.ice import StunProtocol

CHECK_WAITS: Final = (0.15, 0.3, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8)
"""Seconds after each sending of a connectivity check: 5 s in all."""
QUERY_WAITS: Final = (0.15, 0.3, 0.6, 1.2, 1.5)
"""Of a question to a STUN server: 3.8 s in all."""
CONSENT_WAITS: Final = (0.5, 1.0, 2.0, 4.0)
"""Of a consent check: 7.5 s in all; a full queue or a satellite is no death."""

Address = tuple[str, int]


class Answer(NamedTuple):
    """What came back."""

    message: stun.Message
    address: Address
    """Where it came from."""
    rtt: float | None
    """Seconds; None where the request was sent more than once, so that nobody knows."""


class Transaction:
    """One request over one protocol.

    Args:
        protocol: Sends it, and takes the response.
        request: Without credentials.
        address: Where to.
        key: Of the credentials; None: there are none.
        waits: Seconds to wait after each sending.
    """

    def __init__(
        self,
        protocol: StunProtocol,
        request: stun.Message,
        address: Address,
        *,
        key: bytes | None = None,
        waits: Sequence[float] = CHECK_WAITS,
    ) -> None:
        self._protocol, self._request, self._address = protocol, request, address
        self._key = key
        self._waits = list(waits)
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Answer] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._sent = 0
        self._sent_at = 0.0

    async def run(self) -> Answer:
        """Send it, and return the answer.

        Raises:
            aioice.stun.TransactionFailed: It is an error.
            aioice.stun.TransactionTimeout: There was none.
        """
        if self._key is not None:
            self._request.add_message_integrity(self._key)
        transactions: dict[bytes, Any] = self._protocol.transactions
        transactions[self._request.transaction_id] = self
        try:
            self._send_again()
            return await self._answer
        finally:
            del transactions[self._request.transaction_id]
            if self._timer is not None:
                self._timer.cancel()

    def nudge(self) -> None:
        """Send it now: the other side has just shown that the way is open."""
        if not self._answer.done():
            self._send()

    def response_received(self, message: stun.Message, address: Address) -> None:
        """Take a response; aioice's protocol calls this. A forged one changes nothing."""
        if self._answer.done():
            return
        if self._key is not None and not message.check_message_integrity(self._key):
            return
        if message.message_class != stun.Class.RESPONSE:
            self._answer.set_exception(stun.TransactionFailed(message))
            return
        rtt = self._loop.time() - self._sent_at if self._sent == 1 else None
        self._answer.set_result(Answer(message, address, rtt))

    def _send_again(self) -> None:
        if self._answer.done():
            return
        if not self._waits:
            self._answer.set_exception(stun.TransactionTimeout())
            return
        self._timer = self._loop.call_later(self._waits.pop(0), self._send_again)
        self._send()

    def _send(self) -> None:
        self._sent += 1
        self._sent_at = self._loop.time()
        self._protocol.send_stun(self._request, self._address)
