import io
import os
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.code.code import (
    MAX_CODE_LENGTH,
    MAX_WORDS,
    MIN_WORDS,
    Code,
    complete,
    corrected_untrusted,
    generate_code,
    parse_code_untrusted,
)
from rtcsend.code.words import BITS_PER_WORD, word_list
from rtcsend.errors import UsageError

GUITAR = Code("7", ("guitar", "velvet"))

nameplates = st.integers(1, 999_999_999).map(str)
codes = st.builds(
    lambda nameplate, count, data: generate_code(
        nameplate, words=count, entropy=lambda n: data[:n]
    ),
    nameplates,
    st.integers(MIN_WORDS, MAX_WORDS),
    st.binary(min_size=2 * MAX_WORDS, max_size=2 * MAX_WORDS),
)
separators = st.sampled_from(
    [
        "-",
        " ",
        "  ",
        "_",
        ".",
        " - ",
        "--",
        "\t",
        "\n",
        "\u00a0",
        "\u3000",
        *"\u2010\u2013\u2014\u2212\u30fc",
    ]
)
surroundings = st.sampled_from(["", " ", "\n", '"', "'", "`", "\u201c", "\u201d", "\u2068", " '"])


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def test_two_words_are_at_least_twenty_bits() -> None:
    assert MIN_WORDS * BITS_PER_WORD >= 20


def test_str_password_and_repr() -> None:
    assert str(GUITAR) == "7-guitar-velvet"
    assert GUITAR.password == b"guitar-velvet"
    assert repr(GUITAR) == "Code(nameplate='7', words=<2 hidden>)"
    assert "guitar" not in f"{[GUITAR]}"


def test_generate_takes_eleven_bits_for_a_word() -> None:
    code = generate_code("12", words=3, entropy=lambda n: bytes.fromhex("0000 07ff fc01")[:n])
    assert code == Code("12", (word_list()[0], word_list()[2047], word_list()[1025]))


def test_generate_is_uniform() -> None:
    every_value = io.BytesIO(b"".join(value.to_bytes(2, "big") for value in range(1 << 16)))
    counts: Counter[str] = Counter()
    for _ in range((1 << 16) // 8):
        counts.update(generate_code("1", words=8, entropy=every_value.read).words)
    assert len(counts) == 2048
    assert set(counts.values()) == {1 << (16 - BITS_PER_WORD)}


@pytest.mark.parametrize("words", [-1, 0, 1, MAX_WORDS + 1])
def test_generate_refuses_too_few_and_too_many_words(words: int) -> None:
    with pytest.raises(UsageError, match="2 to 8 words"):
        generate_code("7", words=words, entropy=os.urandom)


@pytest.mark.parametrize(
    "text",
    [
        "7-guitar-velvet",
        "7 guitar velvet",
        "7guitarvelvet",
        "7-guitarvelvet",
        "7guitar velvet",
        "7_Guitar.VELVET",
        "007-guitar-velvet",
        "  7-guitar-velvet\r\n",
        "“7\u2013guitar\u2014velvet”",
        "'7-guitar-velvet'.",
        "«7 guitar, velvet»",
        "7-guitar\u00ad-vel\u200bvet",
        "\ufeff7-guitar-velvet",
        full_width("7-guitar-velvet"),
        "7ーguitarーvelvet",
        "\u0667-guitar-velvet",
    ],
)
def test_parse_forgives(text: str) -> None:
    assert parse_code_untrusted(text) == GUITAR


def test_parse_takes_two_glued_words_that_are_one_word_too() -> None:
    assert parse_code_untrusted("7artwork") == Code("7", ("art", "work"))
    assert parse_code_untrusted("7-artwork-guitar") == Code("7", ("artwork", "guitar"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The code is empty."),
        (" \n", "The code is empty."),
        ("guitar-velvet", "does not start with a number"),
        ("-guitar-velvet", "does not start with a number"),
        ("0-guitar-velvet", "1 or more"),
        ("1234567890-guitar-velvet", "at most 9 digits"),
        ("7", "at least 2 words after its number, and this one has none"),
        ("7-guitar", "at least 2 words after its number, and this one has 1"),
        ("7-guitarr-velvet", "“guitarr” is not a code word; did you mean “guitar”?"),
        ("7-gu1tar-velvet", "“gu1tar” is not a code word; did you mean “guitar”?"),
        ("7-guitar-veldet", "“veldet” is not a code word; did you mean “velvet”?"),
        ("7-guitarvelvt", "“guitarvelvt” is not a code word."),
        ("7-zzzqqq-velvet", "“zzzqqq” is not a code word."),
        ("7-guitar-velvet-8", "“8” is not a code word."),
        ("7cartable", "“cartable” can be read as car-table and as cart-able."),
        ("7" + "-guitar" * 9, "at most 8 words"),
        ("7-guitar-velvet" + " " * MAX_CODE_LENGTH, "too long"),
        ("7-guitar-\0velvet", "is not a code word"),
    ],
)
def test_parse_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_code_untrusted(text)
    assert message in caught.value.message
    assert caught.value.hint.endswith(".")


@given(codes, st.data())
def test_parse_reads_every_code_however_it_was_mutilated(code: Code, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(["", "0", "000"])) + code.nameplate
    for word in code.words:
        text += data.draw(separators) + word
    text = "".join(c.upper() if data.draw(st.booleans()) else c for c in text)
    text = full_width(text) if data.draw(st.booleans()) else text
    text = data.draw(surroundings) + text + data.draw(surroundings)
    assert parse_code_untrusted(text) == code


@given(codes, st.data())
def test_parse_without_dashes_is_right_or_says_it_cannot_tell(
    code: Code, data: st.DataObject
) -> None:
    glue = st.sampled_from(["", "", "-", " "])
    text = code.nameplate + "".join(data.draw(glue) + word for word in code.words)
    try:
        assert parse_code_untrusted(text) == code
    except UsageError as exc:
        assert "can be read as" in exc.message  # noqa: PT017 - both outcomes are right


@given(st.text() | st.text(string.digits + string.ascii_letters + "- “", max_size=300))
def test_parse_of_anything_is_a_code_or_a_usage_error(text: str) -> None:
    try:
        code = parse_code_untrusted(text)
    except UsageError:
        return
    assert MIN_WORDS <= len(code.words) <= MAX_WORDS
    assert parse_code_untrusted(str(code)) == code


def test_parse_is_quick_whatever_comes() -> None:
    # "car", "card", "art" ... overlap: without a bound, the readings would be exponential.
    with pytest.raises(UsageError):
        parse_code_untrusted("7" + ("artwork" * 40)[: MAX_CODE_LENGTH - 1])


@pytest.mark.parametrize(
    ("typed", "completions"),
    [
        ("7", ["7-"]),
        ("", []),
        ("guit", []),
        ("7-gui", ["7-guide", "7-guilt", "7-guitar"]),
        ("7-guitar", ["7-guitar-"]),
        ("7-guitar-velv", ["7-guitar-velvet"]),
        ("7-guitar-velvet", ["7-guitar-velvet"]),
        ("7 GUITAR velv", ["7-guitar-velvet"]),
        ("7-cann", ["7-cannon-"]),
        ("7-plug", ["7-plug-"]),
        ("7-art", ["7-art", "7-artefact", "7-artist", "7-artwork"]),
        ("7-qqq", []),
        ("7-" + "g" * MAX_CODE_LENGTH, []),
    ],
)
def test_complete(typed: str, completions: list[str]) -> None:
    assert complete(typed) == completions


def test_complete_offers_every_word_after_a_dash() -> None:
    assert complete("7-") == [f"7-{word}" for word in word_list()]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("7-guitarr-velvet", "7-guitar-velvet"),
        ("007 giutar veldet", "7-guitar-velvet"),
        ("7-guitar-zzzqqq", None),
        ("guitarr-velvet", None),
        ("7-guitarr", None),
        ("7" + "-guitarr" * 9, None),
        ("7" + "-x" * 100_000, None),
    ],
)
def test_corrected(typed: str, meant: str | None) -> None:
    code = corrected_untrusted(typed)
    assert (None if code is None else str(code)) == meant
