"""The sender's own rendezvous beside those of other senders on the same machine."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from rtcsend.rendezvous import embedded
from rtcsend.rendezvous.embedded import embedded_rendezvous
from rtcsend.rendezvous.local import announce_local, local_nameplates

URL = "ws://127.0.0.1:1/v1"

pytestmark = pytest.mark.net


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("RTCSEND_DISCOVERY", "local")


async def test_it_takes_no_number_that_another_sender_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "EMBEDDED_NAMEPLATES", (10, 13))
    async with embedded_rendezvous() as ours:
        with ExitStack() as others:
            for number in ("10", "11", "13"):
                others.enter_context(announce_local(number, URL))
            assert local_nameplates() == {"10", "11", "13"}
            assert {ours.free_nameplate() for _ in range(20)} == {"12"}
            others.enter_context(announce_local("12", URL))
            assert ours.free_nameplate() is None  # then its own server draws one
        drawn = {ours.free_nameplate() for _ in range(100)}
        assert drawn == {"10", "11", "12", "13"}  # one is missing once in 10**11 runs
