"""Whether there can be a laboratory here; if not, why not."""

import os
import shutil
import sys
from typing import Final

import pytest

from tests.lab.namespace import LabError, Namespace, remove

PROGRAMS: Final = {"ip": "iproute2", "nft": "nftables", "cc": "gcc libc6-dev"}
"""What it starts, and the packages of Debian and Ubuntu."""


def require_lab() -> None:
    """Skip the test where the laboratory cannot be built; fail it in CI."""
    if (reason := missing()) is None:
        return
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def missing() -> str | None:
    """Return why there can be none here."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "the laboratory takes network namespaces: root on Linux"
    for program, packages in PROGRAMS.items():
        if shutil.which(program) is None:
            return f"{program} is missing (Debian, Ubuntu: apt install {packages})"
    # The root of a container may not be allowed to.
    name = f"rtcsend-lab-{os.getpid()}-probe"
    try:
        Namespace(name)
    except (LabError, OSError) as exc:
        return f"network namespaces cannot be made here: {exc}"
    finally:
        remove(name)
    return None
