"""Drawing a free nameplate: as short as possible, and not to be foreseen.

Pure: entropy and the question whether a number is taken come in.
Source: docs/rendezvous-protocol.md, "Nameplates".
"""

from collections.abc import Callable

MAX_DIGITS = 9  # of a nameplate; the wire format has the same limit
LISTED_DIGITS = 3  # up to 999 the free numbers are listed, above they are guessed
GUESSES = 32  # in a tier nine tenths full, 32 guesses all fail once in 29 draws: then a digit more
ENTROPY_BYTES = 8  # of which a remainder below 10**9 is uniform to 1 in 10**10


def draw_nameplate(
    is_taken: Callable[[str], bool],
    entropy: Callable[[int], bytes],
    *,
    bounds: tuple[int, int] | None = None,
) -> str | None:
    """Return a free nameplate, or None when none was found.

    Args:
        is_taken: Whether a nameplate is in use.
        entropy: Returns that many unforeseeable bytes.
        bounds: Smallest and largest number to try first; beyond them, and without them,
            1 to 9, then 10 to 99, and so on.
    """
    if bounds is not None:
        found = _draw_listed(range(bounds[0], bounds[1] + 1), is_taken, entropy)
        if found is not None:
            return found
    for digits in range(1, MAX_DIGITS + 1):
        tier = range(10 ** (digits - 1), 10**digits)
        draw = _draw_listed if digits <= LISTED_DIGITS else _draw_guessed
        found = draw(tier, is_taken, entropy)
        if found is not None:
            return found
    return None


def _draw_listed(
    tier: range, is_taken: Callable[[str], bool], entropy: Callable[[int], bytes]
) -> str | None:
    free = [number for number in tier if not is_taken(str(number))]
    return str(_choice(free, entropy)) if free else None


def _draw_guessed(
    tier: range, is_taken: Callable[[str], bool], entropy: Callable[[int], bytes]
) -> str | None:
    for _ in range(GUESSES):
        guess = str(_choice(tier, entropy))
        if not is_taken(guess):
            return guess
    return None


def _choice(numbers: list[int] | range, entropy: Callable[[int], bytes]) -> int:
    return numbers[int.from_bytes(entropy(ENTROPY_BYTES), "big") % len(numbers)]
