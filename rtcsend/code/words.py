"""The 2,048 words that codes are made of.

The list, ``words.txt`` beside this file, is the English list of BIP-39, taken from the
data of the package ``mnemonic`` (MIT licence, copyright its contributors). It suits what
people read out and type: 3 to 8 lower-case letters, no two words with the same first four,
and 2,048 = 2**11, so that a word is 11 bits without remainder or rejection.

The file is read at first use and with nothing but :mod:`pathlib`: ``receive 7-guitar-velvet``
needs it before anything else, and ``importlib.resources`` costs more than reading it.

Pure but for that one read. Place in the flow: used by :mod:`rtcsend.code.code` only.
"""

import functools
from pathlib import Path

BITS_PER_WORD = 11  # 2,048 words; drawing is uniform, so bits add up
SHORTEST_WORD = 3  # letters
LONGEST_WORD = 8  # letters
MAX_TYPO_LENGTH = LONGEST_WORD + 2  # letters; a longer text is not one mistyped word

MAX_EDITS = 2  # slips of a finger; a word that is further off reads like a bad joke


@functools.cache
def word_list() -> tuple[str, ...]:
    """Return all words, in the order of the list: a word's index is its 11 bits."""
    text = Path(__file__).with_name("words.txt").read_text(encoding="ascii")
    return tuple(text.split())


@functools.cache
def word_set() -> frozenset[str]:
    """Return all words, for looking one up."""
    return frozenset(word_list())


def nearest_word(text: str) -> str | None:
    """Return the word that a mistyped ``text`` most likely stands for.

    Args:
        text: What was typed, in lower case.

    Returns:
        The word with the fewest edits between, at most MAX_EDITS and less than half of its letters;
        among equals one with the same first letter, which people rarely get wrong, then one of
        which only the end is missing. None: there is no such word.
    """
    if not text or len(text) > MAX_TYPO_LENGTH:
        return None
    near = [word for word in word_list() if abs(len(word) - len(text)) <= MAX_EDITS]
    ranked = (
        (edits_between(text, word), word[0] != text[0], not word.startswith(text), word)
        for word in near
    )
    edits, _, _, word = min(ranked)
    return word if edits <= MAX_EDITS and 2 * edits < len(word) else None


def edits_between(left: str, right: str) -> int:
    """Return how many slips make one of the other: a letter more, less or other, or two swapped.

    The optimal string alignment distance; time and space are the product of the lengths.
    """
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, letter in enumerate(left, 1):
        before, above, row = row, before, [i]
        for j, other in enumerate(right, 1):
            edits = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == right[j - 2] and left[i - 2] == other:
                edits = min(edits, above[j - 2] + 1)
            row.append(edits)
    return row[-1]
