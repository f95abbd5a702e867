"""Every combination of findings has its two sentences and its exit code."""

import re
from dataclasses import replace
from itertools import product

import pytest

from rtcsend.doctor.conclusion import (
    Filtering,
    Mapping,
    Reach,
    Relay,
    Rendezvous,
    Summary,
    Udp,
    conclude,
    reach_of,
)

SENTENCE = re.compile(r"[A-Z][^.]*\.")
ALL = [
    Summary(
        rendezvous=rendezvous,
        udp=udp,
        mapping=mapping,
        filtering=filtering,
        relay=relay,
        only_ipv6=only_ipv6,
    )
    for rendezvous, udp, mapping, filtering, relay, only_ipv6 in product(
        Rendezvous, Udp, Mapping, Filtering, Relay, (False, True)
    )
]


def summary(
    udp: Udp = Udp.WORKS,
    mapping: Mapping = Mapping.UNKNOWN,
    filtering: Filtering = Filtering.UNKNOWN,
    *,
    relay: Relay = Relay.NOT_NAMED,
    rendezvous: Rendezvous = Rendezvous.WORKS,
) -> Summary:
    return Summary(
        rendezvous=rendezvous, udp=udp, mapping=mapping, filtering=filtering, relay=relay
    )


def test_all_combinations_have_one_sentence_of_each() -> None:
    assert len(ALL) == 3 * 4 * 6 * 4 * 3 * 2
    for one in ALL:
        conclusion = conclude(one)
        # An abbreviation would look like an end; a port or RFC has none in it.
        assert SENTENCE.fullmatch(conclusion.meaning), conclusion.meaning
        assert SENTENCE.fullmatch(conclusion.help), conclusion.help


def test_all_combinations_have_the_exit_code_that_is_documented() -> None:
    for one in ALL:
        if one.rendezvous is Rendezvous.FAILED:
            expected = 10
        elif one.relay is Relay.WORKS or one.udp is Udp.WORKS:
            expected = 0
        elif one.udp is Udp.NOT_ASKED and one.relay is Relay.NOT_NAMED:
            expected = 0  # nobody was asked: the LAN needs nobody
        else:
            expected = 30
        assert conclude(one).exit == expected, one


def test_the_figures_are_in_it() -> None:
    one = summary(mapping=Mapping.ADDRESS, filtering=Filtering.ADDRESS_AND_PORT)
    conclusion = conclude(one)
    assert (conclusion.rendezvous, conclusion.udp, conclusion.relay) == (
        "works",
        "works",
        "not-named",
    )
    assert conclusion.mapping == "address-dependent"
    assert conclusion.filtering == "address-and-port-dependent"


@pytest.mark.parametrize(
    ("mapping", "filtering", "reach"),
    [
        (Mapping.NONE, Filtering.INDEPENDENT, Reach.ANY),
        (Mapping.NONE, Filtering.ADDRESS_AND_PORT, Reach.MOST),  # a firewall
        (Mapping.INDEPENDENT, Filtering.INDEPENDENT, Reach.ANY),  # full cone
        (Mapping.INDEPENDENT, Filtering.ADDRESS, Reach.ANY),  # restricted
        (Mapping.INDEPENDENT, Filtering.ADDRESS_AND_PORT, Reach.MOST),
        (Mapping.INDEPENDENT, Filtering.UNKNOWN, Reach.MOST),
        (Mapping.ADDRESS, Filtering.INDEPENDENT, Reach.FEW),
        (Mapping.ADDRESS_AND_PORT, Filtering.ADDRESS_AND_PORT, Reach.FEW),  # symmetric
        (Mapping.DEPENDENT, Filtering.UNKNOWN, Reach.FEW),
        (Mapping.UNKNOWN, Filtering.UNKNOWN, Reach.UNSURE),
    ],
)
def test_what_a_nat_comes_down_to(mapping: Mapping, filtering: Filtering, reach: Reach) -> None:
    assert reach_of(summary(mapping=mapping, filtering=filtering)) is reach


@pytest.mark.parametrize(
    ("mapping", "reach"),
    [
        (Mapping.NONE, Reach.ONLY_IPV6),
        (Mapping.UNKNOWN, Reach.ONLY_IPV6),
        (Mapping.DEPENDENT, Reach.FEW),  # somebody translates IPv6: that counts more
    ],
)
def test_without_ipv4_most_peers_are_not_direct(mapping: Mapping, reach: Reach) -> None:
    one = replace(summary(mapping=mapping, relay=Relay.WORKS), only_ipv6=True)
    assert reach_of(one) is reach
    assert reach_of(replace(one, udp=Udp.BLOCKED)) is Reach.BLOCKED


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (
            summary(mapping=Mapping.INDEPENDENT, relay=Relay.WORKS),
            "most peers; symmetric NATs will be relayed",
        ),
        (summary(mapping=Mapping.DEPENDENT), "there is no relay: most peers cannot be reached"),
        (summary(Udp.BLOCKED, relay=Relay.WORKS), "UDP is blocked here: every transfer"),
        (summary(Udp.BLOCKED), "no peer beyond the LAN"),
        (summary(Udp.SILENT, relay=Relay.FAILED), "None of the STUN and TURN servers"),
        (
            summary(Udp.NOT_ASKED, rendezvous=Rendezvous.NOT_NAMED),
            "on this machine and in the LAN need no server",
        ),
        (summary(Udp.NOT_ASKED), "The rendezvous server works, and names no STUN or TURN server"),
        (summary(rendezvous=Rendezvous.FAILED), "The rendezvous server that was named"),
    ],
)
def test_some_sentences(one: Summary, words: str) -> None:
    assert words in conclude(one).meaning
