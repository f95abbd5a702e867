"""The private names that connecting takes of aiortc and aioice: looked for before they are needed.

Their versions are pinned. Where others are installed all the same, and a name has moved, there is
no plainer way to connect, as there is one for the data (:mod:`rtcsend.datapath.choice`): so it
is said which, instead of an error in the midst, or of a path that is never found.

tests/peer/test_private_names.py holds what each of them is expected to do.
"""

from typing import Final

import aioice
from aioice.turn import TurnTransport
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceGatherer, RTCIceTransport

from rtcsend.errors import InternalError

ATTRIBUTES: Final[dict[type, tuple[str, ...]]] = {
    aioice.Connection: (
        *("_check_list", "_early_checks", "_early_checks_done", "_local_candidates"),
        *("_nominated", "_protocols", "_query_consent_task", "_queue", "_remote_candidates"),
        "_transport_policy",
    ),
    RTCIceGatherer: ("_connection",),
    RTCIceTransport: ("_connection",),
}
"""What an object of a class has from its beginning."""
METHODS: Final[dict[type, tuple[str, ...]]] = {
    aioice.Connection: ("_find_pair", "_find_remote_candidate", "_remote_candidates_expected"),
    RTCDtlsTransport: ("_set_role",),
    TurnTransport: ("_connect",),
}
"""What a class has."""


def missing_names() -> list[str]:
    """Return the private names that are not there, with their classes."""
    missing = [
        f"{owner.__name__}.{name}"
        for owner, names in ATTRIBUTES.items()
        for name in names
        if name not in owner.__init__.__code__.co_names  # type: ignore[misc]  # of the class itself
    ]
    missing += [
        f"{owner.__name__}.{name}"
        for owner, names in METHODS.items()
        for name in names
        if not hasattr(owner, name)
    ]
    return missing


def check_names() -> None:
    """Refuse to connect by packages whose names have moved.

    Raises:
        InternalError: It says which.
    """
    if missing := missing_names():
        raise InternalError(
            f"The installed aiortc or aioice has moved {', '.join(missing)}.",
            hint="Install the versions that rtcsend asks for.",
        )
