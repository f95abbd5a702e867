"""The other side is a page in Chromium."""

import pytest

from rtcsend.pairing.keys import Role
from tests.fakes.chromium import require_chromium
from tests.interop.chromium_peer import chromium_peer
from tests.interop.scenarios import ROLES, SCENARIOS, STREAM_TIMEOUT, Scenario, run

pytestmark = [
    pytest.mark.net,
    pytest.mark.chromium,
    pytest.mark.timeout(STREAM_TIMEOUT + 120),  # the browser's start is in it
    pytest.mark.usefixtures("network"),
]


@pytest.fixture(autouse=True)
def _installed() -> None:
    require_chromium()


@ROLES
@SCENARIOS
def test_with_chromium(scenario: Scenario, role: Role) -> None:
    run(scenario, role, chromium_peer)
