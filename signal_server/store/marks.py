"""What tells who is known in a room, without its log: a mark for each way to come back.

A log may be long, and has to be read by a process that does not follow the room. Who is no
more than a stranger must not have that for the asking: the marks of a room are kept beside its
log, by the same script that appends to it, so that one small read tells strangers.

Pure. Place in the flow: between :mod:`signal_server.mailbox` and
:mod:`signal_server.store.redis_logs`.
"""

import hashlib
from dataclasses import replace

from signal_server.commands import Away, Command, Gone, Request, Say
from signal_server.mailbox import Room, key_of
from signal_server.messages import Resume
from signal_server.storage import SideKey

MARK_BYTES = 8  # two that are the same by chance cost one read of a log


def mark_of(request: Request) -> str | None:
    """Return the mark of the side that a request comes back to; None: it can be no one's."""
    if isinstance(request, Resume):
        return _mark("token", request.token)
    key = key_of(request)
    return None if key is None else _mark_of_key(key)


def marks_after(room: Room, command: Command) -> str | None:
    """Return the marks of a room as it will be, in order; the room stays as it is.

    Args:
        room: In the state in which ``command`` was decided on.
        command: What is about to be logged.

    Returns:
        Marks of hexadecimal digits with spaces between them, at most some 2 KB, since mailboxes
        under one name are bounded; empty when nobody is left; None for a command that changes none.
    """
    if isinstance(command, Say | Away | Gone):
        return None
    after = _copy(room)
    after.apply(command, now=0.0)  # when it happens does not matter to who is known
    marks = set()
    for mailbox in after.mailboxes:
        for side in mailbox.sides:
            if not side.left:
                marks.add(_mark("token", side.token))
                if side.key is not None:
                    marks.add(_mark_of_key(side.key))
    return " ".join(sorted(marks))


def _copy(room: Room) -> Room:
    copy = Room(room.name)
    copy.mailboxes = [
        replace(mailbox, sides=[replace(side) for side in mailbox.sides])
        for mailbox in room.mailboxes
    ]
    copy.sides, copy.stored_bytes = room.sides, room.stored_bytes
    return copy


def _mark_of_key(key: SideKey) -> str:
    return _mark(key.kind, key.text, key.side)


def _mark(*parts: str) -> str:
    text = "\0".join(parts).encode()
    return hashlib.blake2b(text, digest_size=MARK_BYTES).hexdigest()
