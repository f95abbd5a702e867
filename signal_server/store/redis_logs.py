"""The logs of rooms in Redis: each is a stream, with the marks of who is known beside it.

A log and its marks change in one script, and end together.

Place in the flow: between :mod:`signal_server.store.redis_store` and
:mod:`signal_server.store.redis_link`. Source: Redis streams.
"""

from typing import Any, NamedTuple

from signal_server.commands import Request
from signal_server.decisions import is_final
from signal_server.mailbox import Room
from signal_server.storage import Name
from signal_server.store import redis_scripts as scripts
from signal_server.store.entries import Entry, encode_entry, parse_entry_untrusted
from signal_server.store.marks import is_among_untrusted, mark_of, marks_after
from signal_server.store.redis_link import RedisLink
from signal_server.store.replica import EntryId, parse_id_untrusted

TOUCH_BATCH = 200  # logs kept alive with one round trip


class Missed(NamedTuple):
    """What a process did not know of a log."""

    first: EntryId
    """The first entry of the whole log, or none."""
    entries: list[tuple[EntryId, Entry]]


class RedisLogs:
    """Calls about logs, by their keys (:func:`signal_server.store.redis_scripts.log_key`).

    All of them raise :data:`signal_server.store.redis_link.FAILURES` when Redis does not answer,
    and those that answer entries :class:`signal_server.store.entries.BadEntry` for what is none.

    Args:
        link: To Redis.
        keep_ms: How long a log outlives the last word that it is needed, in milliseconds.
    """

    def __init__(self, link: RedisLink, *, keep_ms: int) -> None:
        self._link = link
        self._keep_ms = keep_ms

    async def append(
        self, key: str, entry: Entry, *, room: Room, last: EntryId, milliseconds: int | None
    ) -> EntryId | Missed | None:
        """Append, if nothing has come in between.

        Args:
            key: Of the log.
            entry: What was decided on.
            room: In the state in which that was.
            last: The entry after which that is.
            milliseconds: To number it with; None for the clock of the Redis server.

        Returns:
            The number of the entry; None when nobody is left after it, and the log is gone; or
            what has come in between, and the entry is not logged.
        """
        head, body = encode_entry(entry)
        number = "*" if milliseconds is None else f"{milliseconds}-*"
        final = "1" if is_final(room, entry.command) else "0"
        marks = marks_after(room, entry.command) or ""
        answer = await self._link.call(
            self._link.append(
                [key, scripts.marks_key(key)],
                [str(last), self._keep_ms, number, head, body, final, marks],
            )
        )
        if answer[0] == scripts.REFUSED:
            return _parse_missed_untrusted(answer)
        return None if answer[0] == scripts.DELETED else parse_id_untrusted(answer[1])

    async def read(self, key: str, *, last: EntryId) -> Missed:
        """Return what there is of a log behind ``last``."""
        return _parse_missed_untrusted(await self._link.call(self._link.read([key], [str(last)])))

    async def is_stranger(self, name: Name, request: Request) -> bool:
        """Return whether a request certainly is of nobody who is known under a name."""
        key = scripts.marks_key(scripts.log_key(name))
        marks = await self._link.call(self._link.client.get(key))
        return not is_among_untrusted(mark_of(request), marks)

    async def touch(self, keys: list[str]) -> None:
        """Say that logs are needed; at most :data:`TOUCH_BATCH` at once."""
        async with self._link.client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.pexpire(key, self._keep_ms)
                pipeline.pexpire(scripts.marks_key(key), self._keep_ms)
            await self._link.call(pipeline.execute())


def _parse_missed_untrusted(answer: list[Any]) -> Missed:
    entries = []
    for number, fields in answer[2]:
        values = dict(zip(fields[::2], fields[1::2], strict=True))
        entry = parse_entry_untrusted(values.get(b"h", b""), values.get(b"b", b""))
        entries.append((parse_id_untrusted(number), entry))
    return Missed(parse_id_untrusted(answer[1]), entries)
