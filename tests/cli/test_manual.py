"""docs/rtcsend.1 is what the commands say; help fits a screen; shells can complete options."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from rtcsend.cli.main import main
from tests.cli.pty_process import ROOT
from tests.test_errors import CLASSES

Capture = pytest.CaptureFixture[str]
PAGE = ROOT / "docs" / "rtcsend.1"
RTCSEND = (sys.executable, "-m", "rtcsend")


def run(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    process = subprocess.run(
        [*RTCSEND, *arguments], env={**os.environ, **(env or {})}, capture_output=True, check=True
    )
    return process.stdout.decode()


def test_page_is_current(capsys: Capture) -> None:
    assert main(["manual"]) == 0
    current = capsys.readouterr().out
    assert current == PAGE.read_text(encoding="ascii"), "rtcsend manual > docs/rtcsend.1"


def test_page_has_every_exit_code() -> None:
    section = PAGE.read_text(encoding="ascii").partition(".SH EXIT STATUS\n")[2].split("\n")[0]
    assert {int(code) for code in re.findall(r"(?:^|; )(\d+) ", section)} == {
        0,
        *(error.exit_code for error in CLASSES),
    }


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff")
def test_page_is_well_formed() -> None:
    command = ["groff", "-man", "-ww", "-Tutf8", "-z", str(PAGE)]
    process = subprocess.run(command, capture_output=True, check=True)
    assert process.stderr == b""


@pytest.mark.parametrize("command", [[], ["config"]])
def test_help_fits_a_screen(command: list[str]) -> None:
    lines = run(*command, "--help", env={"COLUMNS": "80"}).splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    assert "manual" not in "".join(lines)


@pytest.mark.parametrize("command", ["send", "receive", "doctor"])
def test_help_of_a_command_fits_its_width(command: str) -> None:
    lines = run(command, "--help", env={"COLUMNS": "80"}).splitlines()
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how_to_complete(shell: str) -> None:
    script = run(env={"_RTCSEND_COMPLETE": f"source_{shell}"})
    assert f"_RTCSEND_COMPLETE=complete_{shell}" in script
    completer = shutil.which(shell)
    if completer is not None:
        subprocess.run([completer, "-n"], input=script.encode(), check=True)


@pytest.mark.parametrize(
    ("typed", "proposed"),
    [
        ("rtcsend rec", {"receive"}),
        ("rtcsend send --ch", {"--checksums"}),
        ("rtcsend receive --pr", {"--preserve", "--print-path"}),
        ("rtcsend send --links ", {"keep", "follow", "skip"}),
        ("rtcsend m", set()),  # hidden
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_is_completed(shell: str, typed: str, proposed: set[str]) -> None:
    env = {
        "_RTCSEND_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split(" ")) - 1),
        "_TYPER_COMPLETE_ARGS": typed,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    out = run(env=env).replace("_arguments '*: :((", "")
    assert set(re.findall(r'^"?([a-z-]+)', out, re.M)) == proposed, out


def test_bash_completes_by_its_script(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    program = tmp_path / "rtcsend"
    program.write_text(f'#!/bin/sh\nexec {" ".join(RTCSEND)} "$@"\n')
    program.chmod(0o700)
    script = f"""
        {run(env={"_RTCSEND_COMPLETE": "source_bash"})}
        COMP_WORDS=(rtcsend send --idle) COMP_CWORD=2
        _rtcsend_completion rtcsend
        echo "${{COMPREPLY[@]}}"
    """
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.run([bash, "-c", script], env=env, capture_output=True, check=True)
    assert process.stdout == b"--idle-timeout\n", process.stderr
