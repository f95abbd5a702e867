import stat
from pathlib import Path

import pytest

from rtcsend.cli.config_file import SETTINGS, config_path, read_config
from rtcsend.cli.main import main
from rtcsend.errors import UsageError
from rtcsend.options import ReceiveOptions, SendOptions
from tests.cli import fake_engine
from tests.cli.conftest import Play
from tests.cli.test_docs import options

Capture = pytest.CaptureFixture[str]
CODE = "7-guitar-velvet"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "rtcsend" / "config.toml"


def test_path(file: Path, capsys: Capture) -> None:
    assert main(["config", "path"]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    home = Path.home() / ".config" / "rtcsend" / "config.toml"
    assert config_path({}) == config_path({"XDG_CONFIG_HOME": "relative"}) == home


def test_set_show_and_remove(file: Path, capsys: Capture) -> None:
    ice = ["turn:ada:se%22cret@relay.example", "stun:stun.example:3478"]
    assert main(["config", "set", "server", "wss://rendezvous.example"]) == 0
    assert main(["config", "set", "ice", *ice]) == 0
    assert main(["config", "set", "timeout", "90"]) == 0
    assert main(["config", "set", "no-progress", "true"]) == 0
    assert main(["config", "show"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        'server = "wss://rendezvous.example"',
        'ice = ["turn:ada:…@relay.example", "stun:stun.example:3478"]',
        "timeout = 90",
        "no-progress = true",
    ]
    assert read_config(file)["ice"] == ice
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert main(["config", "set", "ice"]) == 0
    assert "ice" not in read_config(file)
    assert list(file.parent.iterdir()) == [file]


def test_it_gives_defaults(file: Path, film: Path, play: Play) -> None:
    file.parent.mkdir(parents=True)
    file.write_text("server = 'wss://a.example'\ntimeout = 90.5\nwords = 3\nlimit = '10M'\n")
    engine = play(fake_engine.success)
    assert main(["receive", "-y", CODE]) == 0
    assert main(["send", str(film), "--words", "4", "--server", "wss://b.example"]) == 0
    received, sent = engine.options
    assert isinstance(received, ReceiveOptions)
    assert (received.server, received.timeout, received.limit) == ("wss://a.example", 90.5, 10**7)
    assert isinstance(sent, SendOptions)
    assert (sent.server, sent.words, sent.timeout) == ("wss://b.example", 4, 90.5)


def test_option_environment_file(file: Path, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    file.parent.mkdir(parents=True)
    file.write_text("server = 'wss://file.example'\n")
    engine = play(fake_engine.success)
    assert main(["receive", "-y", CODE, "--server", ""]) == 0
    monkeypatch.setenv("RTCSEND_SERVER", "wss://environment.example")
    assert main(["receive", "-y", CODE]) == 0
    assert main(["receive", "-y", CODE, "--server", "wss://option.example"]) == 0
    servers = [None, "wss://environment.example", "wss://option.example"]
    assert [each.server for each in engine.options] == servers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server =", "is no TOML"),
        ("\xff", "is no TOML"),
        ("color = 1", "There is no setting “color” in "),
        ("words = 9", "“words” takes 2 to 8 in "),
        ("words = true", "“words” takes 2 to 8 in "),
        ("words = [2, 3]", "“words” takes 2 to 8 in "),
        ("timeout = nan", "“timeout” takes seconds"),
        ("timeout = inf", "“timeout” takes seconds"),
        ("ice = ['http://x']", "“ice” takes addresses"),
        ("no-progress = 1", "“no-progress” takes true or false"),
        ("#" * 70_000, "is too long"),
    ],
)
def test_what_is_wrong_is_told_before_anything_else(
    text: str, message: str, file: Path, play: Play, capfd: Capture
) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(text.encode("latin-1"))
    engine = play(fake_engine.success)
    assert main(["receive", "-y", CODE]) == 2
    assert message in capfd.readouterr().err
    assert not engine.options
    with pytest.raises(UsageError):
        read_config(file)


@pytest.mark.parametrize(
    "arguments", [["color", "1"], ["words", "two"], ["color"], ["ice", "a\nb"]]
)
def test_what_cannot_be_set(arguments: list[str], file: Path) -> None:
    assert main(["config", "set", *arguments]) == 2
    assert not file.exists()


@pytest.mark.parametrize("values", [["3"], []])
def test_what_is_wrong_is_mended_as_the_hint_says(
    values: list[str], file: Path, capfd: Capture
) -> None:
    file.parent.mkdir(parents=True)
    file.write_text("words = 9\nplain = true\n")
    assert main(["config", "show"]) == 2
    assert "Run “rtcsend config set”" in capfd.readouterr().err
    assert main(["config", "set", "words", *values]) == 0
    assert read_config(file) == {"plain": True} | ({"words": 3} if values else {})


def test_what_cannot_be_mended_by_setting_something(file: Path, capfd: Capture) -> None:
    file.parent.mkdir(parents=True)
    file.write_text("words =")
    assert main(["config", "set", "words", "3"]) == 2
    assert "Edit the file, or remove it." in capfd.readouterr().err
    assert file.read_text() == "words ="


def test_a_file_that_cannot_be_read_or_written(file: Path) -> None:
    file.mkdir(parents=True)
    assert main(["config", "show"]) == 50
    assert main(["receive", "-y", CODE]) == 50


def test_settings_are_options() -> None:
    for name, setting in SETTINGS.items():
        for command in setting.commands:
            assert f"--{name}" in options(command), (name, command)
