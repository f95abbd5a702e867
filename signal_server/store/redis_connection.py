"""One connection to Redis, on which a call need not wait for the answers to those before it.

What it does: sends what is called for in one turn of the event loop in one write, gives each
answer to who waits for it, in order, and what was published to whoever listens.
What it does not: connect again (:mod:`signal_server.store.redis_shared`), or know any command
but those that open a connection.

The package redis understands the address, and hiredis the answers. Its own asyncio connections
carry one call at a time, each with two timers and several coroutines: ten times the CPU time of
what is here, and nearly all that a pairing took.

Shell. Source: Redis, "RESP protocol specification" (RESP2), "Redis pipelining", "Pub/Sub".
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import hiredis
from redis.asyncio.connection import ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import InvalidResponse, RedisError, ResponseError

CALL_TIMEOUT = 2.0  # seconds without a byte while somebody waits for an answer
CONNECT_TIMEOUT = 2.0  # seconds
WRITE_HIGH = 2**20  # bytes that Redis has not taken yet; then calls wait before they are sent

_OTHER_SERVER: Final = ("NOSCRIPT", "READONLY", "LOADING", "MASTERDOWN")
"""What is answered by a Redis that has started anew, or is a replica by now: a new connection
asks the address again, and brings the scripts along."""

_MORE: Final = object()

Word = str | bytes | int
Words = tuple[Word, ...]


class RedisAddress:
    """Where a Redis is, and what it wants to hear first.

    Args:
        address: ``redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]``, ``rediss://…`` for TLS, or
            ``unix:///PATH``; with the query options of the package redis for TLS.

    Raises:
        ValueError: It cannot be understood (on construction).
    """

    def __init__(self, address: str) -> None:
        try:
            pool: Any = ConnectionPool.from_url(address)  # its connections carry no types
            self._made = pool.make_connection()
        except (TypeError, RedisError) as exc:  # an option that no connection has
            raise ValueError(str(exc)) from exc

    async def connect(
        self, *, scripts: Sequence[str] = (), on_message: Callable[[bytes], None] | None = None
    ) -> "RedisConnection":
        """Return a connection that has been let in, and has brought ``scripts`` along.

        Args:
            scripts: To be called by :func:`sha_of`.
            on_message: Takes the data of what is published; must not block.

        Raises:
            RedisError: Redis refuses.
            OSError: It cannot be reached.
            TimeoutError: It does not answer.
        """
        opening: list[Words] = [("SCRIPT", "LOAD", script) for script in scripts]
        if self._made.db:
            opening.insert(0, ("SELECT", self._made.db))
        if self._made.password:
            user = (self._made.username,) if self._made.username else ()
            opening.insert(0, ("AUTH", *user, self._made.password))
        async with asyncio.timeout(CONNECT_TIMEOUT):
            connection = await self._open(on_message)
            try:
                await asyncio.gather(*(connection.call(*words) for words in opening))
            except BaseException:
                await connection.aclose()
                raise
        return connection

    async def _open(self, on_message: Callable[[bytes], None] | None) -> "RedisConnection":
        loop = asyncio.get_running_loop()
        made = self._made
        if isinstance(made, UnixDomainSocketConnection):
            _, connection = await loop.create_unix_connection(
                lambda: RedisConnection(on_message), made.path
            )
            return connection
        context = made.ssl_context.get() if isinstance(made, SSLConnection) else None
        _, connection = await loop.create_connection(
            lambda: RedisConnection(on_message), made.host, int(made.port), ssl=context
        )
        return connection


class RedisConnection(asyncio.Protocol):
    """A connection, for as long as it lasts.

    Args:
        on_message: As for :meth:`RedisAddress.connect`.

    Attributes:
        lost: Done when it is closed, for whatever reason.
    """

    def __init__(self, on_message: Callable[[bytes], None] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._transport: asyncio.Transport
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=ResponseError, notEnoughData=_MORE
        )
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self._failure: Exception | None = None
        # What is called for in this turn; who waits for an answer, and since when.
        self._outgoing: list[bytes] = []
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._writable: asyncio.Future[None] | None = None  # while too much is to be written
        # Whether Redis is there.
        self._heard_at = 0.0
        self._watch: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls may be answered."""
        return self._failure is None

    async def call(self, *words: Word) -> Any:
        """Return the answer to a command.

        Raises:
            RedisError: Redis refuses, or the connection is lost; the command may have been
                carried out.
            TimeoutError: Redis does not answer; likewise.
        """
        while self._writable is not None and self._failure is None:
            await asyncio.shield(self._writable)
        if self._failure is not None:
            raise _again(self._failure)
        answer = self._loop.create_future()
        now = self._loop.time()
        self._waiting.append((answer, now))
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(hiredis.pack_command(cast("Any", words)))  # typed for one word
        if self._watch is None:
            self._watch = self._loop.call_at(now + CALL_TIMEOUT, self._look)
        return await answer

    async def aclose(self) -> None:
        """Close it at once; who waits for an answer is told that it is lost."""
        self._fail(LostConnection("closed"))
        await asyncio.shield(self.lost)

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of other classes
        self._transport.set_write_buffer_limits(WRITE_HIGH)

    def data_received(self, data: bytes) -> None:
        """Give out the answers that are complete."""
        self._heard_at = self._loop.time()
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _MORE:
                self._take(answer)
        except InvalidResponse as exc:
            self._fail(exc)

    def pause_writing(self) -> None:
        """Have calls wait."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let calls go on."""
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits."""
        self._failure = self._failure or LostConnection(str(exc or "Redis has closed it"))
        if self._watch is not None:
            self._watch.cancel()
        self.resume_writing()
        for answer, _ in self._waiting:
            if not answer.done():
                answer.set_exception(_again(self._failure))
        self._waiting.clear()
        self._outgoing.clear()
        self.lost.set_result(None)

    def _flush(self) -> None:
        if self._failure is None:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def _take(self, answer: Any) -> None:
        if self._on_message is not None and isinstance(answer, list) and answer[0] == b"message":
            self._on_message(answer[2])
            return
        if not self._waiting:
            raise InvalidResponse("an answer that nobody waits for")
        waiting, _ = self._waiting.popleft()
        if not isinstance(answer, ResponseError):
            if not waiting.done():
                waiting.set_result(answer)
            return
        if not waiting.done():
            waiting.set_exception(answer)
        if str(answer).startswith(_OTHER_SERVER):
            self._fail(LostConnection(str(answer)))

    def _look(self) -> None:
        """Give up a Redis that does not answer."""
        self._watch = None
        if not self._waiting:
            return
        due = max(self._waiting[0][1], self._heard_at) + CALL_TIMEOUT
        if due <= self._loop.time():
            self._fail(TimeoutError("Redis does not answer"))
        else:
            self._watch = self._loop.call_at(due, self._look)

    def _fail(self, failure: Exception) -> None:
        self._failure = self._failure or failure
        self._transport.abort()


def sha_of(script: str) -> str:
    """Return what EVALSHA calls a script."""
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


def _again(failure: Exception) -> Exception:
    """Return an exception of its own for each who is told."""
    return type(failure)(*failure.args)
