"""Rules as text; what the kernel makes of them is in ``test_lab``."""

import pytest

from tests.lab.nat import Kind, rules


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("generation", [0, 1, 1023])
def test_older_rules_are_replaced(kind: Kind, generation: int) -> None:
    text = rules(kind, generation=generation)
    assert text.startswith("table ip lab {}\ndelete table ip lab\n")
    assert text.count("{") == text.count("}")


def test_generations_have_ports_of_their_own() -> None:
    texts = {rules(Kind.PORT_RESTRICTED, generation=number) for number in range(1024)}
    assert len(texts) == 1024


def test_an_open_router_does_nothing() -> None:
    assert "chain" not in rules(Kind.OPEN, generation=5)


def test_a_firewall_translates_nothing() -> None:
    text = rules(Kind.FIREWALL, generation=5)
    assert "masquerade" not in text
    assert "^" not in text
