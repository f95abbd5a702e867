"""The Tab key in real shells: commands, options, the numbers that wait, and the words of a code."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtcsend.cli import code_completion
from rtcsend.cli.code_completion import complete_code, complete_line
from rtcsend.code.words import word_list
from rtcsend.rendezvous.lan import LanService
from rtcsend.rendezvous.local import announce_local
from tests.cli.pty_process import ROOT, PtyProcess

SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
LOAD = {
    "bash": 'eval "$(_RTCSEND_COMPLETE=source_bash rtcsend)"',
    "zsh": 'autoload -Uz compinit; compinit -u -D; eval "$(_RTCSEND_COMPLETE=source_zsh rtcsend)"',
    "fish": "env _RTCSEND_COMPLETE=source_fish rtcsend | source",
}


@pytest.fixture(autouse=True)
def own_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("RTCSEND_DISCOVERY", "local")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # senders without such a folder announce there
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def waiting() -> Iterator[None]:
    """Two senders wait on this machine."""
    with announce_local("417", "ws://127.0.0.1:9/v1"), announce_local("5", "ws://127.0.0.1:9/v1"):
        yield


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the LAN has is asked for."""
    monkeypatch.setenv("RTCSEND_DISCOVERY", "")
    asked: list[str] = []

    async def browse(*, timeout: float) -> list[LanService]:  # noqa: ASYNC109 - as the real one
        assert timeout < 1
        asked.append("asked")
        return [LanService("x", number, ("ws://192.0.2.1:9/v1",)) for number in ("81", "93")]

    monkeypatch.setattr(code_completion, "browse_lan", browse)
    return asked


@pytest.mark.parametrize(
    ("typed", "proposed"),
    [
        ("", ["417-", "5-"]),
        ("6-guitar-velv", ["6-guitar-velvet"]),
        ("6-guitar-velvet", ["6-guitar-velvet"]),
        ("6-gu", ["6-guard", "6-guess", "6-guide", "6-guilt", "6-guitar", "6-gun"]),
        ("guitar", []),
        ("6-nonsense", []),
        ("6" * 1000, []),
    ],
)
@pytest.mark.usefixtures("waiting")
def test_a_code(typed: str, proposed: list[str]) -> None:
    assert complete_code(typed) == complete_line(typed) == proposed


@pytest.mark.parametrize("typed", ["41", "417-"])
@pytest.mark.usefixtures("waiting")
def test_no_blank_comes_behind_a_number(typed: str) -> None:
    assert complete_code(typed) == [f"417-{word}" for word in word_list()]


def test_no_blank_comes_behind_the_first_word() -> None:
    assert complete_line("6-guit") == ["6-guitar-"]
    assert complete_code("6-guit") == [f"6-guitar-{word}" for word in word_list()]


@pytest.mark.usefixtures("waiting")
def test_the_lan_is_asked_only_where_nothing_here_fits(found: list[str]) -> None:
    assert complete_line("4") == ["417-"]
    assert complete_line("6-guit") == ["6-guitar-"]
    assert complete_line("guitar") == []
    assert found == []
    assert complete_line("8") == ["81-"]
    assert found == ["asked"]


def test_all_of_the_lan(found: list[str]) -> None:
    assert complete_line("") == ["81-", "93-"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the shell finds a rtcsend that completes, and else shows what it was called with."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "rtcsend"
    program.write_text(
        "#!/bin/sh\n"
        f'[ -n "$_RTCSEND_COMPLETE" ] && PYTHONPATH={ROOT} exec {sys.executable} -m rtcsend "$@"\n'
        'echo "called with:" "$@"\n'
    )
    program.chmod(0o700)
    return folder


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.usefixtures("waiting")
def test_in_a_real_shell(shell: str, folder: Path, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}: make installs it where it may (scripts/system-packages)")
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path),
        "TERM": "xterm",
    }
    with PtyProcess(SHELLS[shell], environment=environment) as process:
        process.type(f"{LOAD[shell]}; echo loa''ded\r")
        process.expect("loaded")
        process.type("rtcsend rec\tx\r")
        process.expect("called with: receive x")
        process.type("rtcsend receive 41\tguit\tvelv\t\r")
        process.expect("called with: receive 417-guitar-velvet")
        process.type("rtcsend send --idle\t5 x\r")
        process.expect("called with: send --idle-timeout 5 x")


def test_it_is_quick_to_load() -> None:
    """A key was pressed: neither the engine nor a package for the LAN is loaded for it."""
    script = "import sys, rtcsend.cli.code_completion; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"zeroconf", "aiortc", "rtcsend.sending", "rtcsend.receiving"}.isdisjoint(loaded)
