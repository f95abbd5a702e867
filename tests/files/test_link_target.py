import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import UnsafePath
from rtcsend.files.link_target import points_inside, safe_target_untrusted


@pytest.mark.parametrize(
    ("path", "target", "is_inside"),
    [
        ("top/a", "b", True),
        ("top/a", "./b/./c/", True),
        ("top/a", ".", True),
        ("top/sub/a", "..", True),
        ("top/sub/a", "../b", True),
        ("top/sub/a", "../../b", False),
        ("top/a", "..", False),
        ("top/a", "../other", False),
        ("a", "b", False),  # that would be what the receiver has there
        ("a", ".", False),
        ("a", "..", False),
        ("top/a", "/etc/passwd", False),
        ("top/sub/a", "b/../c", False),  # b may be a link itself
        ("top/a", "", False),
        ("top/a", "b\0c", False),
    ],
)
def test_targets(path: str, target: str, is_inside: bool) -> None:
    assert points_inside(path, target) is is_inside
    if not is_inside:
        with pytest.raises(UnsafePath):
            safe_target_untrusted(path, target, windows=False)


def test_names_in_a_target_are_made_safe() -> None:
    assert safe_target_untrusted("top/s/a", ".././b\x1b/c", windows=False) == "../b_/c"
    assert safe_target_untrusted("top/a", "./", windows=False) == "."
    with pytest.raises(UnsafePath):
        safe_target_untrusted("top/a", "x" * 5000, windows=False)


COMPONENTS = st.sampled_from(["..", ".", "a", "b", "c"])


@given(links=st.lists(st.tuples(st.lists(COMPONENTS, max_size=4), st.sampled_from("xyz"))))
def test_no_chain_of_links_leads_out(
    tmp_path_factory: pytest.TempPathFactory, links: list[tuple[list[str], str]]
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    top = outside / "top"
    for folder in ("a/b/c", "b/a", "c"):
        (top / folder).mkdir(parents=True)
    made = []
    for number, (components, where) in enumerate(links):
        place = {"x": top, "y": top / "a" / "b", "z": top / "b" / "a"}[where] / "abc"[number % 3]
        target = "/".join(components)
        path = place.relative_to(outside).as_posix()
        if not place.is_symlink() and not place.exists() and points_inside(path, target):
            place.symlink_to(target)
            made.append(place)
    for place in made:
        for below in ("", "a", "b", "a/b", "c/a"):
            led = os.path.realpath(place / below)
            assert led == str(top) or led.startswith(f"{top}{os.sep}")
