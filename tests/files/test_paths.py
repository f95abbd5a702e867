"""Paths of a proposal: each by itself, and all together."""

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import UnsafePath
from rtcsend.files import paths
from rtcsend.files.paths import (
    MAX_DEPTH,
    MAX_NAME_BYTES,
    MAX_UNTRUSTED_BYTES,
    Oddity,
    ProposedPaths,
    SafePath,
    folded,
    is_own_name,
    oddities,
    partial_name,
    safe_name_untrusted,
    safe_path_untrusted,
)
from tests.files.strange_names import any_path

KEY = bytes(16)
POSIX, WINDOWS = PurePosixPath("/home/ada"), PureWindowsPath("C:\\Users\\ada")


def proposed(*, windows: bool = False, folding: bool = False) -> ProposedPaths:
    return ProposedPaths(windows=windows, folding=folding, key=KEY)


def places(*given_paths: str, folding: bool = False) -> list[str]:
    """Where files go; a path that ends with a slash is a folder."""
    book = proposed(folding=folding)
    return [
        str(book.add_untrusted(path.removesuffix("/"), is_folder=path.endswith("/"))[0])
        for path in given_paths
    ]


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize(
    "path", ["film.iso", "a/b/c", "-rf/.env", "a b/tête", "/".join("d" * MAX_DEPTH), "c/x.y"]
)
def test_an_honest_path_is_left_alone(path: str, windows: bool) -> None:
    expected = SafePath(tuple(path.split("/")), changed=False)
    assert safe_path_untrusted(path, windows=windows) == expected
    assert str(expected) == path


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "empty name"),
        ("/", "absolute"),
        ("/etc/passwd", "absolute"),
        ("//server/share", "absolute"),
        ("\\\\server\\share", "absolute"),
        ("\\\\?\\C:\\x", "absolute"),
        ("\\x", "absolute"),
        ("C:/x", "drive letter"),
        ("c:", "drive letter"),
        (" C:/x", "drive letter"),
        ("\u212a:/x", "drive letter"),  # the Kelvin sign normalises to K
        ("a//b", "empty name"),
        ("a/", "empty name"),
        ("..", "not the name"),
        ("../x", "not the name"),
        ("a/../../x", "not the name"),
        ("a/..", "not the name"),
        ("a/./b", "not the name"),
        ("a/.. /b", "Nothing is left"),
        ("a/.../b", "Nothing is left"),
        ("a/\u3000", "Nothing is left"),
        ("a/b\0c", "NUL"),
        ("/".join("d" * (MAX_DEPTH + 1)), f"deeper than {MAX_DEPTH}"),
        ("a" * (MAX_UNTRUSTED_BYTES + 1), "longer than 4096 bytes"),
        ("\u00e9/" * 1400, "longer than 4096 bytes"),
        ("/".join(["\u0958" * 40] * 32), "too long when it is made safe"),
    ],
)
def test_what_is_no_relative_path_is_refused(path: str, reason: str, windows: bool) -> None:
    with pytest.raises(UnsafePath, match=reason) as caught:
        safe_path_untrusted(path, windows=windows)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400
    with pytest.raises(UnsafePath, match=reason):
        proposed(windows=windows).add_untrusted(path, is_folder=False)


@pytest.mark.parametrize(
    ("path", "posix", "windows"),
    [
        ("a/CON/nul.txt", "a/_CON/_nul.txt", "a/_CON/_nul.txt"),
        ("a /b./c", "a/b/c", "a/b/c"),
        ("x\\y/z", "x_y/z", "x_y/z"),
        ("a/..\\..\\x", "a/.._.._x", "a/.._.._x"),
        ("dosdevices/c:", "dosdevices/c:", "dosdevices/c_"),
        ("a/b:stream", "a/b:stream", "a/b_stream"),
        ("a/.x.rtcsend-partial/b", "a/.x.rtcsend-partial_/b", "a/.x.rtcsend-partial_/b"),
        ("PROGRA~1/a", "PROGRA~1/a", "PROGRA_1/a"),
        ("a\u202eb/e\u0301", "a_b/\u00e9", "a_b/\u00e9"),
        ("a/" + "b" * 300, "a/" + "b" * 255, "a/" + "b" * 255),
    ],
)
def test_each_component_is_made_safe(path: str, posix: str, windows: str) -> None:
    for expected, is_windows in ((posix, False), (windows, True)):
        safe = safe_path_untrusted(path, windows=is_windows)
        assert (str(safe), safe.changed) == (expected, expected != path)


@given(any_path, st.booleans())
def test_whatever_comes_out_stays_in_the_folder(path: str, windows: bool) -> None:
    try:
        safe = safe_path_untrusted(path, windows=windows)
    except UnsafePath:
        return
    _assert_inside(safe, windows=windows)
    assert safe.changed == (str(safe) != path)
    assert len(safe.components) == path.count("/") + 1
    assert safe_path_untrusted(str(safe), windows=windows) == SafePath(
        safe.components, changed=False
    )
    if len(safe.components) == 1 and "\\" not in path:
        assert safe_name_untrusted(path, windows=windows).name == str(safe)


def _assert_inside(safe: SafePath, *, windows: bool) -> None:
    depth = len(safe.components)
    for folder in (POSIX, WINDOWS):
        if windows or folder is POSIX or ":" not in str(safe):
            joined = folder / str(safe)
            assert joined == folder.joinpath(*safe.components)
            assert joined.parents[depth - 1] == folder
            assert joined.parts[-depth:] == safe.components
    assert 1 <= depth <= MAX_DEPTH
    assert len(str(safe).encode()) <= MAX_UNTRUSTED_BYTES
    for name in safe.components:
        assert 0 < len(name.encode()) <= MAX_NAME_BYTES
        assert len(partial_name(name, "31").encode()) <= MAX_NAME_BYTES
        assert not {unicodedata.category(char) for char in name} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert not set(name) & set('/\\\0<>:"|?*' if windows else "/\\\0")
        assert not is_own_name(name)


@given(st.lists(st.tuples(any_path, st.booleans()), max_size=8), st.booleans(), st.booleans())
def test_no_two_paths_are_one_file(
    entries: list[tuple[str, bool]], windows: bool, folding: bool
) -> None:
    book = proposed(windows=windows, folding=folding)
    files: set[str] = set()
    folders: set[str] = set()
    for path, is_folder in entries:
        try:
            safe, odd = book.add_untrusted(path, is_folder=is_folder)
        except UnsafePath:
            continue
        _assert_inside(safe, windows=windows)
        alone = safe_path_untrusted(path, windows=windows)
        assert (Oddity.CLASH in odd) == (safe.components != alone.components)
        keys = [folded(name) if folding else name for name in safe.components]
        above = {"/".join(keys[:length]) for length in range(1, len(keys))}
        key = "/".join(keys)
        folders |= above | ({key} if is_folder else set())
        assert is_folder or key not in files
        files |= set() if is_folder else {key}
        assert not files & folders


@given(st.lists(st.tuples(any_path, st.booleans()), max_size=8), st.binary(min_size=1, max_size=64))
def test_places_depend_on_the_paths_and_their_order_alone(
    entries: list[tuple[str, bool]], key: bytes
) -> None:
    first = proposed(folding=True)
    second = ProposedPaths(windows=False, folding=True, key=key)
    for path, is_folder in entries:
        assert _outcome(first, path, is_folder) == _outcome(second, path, is_folder)


def _outcome(book: ProposedPaths, path: str, is_folder: bool) -> object:
    try:
        return book.add_untrusted(path, is_folder=is_folder)
    except UnsafePath as exc:
        return exc.message


def test_what_differs_in_form_alone_is_numbered() -> None:
    assert places("e\u0301/a", "\u00e9/a", "e\u0301/b", "\u00e9/b") == [
        "\u00e9/a", "\u00e9 (1)/a", "\u00e9/b", "\u00e9 (1)/b",
    ]  # fmt: skip
    assert places("a?.txt", "a?.txt ", "a\u200b.txt", "a\u200c.txt", "a_ (1).txt") == [
        "a?.txt", "a? (1).txt", "a_.txt", "a_ (1).txt", "a_ (1) (1).txt",
    ]  # fmt: skip


def test_who_is_called_so_keeps_his_name() -> None:
    given_paths = ("e\u0301/a", "\u00e9/a", "x\x1b", "x_", "x_ (1)")
    book = proposed()
    for path in given_paths:
        book.expect_untrusted(path, is_folder=False)
    found = [str(book.add_untrusted(path, is_folder=False)[0]) for path in given_paths]
    assert found == ["\u00e9 (1)/a", "\u00e9/a", "x_ (2)", "x_", "x_ (1)"]


def test_who_is_called_so_comes_once() -> None:
    book = proposed()
    book.expect_untrusted("a/b", is_folder=False)
    with pytest.raises(UnsafePath, match="comes twice"):
        book.expect_untrusted("a/b", is_folder=False)


def test_what_differs_in_case_alone_is_numbered_where_case_does_not_count() -> None:
    given_paths = ("Makefile", "makefile", "Photos/a", "photos/b", "photos/a", "PHOTOS/a")
    assert places(*given_paths) == list(given_paths)
    assert places(*given_paths, folding=True) == [
        "Makefile", "makefile (1)", "Photos/a", "photos (1)/b", "photos (1)/a", "PHOTOS (2)/a",
    ]  # fmt: skip


def test_a_folder_may_come_before_within_and_after() -> None:
    assert places("a/", "a/b/c", "a/b/", "a/b/d", "x", "a/b/", "a/") == [
        "a", "a/b/c", "a/b", "a/b/d", "x", "a/b", "a",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given_paths", "reason"),
    [
        (("a", "b", "a"), "comes twice"),
        (("a/b", "c", "a/b"), "comes twice"),
        (("a", "a/b"), "a file and a folder"),
        (("a/b", "a"), "a file and a folder"),
        (("a", "a/"), "a file and a folder"),
        (("A", "a/b", "a/b"), "comes twice"),
    ],
)
def test_what_no_sender_can_have_is_refused(given_paths: tuple[str, ...], reason: str) -> None:
    with pytest.raises(UnsafePath, match=reason):
        places(*given_paths, folding=True)


def test_a_file_and_a_folder_that_fold_to_one_name_get_two() -> None:
    assert places("A", "a/b", folding=True) == ["A", "a (1)/b"]


def test_a_refused_path_leaves_the_others_as_they_are() -> None:
    book = proposed()
    for path in ("a/b/../x", "a/b/c/", "a//b"):
        with pytest.raises(UnsafePath):
            book.add_untrusted(path, is_folder=False)
    assert str(book.add_untrusted("a/b/c", is_folder=False)[0]) == "a/b/c"


@pytest.mark.parametrize(
    ("path", "odd"),
    [
        ("a/b", set()),
        (".env", {Oddity.HIDDEN}),
        ("a/.git/config", {Oddity.HIDDEN}),
        ("-rf", {Oddity.DASH}),
        ("a\n/-x/.y", {Oddity.CHANGED, Oddity.DASH, Oddity.HIDDEN}),
    ],
)
def test_what_is_odd(path: str, odd: set[Oddity]) -> None:
    assert oddities(safe_path_untrusted(path, windows=False)) == odd
    assert proposed().add_untrusted(path, is_folder=False)[1] == odd


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A", "a"),
        ("\u00c9", "e\u0301"),
        ("stra\u00dfe", "STRASSE"),
        ("\u017f", "S"),
        ("\u212a", "k"),
        ("\u0131", "I"),
        ("\u03c3", "\u03c2"),
        ("\u1fb3", "\u03b1\u0399"),
        ("\u2764\ufe0f", "\u2764"),
        ("\u1e9b\u0323", "\u017f\u0323\u0307"),
        ("a\u0300\u0316", "a\u0316\u0300"),
    ],
)
def test_what_some_file_system_takes_for_the_same(one: str, other: str) -> None:
    assert folded(one) == folded(other)


@given(any_path)
def test_folding_forgets_case_and_form(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert folded(unicodedata.normalize(form, text)) == folded(text)
    assert folded(text.upper()) == folded(text)
    assert folded(folded(text)) == folded(text)


def test_too_many_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "MAX_NAMES", 100)
    book = proposed()
    for number in range(99):
        book.add_untrusted(f"a/{number}", is_folder=False)
    with pytest.raises(UnsafePath, match="more than 100 files and folders"):
        book.add_untrusted("a/x", is_folder=False)
    assert str(book.add_untrusted("a", is_folder=True)[0]) == "a"


def test_implied_folders_count_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "MAX_NAMES", 100)
    with pytest.raises(UnsafePath, match="more than 100"):
        proposed().add_untrusted("/".join("d" * 101), is_folder=False)


def test_too_many_collisions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of n paths that are one file tries up to n numbers: that must not go on for ever."""
    monkeypatch.setattr(paths, "MAX_COLLISIONS", 1_000)
    book = proposed()
    for number in range(45):  # 0 + 1 + … + 44 numbers are tried
        book.add_untrusted("a" * 300 + str(number), is_folder=False)
    with pytest.raises(UnsafePath, match="Too many paths are the same file"):
        book.add_untrusted("a" * 300 + "x", is_folder=False)
