"""What has come from the other side and is not yet with the disk.

Pure. Pieces come as frames brought them, at most 64 KiB each, and go in whole blocks, which
is what disks like; small pieces are joined on arrival, since each object costs some 200 bytes
besides its content. The receiving machine's window bounds what is in here.
"""

from collections import deque
from typing import Final

from rtcsend.blocks import BLOCK_SIZE, Data
from rtcsend.transfer.frames import MAX_PAYLOAD

SMALL_PIECE: Final = 4096  # bytes; less is joined with what comes next


class Backlog:
    """A queue of data, and of positions in the file up to which everything is kept."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes of data that wait."""
        self.is_live = False
        """Whether whatever has come is to be taken at once, however little."""
        # Positions in the file: of the first byte that waits, and of the next one to come.
        self._position = 0
        self._end = 0
        self._queue: deque[memoryview | bytearray | int] = deque()
        self._marks = 0

    def __bool__(self) -> bool:
        return bool(self._queue)

    @property
    def is_ready(self) -> bool:
        """Whether there is enough to be taken, as a block or a mark: no need to wait for more."""
        if self.is_live:
            return bool(self._queue)
        return bool(self._marks) or self.size >= BLOCK_SIZE - self._position % BLOCK_SIZE

    def add(self, offset: int, payload: memoryview) -> None:
        """Add the piece at ``offset``: what is left out before it is kept.

        Keeps a reference to the piece, or a copy of a small one.
        """
        if offset != self._end:
            self.keep(offset)
        self._end = offset + len(payload)
        queue = self._queue
        self.size += len(payload)
        if len(payload) >= SMALL_PIECE:
            queue.append(payload)
            return
        last = queue[-1] if queue else None
        if isinstance(last, bytearray) and len(last) + len(payload) <= MAX_PAYLOAD:
            last += payload
        else:
            queue.append(bytearray(payload))

    def keep(self, position: int) -> None:
        """Add a mark: what comes before ``position``, and after the data so far, is kept."""
        self._end = position
        if self._queue and isinstance(self._queue[-1], int):
            self._queue[-1] = position
            return
        self._queue.append(position)
        self._marks += 1

    def next_mark(self) -> int | None:
        """Return the mark that is next; None if it is data, or nothing."""
        first = self._queue[0] if self._queue else None
        return first if isinstance(first, int) else None

    def pass_mark(self, position: int) -> None:
        """The mark that was next is done: take it, unless it has moved on meanwhile."""
        self._position = position
        if self._queue[0] == position:
            self._queue.popleft()
            self._marks -= 1

    def take(self) -> Data:
        """Take the next data: to the end of a block, or less when there is less."""
        room = BLOCK_SIZE - self._position % BLOCK_SIZE
        pieces: list[memoryview | bytearray] = []
        taken = 0
        while self._queue and taken < room:
            piece = self._queue[0]
            if isinstance(piece, int):
                break
            self._queue.popleft()
            if len(piece) > room - taken:
                view = memoryview(piece)
                piece, rest = view[: room - taken], view[room - taken :]
                self._queue.appendleft(rest)
            pieces.append(piece)
            taken += len(piece)
        self._position += taken
        self.size -= taken
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
