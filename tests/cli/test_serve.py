import os
import re
import signal
import subprocess
import sys

import pytest

from rtcsend.cli.main import main
from tests.cli.pty_process import ROOT

Capture = pytest.CaptureFixture[str]


def test_help_is_the_servers_own(capfd: Capture) -> None:
    assert main(["serve", "--help"]) == 0
    out = capfd.readouterr().out
    assert "rtcsend serve" in out
    assert "--port" in out


def test_unknown_option_is_a_usage_error(capfd: Capture) -> None:
    assert main(["serve", "--nothing"]) == 2
    assert "No such option: --nothing" in capfd.readouterr().err


@pytest.mark.net
def test_it_serves_until_it_is_told_to_stop() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "rtcsend", "serve", "--host", "127.0.0.1", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )
    assert process.stdout is not None
    with process:
        try:
            assert re.search(r"--server ws://127\.0\.0\.1:[1-9][0-9]*", process.stdout.readline())
            process.send_signal(signal.SIGTERM)
            assert process.wait(90) == 0
        finally:
            process.kill()
