import pytest

from rtcsend.rendezvous.versions import is_older


@pytest.mark.parametrize(
    ("version", "than", "older"),
    [
        ("0.1.0", "0.1.0", False),
        ("0.1.0", "0.1", False),
        ("0.1", "0.1.0", False),
        ("0.1.0", "0.1.1", True),
        ("0.1.0", "0.2", True),
        ("0.9.0", "0.10.0", True),
        ("0.10.0", "0.9.9", False),
        ("1.0.0.dev3+local", "1.0", False),
        ("0.9.dev3", "1.0", True),
        ("unknown", "1.0", False),
    ],
)
def test_is_older(version: str, than: str, older: bool) -> None:
    assert is_older(version, than=than) is older
