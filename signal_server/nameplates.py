"""Drawing nameplates: short, seldom in use, and not to be foreseen.

Who guesses a nameplate that somebody waits at can spoil that code, and no other harm. So
numbers are drawn from the shortest ones of which few are in use: one guess in a hundred hits,
however many people wait, and few guesses are to be had (:mod:`signal_server.admission`).

Pure: entropy comes in. Source: docs/rendezvous-protocol.md, "Nameplates".
"""

from collections.abc import Callable, Iterator

MAX_DIGITS = 9  # of a nameplate; the wire format has the same limit
GUESSES = 8  # of one tier, nearly all free: eight fail together once in 10**16 draws
CROWDED_GUESSES = 32  # of the bounds that an embedded server has, which may be nearly full
ENTROPY_BYTES = 8  # of which a remainder below 10**9 is uniform to 1 in 10**10


def nameplate_candidates(
    entropy: Callable[[int], bytes],
    *,
    live: int,
    sparsity: float,
    bounds: tuple[int, int] | None = None,
) -> Iterator[str]:
    """Return numbers to try, in order: most of the time the first one is free.

    Args:
        entropy: Returns that many unforeseeable bytes.
        live: About how many are in use.
        sparsity: The largest part of a tier (all numbers of so many digits) that may be in use.
        bounds: Smallest and largest number to try first.
    """
    if bounds is not None:
        yield from _drawn(range(bounds[0], bounds[1] + 1), CROWDED_GUESSES, entropy)
    for digits in range(1, MAX_DIGITS + 1):
        tier = range(10 ** (digits - 1), 10**digits)
        if live + 1 <= sparsity * len(tier) or digits == MAX_DIGITS:
            yield from _drawn(tier, GUESSES, entropy)


def _drawn(tier: range, guesses: int, entropy: Callable[[int], bytes]) -> Iterator[str]:
    for _ in range(guesses):
        yield str(tier[int.from_bytes(entropy(ENTROPY_BYTES), "big") % len(tier)])
