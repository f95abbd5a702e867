import pytest

from rtcsend.options import RoutePolicy
from rtcsend.peer.unreachable import no_route

ANY, RELAY, DIRECT = RoutePolicy.ANY, RoutePolicy.RELAY_ONLY, RoutePolicy.DIRECT_ONLY


@pytest.mark.parametrize(
    ("route", "ours", "theirs", "said"),
    [
        (
            ANY,
            ["host", "srflx"],
            ["host"],
            (
                "tried host and srflx candidates here, and host candidates there.",
                "tried host candidates here, and host and srflx candidates there.",
                "TURN relay would help",
            ),
        ),
        (
            ANY,
            ["host"],
            ["host", "relay"],
            (
                "tried host candidates here, and host and relay candidates there.",
                "tried host and relay candidates here, and host candidates there.",
                "turns:USER:PASSWORD@HOST:443",
            ),
        ),
        (
            DIRECT,
            ["host"],
            [],
            (
                "tried host candidates here, and no candidates there.",
                "tried no candidates here, and host candidates there.",
                "--direct-only",
            ),
        ),
        (
            RELAY,
            [],
            ["host"],
            (
                "Only relays are allowed, and no TURN server gave one.",
                "The other side allows only relays, and no TURN server gave it one.",
                "--relay-only",
            ),
        ),
        (
            RELAY,
            [],
            ["relay"],
            (
                "Only relays are allowed, and no TURN server gave one.",
                "The other side allows only relays, and no TURN server gave it one.",
                "the TURN server's address and credential",
            ),
        ),
    ],
)
def test_what_is_said(
    route: RoutePolicy,
    ours: list[str],
    theirs: list[str],
    said: tuple[str, str, str],
) -> None:
    message, for_peer, helps = said
    error = no_route(route, ours=ours, theirs=theirs)
    assert error.message.endswith(message)
    assert error.for_peer.endswith(for_peer)
    assert helps in error.hint
    assert "rtcsend doctor" in error.hint
    told = no_route(route, ours=ours, theirs=theirs, told="It says so.")
    assert (told.message, told.hint) == ("It says so.", error.hint)


def test_without_any_network() -> None:
    error = no_route(ANY, ours=[], theirs=["host"])
    assert error.message == "This machine has no network address."
    assert error.for_peer == "The other machine has no network address."
