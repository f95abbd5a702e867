"""Where configuration, keys and announcements go on each system: tables, on whatever runs them.

What names become there is in tests/files/test_names.py and test_paths.py, for Windows too.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from rtcsend.cli.config_file import config_path
from rtcsend.cli.terminal import can_redraw
from rtcsend.known.store import data_folder
from rtcsend.rendezvous import local

POSIX = ("linux", "darwin")
HOME = "/home/ada"


@pytest.mark.parametrize(
    ("platform", "environment", "path"),
    [
        *((name, {"XDG_CONFIG_HOME": "/cfg"}, "/cfg/rtcsend/config.toml") for name in POSIX),
        *((name, {}, f"{HOME}/.config/rtcsend/config.toml") for name in POSIX),
        *(
            (name, {"XDG_CONFIG_HOME": "relative"}, f"{HOME}/.config/rtcsend/config.toml")
            for name in POSIX
        ),
        *((name, {"APPDATA": "/roaming"}, f"{HOME}/.config/rtcsend/config.toml") for name in POSIX),
        ("win32", {"APPDATA": "/roaming"}, "/roaming/rtcsend/config.toml"),
        ("win32", {"APPDATA": "/roaming", "XDG_CONFIG_HOME": "/cfg"}, "/cfg/rtcsend/config.toml"),
    ],
)
def test_the_configuration(
    platform: str, environment: Mapping[str, str], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setenv("HOME", HOME)
    assert config_path(environment) == Path(path)


@pytest.mark.parametrize(
    ("platform", "environment", "path"),
    [
        *((name, {"XDG_DATA_HOME": "/data"}, "/data/rtcsend") for name in POSIX),
        *((name, {"LOCALAPPDATA": "/local"}, f"{HOME}/.local/share/rtcsend") for name in POSIX),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/rtcsend"),
    ],
)
def test_the_keys(
    platform: str, environment: Mapping[str, str], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setenv("HOME", HOME)
    assert data_folder(environment) == Path(path)


@pytest.mark.parametrize(
    ("platform", "runtime", "folders"),
    [
        *((name, "/run/user/7", ["/run/user/7/rtcsend", "/t/rtcsend-7"]) for name in POSIX),
        *((name, "", ["/t/rtcsend-7"]) for name in POSIX),
        *((name, "relative", ["/t/rtcsend-7"]) for name in POSIX),
        ("win32", "", ["/t/rtcsend-user"]),  # its temporary folder is each user's own
    ],
)
def test_the_announcements(
    platform: str, runtime: str, folders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr(os, "getuid", lambda: 7)
    monkeypatch.setattr(tempfile, "tempdir", "/t")
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    assert local._folders() == [Path(folder) for folder in folders]


@pytest.mark.parametrize(
    ("platform", "term", "redraws"),
    [
        ("linux", "xterm-256color", True),
        ("linux", "dumb", False),
        ("linux", "DUMB", False),
        ("linux", "", False),
        ("linux", None, False),
        ("darwin", "xterm", True),
        ("darwin", "unknown", False),
        ("win32", None, True),  # its consoles have no TERM, and can
        ("win32", "dumb", False),
    ],
)
def test_what_moves_on_a_terminal(
    platform: str, term: str | None, redraws: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, terminal = os.openpty()
    with open(master, "rb"), open(terminal, "w", encoding="utf-8") as stream:  # noqa: PTH123 - numbers
        monkeypatch.setattr("sys.platform", platform)
        monkeypatch.delenv("TERM", raising=False)
        if term is not None:
            monkeypatch.setenv("TERM", term)
        monkeypatch.setenv("NO_COLOR", "1")
        assert can_redraw(stream) is redraws
