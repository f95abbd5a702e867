"""The logs of rooms in Redis: each is a stream, with the marks of who is known beside it.

A log and its marks change in one script, and end together.

Place in the flow: between :mod:`signal_server.store.redis_store` and
:mod:`signal_server.store.redis_link`. Source: Redis streams.
"""

from collections.abc import Collection, Sequence
from typing import Any

from signal_server.commands import Request, Say
from signal_server.decisions import is_deserted, is_final, is_small
from signal_server.mailbox import Room
from signal_server.store import redis_scripts as scripts
from signal_server.store.entries import BadEntry, Entry, encode_entry, parse_entry_untrusted
from signal_server.store.marks import mark_of, marks_after
from signal_server.store.redis_link import RedisLink
from signal_server.store.replica import NO_ENTRY, EntryId, parse_id_untrusted

TOUCH_BATCH = 200  # logs kept alive at once


class LostLog(BadEntry):
    """The last entry that is known is not in the log: it is another one, or has lost its end."""


Missed = list[tuple[EntryId, Entry]]
"""What a process did not know of a log, in order."""


class RedisLogs:
    """Calls about logs, by their keys (:func:`signal_server.store.redis_scripts.log_key`).

    All of them raise :data:`signal_server.store.redis_link.FAILURES` when Redis does not answer,
    and those that answer entries :class:`LostLog`, or
    :class:`signal_server.store.entries.BadEntry` for what is none.

    Args:
        link: To Redis.
        keep_ms: How long a log outlives the last word that it is needed, in milliseconds.
        absent_ms: How long it outlives the last socket.
    """

    def __init__(self, link: RedisLink, *, keep_ms: int, absent_ms: int) -> None:
        self._link = link
        self._keep_ms = keep_ms
        self._absent_ms = absent_ms

    async def append(
        self,
        key: str,
        entry: Entry,
        *,
        room: Room,
        last: EntryId,
        milliseconds: int | None,
        others: Collection[str],
    ) -> EntryId | Missed:
        """Append, if nothing has come in between.

        Args:
            key: Of the log.
            entry: What was decided on.
            room: In the state in which that was; when nobody is left after it, the log goes.
            last: The entry after which that is.
            milliseconds: To number it with; None for the clock of the Redis server.
            others: The processes to publish it to.

        Returns:
            The number of the entry; or what has come in between, and the entry is not logged.
        """
        head, body = encode_entry(entry)
        keep = self._absent_ms if is_deserted(room, entry.command) else self._keep_ms
        if isinstance(entry.command, Say):  # by who is in the room, and so keeps its log
            keep = 0
        script = scripts.APPEND_WHILE_FULL if is_small(room, entry.command) else scripts.APPEND
        answer = await self._link.run(
            script,
            (key, scripts.marks_key(key)),
            str(last),
            keep,
            "*" if milliseconds is None else f"{milliseconds}-*",
            head,
            body,
            int(is_final(room, entry.command)),
            marks_after(room, entry.command) or "",
            *map(scripts.channel_of, others),
        )
        if answer[0] == scripts.APPENDED:
            return parse_id_untrusted(answer[1])
        return _parse_missed_untrusted(answer)

    async def read(self, key: str, *, last: EntryId = NO_ENTRY) -> Missed:
        """Return what there is of a log behind ``last``."""
        return _parse_missed_untrusted(await self._link.run(scripts.READ, (key,), str(last)))

    async def look(self, key: str, request: Request) -> Missed | bool:
        """Return a log that is short, else whether the request may be of somebody known there.

        That costs the same however much has been said in the room.
        """
        answer = await self._link.run(
            scripts.LOOK, (key, scripts.marks_key(key)), mark_of(request) or ""
        )
        if answer[0] == scripts.MISSED:
            return _parse_missed_untrusted(answer)
        return bool(answer[0] == scripts.KNOWN)

    async def touch(self, keys: Sequence[str]) -> None:
        """Say that logs are needed; at most :data:`TOUCH_BATCH` at once."""
        both = (each for key in keys for each in (key, scripts.marks_key(key)))
        await self._link.call_all([("PEXPIRE", each, self._keep_ms) for each in both])


def _parse_missed_untrusted(answer: list[Any]) -> Missed:
    if answer[1] != 1:
        raise LostLog("its end is not there")
    entries = []
    for number, fields in answer[2]:
        values = dict(zip(fields[::2], fields[1::2], strict=True))
        entry = parse_entry_untrusted(values.get(b"h", b""), values.get(b"b", b""))
        entries.append((parse_id_untrusted(number), entry))
    return entries
