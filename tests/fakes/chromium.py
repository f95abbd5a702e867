"""A headless Chromium that opens one page, and ends with everything it started.

Nothing drives it from outside: the page itself has to do what is to be done, for instance by
a WebSocket back to the test.
"""

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")  # Debian and others; Ubuntu; Google

_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have 64 MB of /dev/shm
    "--no-first-run",
    "--mute-audio",
    # It asks its maker's servers for this and that at every start; a test has no use for it.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-quic",
    "--disable-sync",
    # A page that nobody looks at runs at full speed all the same.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    # Host candidates are addresses, not names that somebody has to look up by multicast, and
    # loopback is among them: with the right to a microphone a page may have all addresses.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--allow-loopback-in-peer-connection",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


def chromium_path() -> str | None:
    """Return where the browser is, None where there is none."""
    return next((path for path in map(shutil.which, NAMES) if path is not None), None)


def require_chromium() -> None:
    """Skip the test where there is no Chromium; fail it in CI."""
    if chromium_path() is None:
        reason = "chromium is missing (Debian: apt install chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


class Chromium:
    """The browser with one page, running while it is entered.

    Args:
        folder: For its profile and its log; a new one.
        url: Of the page.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url
        self._process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> str:
        """What it has said so far; for a failed test."""
        return (self._folder / "log").read_text(errors="replace")

    async def __aenter__(self) -> Self:
        path = chromium_path()
        assert path is not None, "the test has asked"
        flags = list(_FLAGS)
        if os.name == "posix" and os.geteuid() == 0:
            flags.append("--no-sandbox")  # it refuses to start as root with its sandbox
        with (self._folder / "log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                path,
                *flags,
                f"--user-data-dir={self._folder / 'profile'}",
                self._url,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a process group of its own, to be ended as one
            )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process is not None, "it was entered"
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
