import hashlib

import pytest

from rtcsend.code.words import (
    BITS_PER_WORD,
    LONGEST_WORD,
    SHORTEST_WORD,
    edits_between,
    nearest_word,
    word_list,
    word_set,
)


def test_list_is_the_english_list_of_bip_39() -> None:
    text = "".join(f"{word}\n" for word in word_list())
    assert hashlib.sha256(text.encode()).hexdigest() == (
        "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
    )


def test_list_is_what_the_code_relies_on() -> None:
    words = word_list()
    assert len(words) == len(word_set()) == 1 << BITS_PER_WORD
    assert {len(word) for word in words} == set(range(SHORTEST_WORD, LONGEST_WORD + 1))
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)
    assert list(words) == sorted(words)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("guitarr", "guitar"),
        ("giutar", "guitar"),
        ("guiter", "guitar"),
        ("velvt", "velvet"),
        ("velvvet", "velvet"),
        ("gu1tar", "guitar"),
        ("abandn", "abandon"),
        ("zzzqqq", None),
        ("", None),
        ("x", None),
        ("guitarguitar", None),
        ("velve", "velvet"),  # not "valve"
    ],
)
def test_nearest_word(typed: str, meant: str | None) -> None:
    assert nearest_word(typed) == meant


@pytest.mark.parametrize(
    ("left", "right", "edits"),
    [
        ("", "", 0),
        ("a", "", 1),
        ("abc", "abc", 0),
        ("abc", "acb", 1),
        ("abc", "xabc", 1),
        ("ca", "abc", 3),
    ],
)
def test_edits(left: str, right: str, edits: int) -> None:
    assert edits_between(left, right) == edits_between(right, left) == edits


def test_one_slip_is_always_set_right_or_leads_to_a_word_as_near() -> None:
    for word in word_list()[::37]:
        typed = word[0] + word[2] + word[1] + word[3:]
        if typed not in word_set():
            nearest = nearest_word(typed)
            assert nearest is not None
            assert edits_between(typed, nearest) == 1
