"""Where a symbolic link of a tree may point: into what it came with, and nowhere else [pure].

A target may go up only at its beginning, and only as far as the top of what it was sent with.
That holds for chains of links too, which the mere text would not show: the folders that a link
goes up through are those that it is in, never links themselves; and going down, each link on
the way keeps to the same rule. (``a/b/../c`` could lead anywhere, when ``b`` is a link.) Beside
a link that is itself at the top is what the receiver has, so it points elsewhere in any case.

Place in the flow: the sender's :mod:`rtcsend.files.scan` refuses what points elsewhere, and the
receiver does not believe that it did.
"""

from rtcsend.errors import UnsafePath
from rtcsend.files.names import MAX_UNTRUSTED_BYTES, safe_component_untrusted, shown_untrusted

_STAY = frozenset({"", "."})  # components that lead nowhere
_UP = ".."


def points_inside(path: str, target: str) -> bool:
    """Return whether a link points into the top-level folder that it is in.

    Args:
        path: Of the link, components between slashes.
        target: What it says.
    """
    if "/" not in path or not target or target.startswith("/") or "\0" in target:
        return False
    room = path.count("/") - 1  # folders above it that are below the top one
    came_down = False
    for component in target.split("/"):
        if component in _STAY:
            continue
        if component != _UP:
            came_down = True
        elif came_down or room <= 0:
            return False
        else:
            room -= 1
    return True


def safe_target_untrusted(path: str, target: str, *, windows: bool) -> str:
    """Return what a link of a proposal may say, its names made safe as those of paths are.

    Args:
        path: Where the link will be: a safe path, components between slashes.
        target: What the peer says.
        windows: Whether the file system's rules are those of Windows.

    Raises:
        UnsafePath: It points elsewhere, or is no target at all.
    """
    if len(target) > MAX_UNTRUSTED_BYTES or not points_inside(path, target):
        raise UnsafePath(
            f"The link {shown_untrusted(path)} points to {shown_untrusted(target)}, "
            "which is not in what is sent."
        )
    components = (name for name in target.split("/") if name not in _STAY)
    safe = (
        name if name == _UP else safe_component_untrusted(name, windows=windows).name
        for name in components
    )
    return "/".join(safe) or "."
