"""The other side is libwebrtc."""

import os

import pytest

from rtcsend.pairing.keys import Role
from tests.interop.scenarios import ROLES, SCENARIOS, STREAM_TIMEOUT, Scenario, run

pytestmark = [
    pytest.mark.net,
    pytest.mark.timeout(STREAM_TIMEOUT + 120),
    pytest.mark.usefixtures("network"),
]

if os.environ.get("CI"):
    import reactor_webrtc  # noqa: F401 - CI is to have it
else:
    pytest.importorskip("reactor_webrtc", reason="reactor-webrtc has no wheel for this machine")

from tests.interop.libwebrtc_peer import (  # noqa: E402 - after the question whether there is one
    STREAMS_AS_CLIENT,
    STREAMS_AS_SERVER,
    libwebrtc_peer,
)


@ROLES
@SCENARIOS
def test_with_libwebrtc(scenario: Scenario, role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    # Who answers is the DTLS client.
    control, data = STREAMS_AS_CLIENT if role is Role.SENDER else STREAMS_AS_SERVER
    monkeypatch.setattr("rtcsend.datapath.batched.CONTROL_CHANNEL", control)
    monkeypatch.setattr("rtcsend.datapath.batched.DATA_CHANNEL", data)
    run(scenario, role, libwebrtc_peer)
