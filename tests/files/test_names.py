import re
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtcsend.errors import UnsafePath
from rtcsend.files import names
from rtcsend.files.names import (
    MAX_NAME_BYTES,
    PARTIAL_SUFFIX,
    SafeName,
    are_plain_names,
    is_own_name,
    is_plain_name,
    numbered_name,
    partial_name,
    safe_name_untrusted,
    split_extension,
)
from tests.files.strange_names import any_text

# Written apart from the code, as Microsoft's page lists them.
RESERVED = re.compile(r"(CON|PRN|AUX|NUL|(COM|LPT)[0-9¹²³]|CONIN\$|CONOUT\$|CLOCK\$) *(\.|$)", re.I)
BIDIRECTIONAL = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\U000e0041"


def _is_accepted(text: str) -> bool:
    try:
        safe_name_untrusted(text, windows=False)
    except UnsafePath:
        return False
    return True


safe_names = any_text.filter(_is_accepted).map(
    lambda text: safe_name_untrusted(text, windows=False).name
)


@pytest.mark.parametrize(
    "name",
    [
        "film.iso",
        "no extension",
        ".bashrc",
        "archive.tar.gz",
        "t\u00eate",
        "\u65e5\u672c\u8a9e.txt",
        "\U0001f4be.bin",
        "\u2764\ufe0f.png",  # an emoji's variation selector is no trick
        "-rf",
        "~",
        "a" * 255,
        "CONSOLE.txt",
        "console",
        "COM10",
        "a~b~.txt",
        "LONGNAME~1.TXT",  # nine characters: no short alias
        "_NUL",
        "x.rtcsend-partial.txt",
    ],
)
@pytest.mark.parametrize("windows", [False, True])
def test_an_honest_name_is_left_alone(name: str, windows: bool) -> None:
    assert safe_name_untrusted(name, windows=windows) == SafeName(name, changed=False)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "not the name of a file"),
        (".", "not the name of a file"),
        ("..", "not the name of a file"),
        ("../film.iso", "path separator"),
        ("/etc/passwd", "path separator"),
        ("folder/film.iso", "path separator"),
        ("film.iso/", "path separator"),
        ("..\\film.iso", "path separator"),
        ("\\\\server\\share", "path separator"),
        ("C:film.iso", "drive letter"),
        ("z:", "drive letter"),
        (" C:film.iso", "drive letter"),
        ("\u212a:film.iso", "drive letter"),  # the Kelvin sign normalises to K
        ("film\0.iso", "NUL"),
        ("...", "Nothing is left"),
        (" . . ", "Nothing is left"),
        ("\u3000", "Nothing is left"),
        ("a" * 4097, "longer than 4096 bytes"),
        ("\u00e9" * 2049, "longer than 4096 bytes"),
    ],
)
def test_what_cannot_be_a_bare_name_is_refused(name: str, reason: str) -> None:
    with pytest.raises(UnsafePath, match=reason) as caught:
        safe_name_untrusted(name, windows=False)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("e\u0302tre", "\u00eatre"),
        ("a\nb\tc", "a_b_c"),
        ("\x1b[2Jfilm", "_[2Jfilm"),
        ("a\x7fb\x85c\x9bd", "a_b_c_d"),
        ("a\u2028b\u2029c", "a_b_c"),
        ("photo\u202egpj.exe", "photo_gpj.exe"),
        ("a\ud800b\udfffc", "a_b_c"),
        ("\ud8ff\udcff.bin", "_\udcff.bin"),  # the first stands for no byte
        ("\udce2\udc80\udcae.exe", "___.exe"),  # bytes that are UTF-8 together
        ("\u3164.txt", "_.txt"),
        ("  film.iso  ", "film.iso"),
        ("film.iso. .", "film.iso"),
        ("\u3000film\u00a0", "film"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("Aux .tar.gz", "_Aux .tar.gz"),
        ("COM1", "_COM1"),
        ("lpt\u00b3.log", "_lpt\u00b3.log"),
        ("conin$", "_conin$"),
        ("nul. ", "_nul"),
        (".film.rtcsend-partial", ".film.rtcsend-partial_"),
        ("X.RTCSEND-PARTIAL", "X.RTCSEND-PARTIAL_"),
        (PARTIAL_SUFFIX, PARTIAL_SUFFIX + "_"),
        (".film.iso.rtcsend-journal", ".film.iso.rtcsend-journal_"),
        (".film.rtcsend-part", ".film.rtcsend-part_"),
        # the same file where what is never drawn does not count, or the long s is an s
        ("x.rtcsend-partial\ufe0f", "x.rtcsend-partial\ufe0f_"),
        ("x.rtc\u017fend-partial", "x.rtc\u017fend-partial_"),
    ],
)
def test_what_is_dangerous_in_a_name_is_made_safe(name: str, safe: str) -> None:
    assert safe_name_untrusted(name, windows=False) == SafeName(safe, changed=True)


@pytest.mark.parametrize("character", BIDIRECTIONAL + ZERO_WIDTH)
def test_what_is_drawn_as_nothing_becomes_visible(character: str) -> None:
    assert safe_name_untrusted(f"a{character}b", windows=False).name == "a_b"


@pytest.mark.parametrize("character", '<>:"|?*')
def test_the_characters_of_windows_go_on_windows_only(character: str) -> None:
    name = f"ab{character}cd"
    assert safe_name_untrusted(name, windows=True).name == "ab_cd"
    assert safe_name_untrusted(name, windows=False).name == name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("PROGRA~1", "PROGRA_1"),
        ("a~12.txt", "a_12.txt"),
        ("GIT~1", "GIT_1"),
        ("a~1~2.", "a~1_2"),
        ("a~1.html", None),
        ("~1", None),
    ],
)
def test_short_aliases_go_on_windows_only(name: str, safe: str | None) -> None:
    assert safe_name_untrusted(name, windows=True).name == (safe or name)
    assert safe_name_untrusted(name, windows=False).name == name.rstrip(".")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a" * 256, "a" * 255),
        ("a" * 300 + ".iso", "a" * 251 + ".iso"),
        ("a" * 300 + ".tar.gz", "a" * 248 + ".tar.gz"),
        ("a" * 300 + "." + "b" * 40, "a" * 255),
        ("\u00e9" * 200 + ".iso", "\u00e9" * 125 + ".iso"),
        ("\U0001f4be" * 100, "\U0001f4be" * 63),
        # the x does not lose its mark, which has no composed form
        ("a" * 254 + "x\u0301", "a" * 254),
        ("a" * 250 + " " + "b" * 300 + ".iso", "a" * 250 + " .iso"),
        ("a" * 250 + "    " + "b" * 300, "a" * 250 + "    b"),
        ("a" * 250 + "     " + "b" * 300, "a" * 250),
        # cutting uncovers our own suffix
        ("a" * 239 + PARTIAL_SUFFIX + "b" * 40, "a" * 238 + PARTIAL_SUFFIX + "_"),
    ],
)
def test_a_long_name_is_cut_between_characters_and_keeps_its_extension(
    name: str, safe: str
) -> None:
    assert safe_name_untrusted(name, windows=False) == SafeName(safe, changed=True)


def test_a_name_that_never_settles_would_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_MAX_PASSES", 1)
    with pytest.raises(UnsafePath, match="cannot be made safe"):
        safe_name_untrusted("a\nb", windows=False)


def test_nothing_but_marks_is_cut_anyway() -> None:
    assert safe_name_untrusted("\u0301" * 1000, windows=False).name == "\u0301" * 127


@given(any_text, st.booleans())
@example("\u212a" * 300, True)
def test_whatever_comes_out_stays_in_the_folder(text: str, windows: bool) -> None:
    try:
        safe = safe_name_untrusted(text, windows=windows)
    except UnsafePath:
        return
    name = safe.name
    for folder in (PurePosixPath("/home/ada"), PureWindowsPath("C:\\Users\\ada")):
        if windows or isinstance(folder, PurePosixPath) or ":" not in name:
            assert (folder / name).parent == folder
            assert (folder / name).name == name
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert not {unicodedata.category(char) for char in name} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert unicodedata.is_normalized("NFC", name)
    assert not RESERVED.match(name)
    assert not is_own_name(name)
    assert len(name.encode("utf-16-le")) // 2 <= MAX_NAME_BYTES
    assert name == name.strip().rstrip(".")
    assert not (windows and set(name) & set('<>:"|?*'))
    assert safe.changed == (name != text)


@given(any_text, st.booleans())
def test_a_safe_name_is_safe_again(text: str, windows: bool) -> None:
    try:
        once = safe_name_untrusted(text, windows=windows)
    except UnsafePath:
        return
    assert safe_name_untrusted(once.name, windows=windows) == SafeName(once.name, changed=False)


@pytest.mark.parametrize(
    ("name", "stem", "extension"),
    [
        ("film.iso", "film", ".iso"),
        ("archive.tar.gz", "archive", ".tar.gz"),
        ("ARCHIVE.TAR.XZ", "ARCHIVE", ".TAR.XZ"),
        ("archive.v1.gz", "archive.v1", ".gz"),
        (".tar.gz", ".tar", ".gz"),
        (".bashrc", ".bashrc", ""),
        ("..a", "..a", ""),
        ("a.", "a.", ""),
        ("none", "none", ""),
        ("Mr. Smith goes", "Mr. Smith goes", ""),
        ("x." + "y" * 40, "x." + "y" * 40, ""),
    ],
)
def test_extensions(name: str, stem: str, extension: str) -> None:
    assert split_extension(name) == (stem, extension)


@pytest.mark.parametrize(
    ("name", "numbered"),
    [
        ("film.iso", "film (1).iso"),
        ("archive.tar.gz", "archive (1).tar.gz"),
        (".bashrc", ".bashrc (1)"),
        ("none", "none (1)"),
        ("a" * 251 + ".iso", "a" * 247 + " (1).iso"),
        ("\u00e9" * 127, "\u00e9" * 125 + " (1)"),
    ],
)
def test_the_number_goes_before_the_extension(name: str, numbered: str) -> None:
    assert numbered_name(name, 1) == numbered


@given(safe_names, st.integers(1, 9999))
def test_a_numbered_name_is_safe_too(name: str, number: int) -> None:
    numbered = numbered_name(name, number)
    assert numbered != name
    assert safe_name_untrusted(numbered, windows=False) == SafeName(numbered, changed=False)


def test_partial_names() -> None:
    assert partial_name("film.iso") == ".film.iso.rtcsend-partial"
    assert partial_name("film.iso", "3") == ".film.iso.3.rtcsend-partial"
    assert partial_name("film.iso", suffix=".rtcsend-journal") == ".film.iso.rtcsend-journal"
    with pytest.raises(AssertionError, match="no peer"):
        partial_name("film.iso", suffix=".journal")


@given(safe_names, safe_names, st.sampled_from(["", "1", "31"]))
def test_a_partial_name_fits_is_hidden_and_is_no_safe_name(name: str, other: str, tag: str) -> None:
    partial = partial_name(name, tag)
    assert partial == partial_name(name, tag)
    assert (partial == partial_name(other, tag)) == (name == other)
    assert len(partial.encode()) <= MAX_NAME_BYTES
    assert partial.startswith(".")
    assert PurePosixPath("/x", partial).name == partial
    assert is_own_name(partial)
    assert safe_name_untrusted(partial, windows=False).changed


def test_long_names_with_the_same_start_have_different_partial_names() -> None:
    first, second = (partial_name("a" * 250 + end) for end in "xy")
    assert first != second
    assert len(first) == len(second) == MAX_NAME_BYTES


def test_the_users_own_name_need_not_be_unicode() -> None:
    assert len(partial_name("\udcff" * 250).encode(errors="surrogateescape")) <= MAX_NAME_BYTES


def test_bytes_that_are_no_unicode() -> None:
    name = b"gar\xe7on \xff.txt".decode("utf-8", "surrogateescape")
    assert safe_name_untrusted(name, windows=False) == SafeName(name, changed=False)
    assert safe_name_untrusted(name, windows=True).name == "gar_on _.txt"
    longest = (b"\xe9" * MAX_NAME_BYTES).decode("utf-8", "surrogateescape")
    assert not safe_name_untrusted(longest, windows=False).changed
    assert safe_name_untrusted("x" + longest, windows=False).changed


PIECES = (
    "a",
    "B1",
    ".",
    " ",
    "-",
    "_",
    "con",
    "LPT1",
    "nul.txt",
    ".rtcsend-x",
    "/",
    "é",
    "\0",
    "x" * 81,
)


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=4).map("".join), min_size=1, max_size=4))
@example(["a", "con"])
@example(["", "a"])
@example(["a/b"])
@example(["x" * 83])
def test_many_names_are_plain_when_each_is(some: list[str]) -> None:
    assert are_plain_names(some) == all(map(is_plain_name, some))
