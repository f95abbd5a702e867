"""A code: what one person reads out and the other types, like ``7-guitar-velvet``.

The number is the nameplate, which names the mailbox at the rendezvous and is no secret.
The words are the password of the pairing and never leave the machine but through it:
``repr`` hides them, so that they reach no log by accident.

Drawing is exact and parsing is forgiving: what a person, a chat program or an input method
does to a code in between (case, quotes, spaces, long dashes, full-width digits, no dashes
at all) is undone here, and a mistyped word is named together with the word it resembles.

Does not: talk to anybody, nor know who uses a nameplate. Pure: entropy is passed in.
Place in the flow: the first stage, before the rendezvous. Contract: docs/cli.md, "Codes".
"""

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rtcsend.code.words import (
    BITS_PER_WORD,
    LONGEST_WORD,
    SHORTEST_WORD,
    nearest_word,
    word_list,
    word_set,
)
from rtcsend.errors import UsageError

MIN_WORDS = 2  # 22 bits: an attacker's one guess succeeds once in 4 million codes
MAX_WORDS = 8  # 88 bits: far beyond what one guess needs, and still one line
MAX_NAMEPLATE_DIGITS = 9  # a billion mailboxes at one server
MAX_CODE_LENGTH = 256  # characters of input; the longest code has 80, the rest is separators

_MAX_READINGS = 3  # two tell that it is ambiguous; one may be the word itself, not counted there
_EXAMPLE = "A code looks like 7-guitar-velvet."
_SEPARATORS = frozenset("-_.,;:+/~|\u00b7\u2212\u30fc")
"""ASCII that people put between words, the middle dot, the minus sign, and the long-vowel
mark that Japanese input methods type for a dash; Unicode's dashes and blanks come by category."""
_QUOTES = frozenset("\"'`\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a")


@dataclass(frozen=True, slots=True, repr=False)
class Code:
    """A nameplate and the password words.

    Attributes:
        nameplate: Decimal digits without leading zeros.
        words: MIN_WORDS to MAX_WORDS words of the list.
    """

    nameplate: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        """Return the code as it is shown to people. It holds the secret: never log it."""
        return "-".join((self.nameplate, *self.words))

    def __repr__(self) -> str:
        return f"Code(nameplate={self.nameplate!r}, words=<{len(self.words)} hidden>)"

    @property
    def password(self) -> bytes:
        """What SPAKE2 takes: the words joined by dashes, without the nameplate."""
        return "-".join(self.words).encode("ascii")


def generate_code(
    nameplate: str, *, words: int = MIN_WORDS, entropy: Callable[[int], bytes]
) -> Code:
    """Draw the words of a new code.

    Args:
        nameplate: The number that the rendezvous allocated.
        words: How many words to draw, MIN_WORDS to MAX_WORDS.
        entropy: Returns as many random bytes as it is asked for (``os.urandom``).

    Raises:
        UsageError: ``words`` is out of range.
    """
    if not MIN_WORDS <= words <= MAX_WORDS:
        raise UsageError(f"A code has {MIN_WORDS} to {MAX_WORDS} words, not {words}.")
    # Every word takes the low 11 bits of two bytes of its own: uniform, since 2**11 divides 2**16.
    drawn = entropy(2 * words)
    indexes = (
        int.from_bytes(drawn[2 * i : 2 * i + 2], "big") % (1 << BITS_PER_WORD) for i in range(words)
    )
    return Code(nameplate, tuple(word_list()[index] for index in indexes))


def parse_code_untrusted(text: str) -> Code:
    """Read a code as people type and paste it.

    Args:
        text: Anything; not more than MAX_CODE_LENGTH characters of it can be a code.

    Returns:
        The code, so that ``parse_code_untrusted(str(code)) == code``.

    Raises:
        UsageError: It is no code; the message names what is wrong with it.
    """
    if len(text) > MAX_CODE_LENGTH:
        raise UsageError("This is too long to be a code.", hint=_EXAMPLE)
    nameplate, chunks = _split(_normalize(text))
    words: list[str] = []
    for chunk in chunks:
        # Typed without any separator, a word that is two words glued together means the two.
        words += _words_in(chunk, at_least=MIN_WORDS if len(chunks) == 1 else 1)
    if len(words) < MIN_WORDS:
        raise UsageError(
            f"A code has at least {MIN_WORDS} words after its number, and this one has "
            f"{len(words) or 'none'}.",
            hint=_EXAMPLE,
        )
    if len(words) > MAX_WORDS:
        raise UsageError(f"A code has at most {MAX_WORDS} words.", hint=_EXAMPLE)
    return Code(nameplate, tuple(words))


def corrected_untrusted(text: str) -> Code | None:
    """Return the code that a mistyped one most likely stands for; for a person to look at.

    Args:
        text: What :func:`parse_code_untrusted` does not take.

    Returns:
        The same with the nearest word in the place of each that is none; None when there is
        more wrong with it.
    """
    if len(text) > MAX_CODE_LENGTH:
        return None
    try:
        nameplate, chunks = _split(_normalize(text))
    except UsageError:
        return None
    words: list[str] = []
    for chunk in chunks[: MAX_WORDS + 1]:
        try:
            words += _words_in(chunk, at_least=MIN_WORDS if len(chunks) == 1 else 1)
        except UsageError:
            nearest = nearest_word(chunk)
            if nearest is None:
                return None
            words.append(nearest)
    return Code(nameplate, tuple(words)) if MIN_WORDS <= len(words) <= MAX_WORDS else None


def complete(text: str, nameplates: Iterable[str] = ()) -> list[str]:
    """Return the codes that ``text`` can be the beginning of, its last word completed.

    Args:
        text: What was typed so far.
        nameplates: Those that are known to wait nearby.

    Returns:
        Whole lines for a Tab key, in the order of the list; with a dash at the end where
        one more word must follow. Empty when nothing fits.
    """
    if len(text) > MAX_CODE_LENGTH:
        return []
    typed = "".join("-" if char in " _" else char for char in text.strip().lower())
    before, dash, last = typed.rpartition("-")
    if not dash:
        known = sorted({f"{number}-" for number in nameplates if number.startswith(last)})
        return known or ([f"{last}-"] if last.isascii() and last.isdigit() else [])
    matches = [word for word in word_list() if word.startswith(last)]
    if len(matches) == 1 and before.count("-") + 1 < MIN_WORDS:
        return [f"{before}-{matches[0]}-"]
    return [f"{before}-{word}" for word in matches]


def _normalize(text: str) -> str:
    """Return ``text`` in lower case with ASCII digits, one blank for each separator."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(_normalize_char(char) for char in folded).strip()


def _normalize_char(char: str) -> str:
    category = unicodedata.category(char)
    if char in _SEPARATORS or char in _QUOTES or char.isspace() or category == "Pd":
        return " "
    if category == "Cf":  # soft hyphens, zero-width and direction marks: nobody sees them
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(char))
    return char


def _split(text: str) -> tuple[str, list[str]]:
    """Take the nameplate off the front of a normalized text.

    Raises:
        UsageError: There is no number in front, or it is zero or too long.
    """
    letters = text.lstrip("0123456789")
    digits = text[: len(text) - len(letters)].lstrip("0")
    if not text:
        raise UsageError("The code is empty.", hint=_EXAMPLE)
    if len(letters) == len(text):
        raise UsageError("The code does not start with a number.", hint=_EXAMPLE)
    if not digits or len(digits) > MAX_NAMEPLATE_DIGITS:
        raise UsageError(
            f"The number at the front of a code is 1 or more, and has at most "
            f"{MAX_NAMEPLATE_DIGITS} digits.",
            hint=_EXAMPLE,
        )
    return digits, letters.split()


def _words_in(chunk: str, *, at_least: int) -> list[str]:
    """Return the words that a chunk without separators stands for.

    Raises:
        UsageError: It stands for none, or for two different sequences.
    """
    if at_least == 1 and chunk in word_set():
        return [chunk]
    readings = [reading for reading in _segmentations(chunk) if len(reading) >= at_least]
    if len(readings) > 1:
        first, second = ("-".join(reading) for reading in readings[:2])
        raise UsageError(
            f"“{chunk}” can be read as {first} and as {second}.",
            hint="Type the code with a dash between the words.",
        )
    if readings:
        return list(readings[0])
    if chunk in word_set():
        return [chunk]
    raise _not_a_word(chunk)


def _not_a_word(chunk: str) -> UsageError:
    nearest = nearest_word(chunk)
    if nearest is None:
        return UsageError(
            f"“{chunk}” is not a code word.",
            hint="Type the code as it is shown on the other side, with its dashes.",
        )
    return UsageError(
        f"“{chunk}” is not a code word; did you mean “{nearest}”?",
        hint="Type the code as it is shown on the other side.",
    )


def _segmentations(letters: str) -> list[tuple[str, ...]]:
    """Return ways to cut ``letters`` into words, at most a few.

    Works from the end, and keeps the first few ways at each position: so the time is
    linear in the length, whatever somebody types.
    """
    ways: list[list[tuple[str, ...]]] = [[] for _ in range(len(letters))] + [[()]]
    for start in range(len(letters) - SHORTEST_WORD, -1, -1):
        for end in range(start + SHORTEST_WORD, min(start + LONGEST_WORD, len(letters)) + 1):
            word = letters[start:end]
            if word in word_set():
                ways[start] += [(word, *rest) for rest in ways[end]]
        del ways[start][_MAX_READINGS:]
    return ways[0]
