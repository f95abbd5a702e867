"""The 2,048 words that codes are made of.

The list, ``words.txt`` beside this file, is the English list of BIP-39, taken from the
data of the package ``mnemonic`` (MIT licence, copyright its contributors). It suits what
people read out and type: 3 to 8 lower-case letters, no two words with the same first four,
and 2,048 = 2**11, so that a word is 11 bits without remainder or rejection.

The file is read at first use and with nothing but :mod:`pathlib`: ``receive 7-guitar-velvet``
needs it before anything else, and ``importlib.resources`` costs more than reading it.

Pure but for that one read. Place in the flow: used by :mod:`rtcsend.code.code` only.
"""

import difflib
import functools
from pathlib import Path

BITS_PER_WORD = 11  # 2,048 words; drawing is uniform, so bits add up
SHORTEST_WORD = 3  # letters
LONGEST_WORD = 8  # letters
MAX_TYPO_LENGTH = LONGEST_WORD + 2  # letters; a longer text is not one mistyped word

_CUTOFF = 0.6  # difflib's ratio; below it the proposal reads like a bad joke


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
        A word of the list; None when none is near enough to be worth a proposal.
    """
    if len(text) > MAX_TYPO_LENGTH:
        return None
    matches = difflib.get_close_matches(text, word_list(), n=1, cutoff=_CUTOFF)
    return matches[0] if matches else None
