"""aioice's TURN clients, with allocations and channels that outlive their lifetimes.

aioice refreshes an allocation once, five sixths into its life, and gives it up when that question
is lost. It binds a channel anew only when a packet is to be sent 500 s after the last time, by the
wall clock, and once for each such packet; but the permission beneath it ends after 300 s
(RFC 8656 §9.1), and the data path frames its packets itself. Here a task renews each of them
in time, and again where the answer was lost.

A credential may end before the session does. coturn takes the one of the allocation for as long
as that lives; where a server does not, the allocation ends, and the reconnection gets new
credentials from the rendezvous.

A shell. Place in the flow: made where an allocation is made. Sources: RFC 8656 §3.2, §8, §12.
"""

import asyncio
import logging
import ssl
import struct
from typing import TYPE_CHECKING, Any, Final

from aioice import stun
from aioice.turn import (
    DEFAULT_ALLOCATION_LIFETIME,
    TurnClientTcpProtocol,
    TurnClientUdpProtocol,
)

from rtcsend.peer.candidate import can_be_offered_untrusted
from rtcsend.proxy.settings import ProxyFailed
from rtcsend.tasks import cancel_all
from rtcsend.trace import Step, note

if TYPE_CHECKING:
    from aioice.turn import TurnClientMixin as _Base
else:
    _Base = object

Address = tuple[str, int]

REFRESH_AHEAD: Final = 120  # seconds before an allocation ends; a lost question takes 64
PERMISSION_LIFETIME: Final = 300  # seconds; RFC 8656 §9.1: no server says how long it is
CHANNEL_REFRESH = 200.0  # seconds; two further attempts fit before the permission ends
RETRY_PAUSE: Final = 1.0  # seconds after a question that was not answered
_STALE_NONCE: Final = 438  # RFC 8489 §14.8
_NEVER: Final = 10**12  # seconds until aioice would bind a channel anew

logger = logging.getLogger("rtcsend.peer")


def refresh_delay(lifetime: float) -> float:
    """Return how many seconds after it was granted a lifetime is to be renewed."""
    return max(lifetime / 2, lifetime - REFRESH_AHEAD)


class _Kept(_Base):
    """What both clients have in common.

    Args:
        server: Its address.
        username: Of the credential.
        password: Of the credential.
    """

    def __init__(self, server: Address, *, username: str, password: str) -> None:
        super().__init__(
            server,
            username=username,
            password=password,
            lifetime=DEFAULT_ALLOCATION_LIFETIME,
            channel_refresh_time=_NEVER,
        )
        self._keepers: dict[int, asyncio.Task[None]] = {}

    async def connect(self) -> Address:
        """Get an allocation; return the relayed address.

        Raises:
            ConnectionError: The answer makes no sense.
            aioice.stun.TransactionError: The server gives none.
        """
        relayed = await super().connect()
        if not can_be_offered_untrusted(relayed):
            raise ConnectionError("what is granted cannot be an address")
        return relayed

    async def channel_bind(self, channel_number: int, addr: Address) -> None:
        """Bind a channel, and keep it.

        Raises:
            aioice.stun.TransactionError: The server does not.
        """
        await super().channel_bind(channel_number, addr)
        if channel_number not in self._keepers:
            keeper = asyncio.create_task(self._keep_channel(channel_number, addr))
            self._keepers[channel_number] = keeper

    async def refresh(self, time_to_expiry: float) -> None:
        """Keep the allocation, until the server refuses; then close the connection to it."""
        loop = asyncio.get_running_loop()
        lifetime = time_to_expiry
        while True:
            granted = loop.time()
            await asyncio.sleep(refresh_delay(lifetime))
            try:
                lifetime = await self._refresh_before(granted + lifetime)
            except (ConnectionError, stun.TransactionError) as exc:
                logger.info("x the relay does not go on: %s", result_of(exc))
                note(Step.RELAY_REFRESH, kind="allocation", result=result_of(exc))
                self.transport.close()
                return
            note(Step.RELAY_REFRESH, kind="allocation", result="ok")

    async def delete(self) -> None:
        """Give the allocation back."""
        await cancel_all(list(self._keepers.values()))
        await super().delete()

    def datagram_received(self, data: bytes | str, addr: Address) -> None:
        """Take a message; one that cannot be read is passed over (RFC 8489 §6.3)."""
        try:
            super().datagram_received(data, addr)
        except struct.error:
            logger.debug("! a message that cannot be read")

    def connection_lost(self, exc: Exception | None) -> None:
        """Keep nothing any more."""
        for task in (*self._keepers.values(), self.refresh_task):
            if task is not None:
                task.cancel()
        super().connection_lost(exc)

    async def _refresh_before(self, end: float) -> float:
        """Refresh the allocation, more than once if need be; return its new lifetime.

        Raises:
            ConnectionError: The answer makes no sense.
            aioice.stun.TransactionError: It is refused, or there was none in time.
        """
        loop = asyncio.get_running_loop()
        while True:
            request = stun.Message(
                message_method=stun.Method.REFRESH, message_class=stun.Class.REQUEST
            )
            request.attributes["LIFETIME"] = self.lifetime
            try:
                response, _ = await self.request_with_retry(request)
            except stun.TransactionError as exc:
                if loop.time() >= end or not _is_passing(exc):
                    raise
                await asyncio.sleep(RETRY_PAUSE)
                continue
            lifetime: Any = response.attributes.get("LIFETIME")
            if not lifetime:
                raise ConnectionError("no LIFETIME")
            return float(lifetime)

    async def _keep_channel(self, number: int, addr: Address) -> None:
        delay = CHANNEL_REFRESH
        while True:
            await asyncio.sleep(delay)
            try:
                await super().channel_bind(number, addr)
            except stun.TransactionError as exc:
                if _is_passing(exc):
                    delay = RETRY_PAUSE
                    continue
                logger.info("x a channel of the relay does not go on: %s", result_of(exc))
                note(Step.RELAY_REFRESH, kind="channel", result=result_of(exc))
                del self._keepers[number]
                self._forget(number, addr)
                return
            note(Step.RELAY_REFRESH, kind="channel", result="ok")
            delay = CHANNEL_REFRESH

    def _forget(self, number: int, addr: Address) -> None:
        """Have the next packet bind the channel again; RFC 8656 §12: with the same number."""
        self.peer_to_channel.pop(addr, None)
        self.peer_to_failed_channel[addr] = number


class TurnUdpClient(_Kept, TurnClientUdpProtocol):
    """Speaks to a server by UDP."""


class TurnTcpClient(_Kept, TurnClientTcpProtocol):
    """Speaks to a server by TCP, or by TLS over it."""

    def _send(self, data: bytes) -> None:
        """Send, unless the connection is gone: asyncio would complain of each packet."""
        if not self.transport.is_closing():
            super()._send(data)


def _is_passing(exc: stun.TransactionError) -> bool:
    """Return whether the same question may be answered when it is asked again."""
    if isinstance(exc, stun.TransactionFailed):
        return exc.response.error_code == _STALE_NONCE  # for the second time
    return True


def result_of(exc: BaseException) -> str:
    """Return why a server gave nothing, in a word: ``error-401``, ``timeout``; no address in it."""
    match exc:
        case stun.TransactionFailed(response=response):
            code = response.attributes.get("ERROR-CODE", (0, ""))[0]
            return f"error-{code}"
        case stun.TransactionTimeout() | TimeoutError():
            return "timeout"
        case ProxyFailed(slug=slug):
            return slug
        case ssl.SSLCertVerificationError():
            return "certificate"
        case ConnectionRefusedError():
            return "refused"
        case ConnectionError():
            return "closed"
        case asyncio.CancelledError():
            return "abandoned"
        case _:
            return type(exc).__name__
