"""The other side is plain aiortc, with its own SCTP."""

import pytest

from rtcsend.pairing.keys import Role
from tests.interop.aiortc_peer import aiortc_peer
from tests.interop.scenarios import ROLES, SCENARIOS, STREAM_TIMEOUT, Scenario, run

pytestmark = [
    pytest.mark.net,
    pytest.mark.timeout(STREAM_TIMEOUT + 120),
    pytest.mark.usefixtures("network"),
]


@ROLES
@SCENARIOS
def test_with_aiortc(scenario: Scenario, role: Role) -> None:
    run(scenario, role, aiortc_peer)
