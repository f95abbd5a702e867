"""Who came to a place first: a table from fingerprints to owners, in little memory [pure].

Both are numbers of 64 bits, in two flat arrays: a dictionary of Python's takes three times as
much for a million. Open addressing with linear probing; nothing is ever removed. Fingerprints
must be evenly spread, and the other side unable to choose them.

Place in the flow: :mod:`rtcsend.files.paths` finds by it that two paths of a proposal collide.
"""

from array import array

from rtcsend.errors import UnsafePath

_FIRST_SIZE = 64  # slots; a power of two
_FULL_PARTS, _OF_PARTS = 5, 8  # grows when fuller: linear probing then looks at two or three
_EMPTY = 0


class Owners:
    """The table.

    Args:
        limit: Places at most.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._places = array("Q", [_EMPTY]) * _FIRST_SIZE
        self._owners = array("Q", [_EMPTY]) * _FIRST_SIZE

    def __len__(self) -> int:
        return self._count

    def claim(self, place: int, owner: int) -> int | None:
        """Return the owner of a place; None when it was free, and is this owner's from now on.

        Args:
            place: 64 bits, a fingerprint.
            owner: 64 bits.

        Raises:
            UnsafePath: There are too many places.
        """
        place = place or 1  # zero marks what is free; the two share one place, by a rare accident
        slot = _slot_of(self._places, place)
        if self._places[slot] == place:
            return self._owners[slot]
        if self._count >= self._limit:
            raise UnsafePath(f"There are more than {self._limit} files and folders.")
        self._places[slot], self._owners[slot] = place, owner
        self._count += 1
        if self._count * _OF_PARTS > len(self._places) * _FULL_PARTS:
            self._grow()
        return None

    def _grow(self) -> None:
        places = array("Q", [_EMPTY]) * (2 * len(self._places))
        owners = array("Q", [_EMPTY]) * (2 * len(self._places))
        for place, owner in zip(self._places, self._owners, strict=True):
            if place != _EMPTY:
                slot = _slot_of(places, place)
                places[slot], owners[slot] = place, owner
        self._places, self._owners = places, owners


def _slot_of(places: "array[int]", place: int) -> int:
    """Return where the place is, or where it would be."""
    mask = len(places) - 1
    slot = place & mask
    while places[slot] not in (_EMPTY, place):
        slot = (slot + 1) & mask
    return slot
