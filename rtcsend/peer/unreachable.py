"""What is said where there is no route: what was tried, and what would help.

Pure. Both sides say it, each as it looks from there: ``here`` and ``there`` are the other way round
in what the other side is told.
"""

from collections.abc import Collection
from typing import Final

from rtcsend.errors import NoRoute
from rtcsend.options import RoutePolicy
from rtcsend.peer.candidate import enumeration

_RELAYED: Final = (
    "A relay by TLS at port 443 (--ice turns:USER:PASSWORD@HOST:443) gets through most firewalls; "
    "rtcsend doctor, on both sides, shows what each network allows."
)
_DIRECT_ONLY: Final = (
    "Leave out --direct-only, so that a relay can help; rtcsend doctor shows what each network "
    "allows."
)
_RELAY_ONLY: Final = (
    "Check the TURN server's address and credential, given by --ice or the rendezvous server, with "
    "rtcsend doctor, or leave --relay-only out."
)


def no_route(
    route: RoutePolicy, *, ours: Collection[str], theirs: Collection[str], told: str | None = None
) -> NoRoute:
    """Return the error of a connection that has no pair that works.

    Args:
        route: What both sides allow.
        ours: Types of this side's candidates.
        theirs: Of the other side's.
        told: What the other side has said of it, if it was the first to see it.
    """
    hint = _hint(route, ours, theirs)
    if told is not None:
        return NoRoute(told, hint=hint)
    if ours:
        here, there = enumeration(ours), enumeration(theirs)
        return NoRoute(_tried(here, there), hint=hint, for_peer=_tried(there, here))
    if route is RoutePolicy.RELAY_ONLY:
        return NoRoute(
            "Only relays are allowed, and no TURN server gave one.",
            hint=hint,
            for_peer="The other side allows only relays, and no TURN server gave it one.",
        )
    return NoRoute(
        "This machine has no network address.",
        hint="Connect it to a network.",
        for_peer="The other machine has no network address.",
    )


def _tried(here: str, there: str) -> str:
    return f"The two machines cannot reach each other: tried {here} here, and {there} there."


def _hint(route: RoutePolicy, ours: Collection[str], theirs: Collection[str]) -> str | None:
    """Return what would help; None: what the error says by itself."""
    if route is RoutePolicy.DIRECT_ONLY:
        return _DIRECT_ONLY
    if route is RoutePolicy.RELAY_ONLY and not ours:
        return _RELAY_ONLY  # the other side's relay, if it has come already, is no help for that
    if "relay" in (*ours, *theirs):
        return _RELAYED
    return _RELAY_ONLY if route is RoutePolicy.RELAY_ONLY else None
