"""The configuration file: defaults of a user, in TOML, under the names of the options.

::

    # ~/.config/rtcsend/config.toml
    server = "wss://rendezvous.example"
    ice = ["turn:ada:secret@relay.example"]
    limit = "10M"

An option comes before the environment, and that before this file. What it may hold are options
whose value another one replaces: a file must not be stronger than the command line.

Place in the flow: read before a command's options are, by :mod:`rtcsend.cli.main`; written by
:mod:`rtcsend.cli.config`.
"""

import json
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rtcsend.cli.figures import parse_size
from rtcsend.cli.options import MAX_TIMEOUT, SERVER_ENVIRONMENT
from rtcsend.cli.terminal import escape
from rtcsend.code.code import MAX_WORDS, MIN_WORDS
from rtcsend.errors import CannotRead, CannotWrite, UsageError
from rtcsend.options import Compress, Links
from rtcsend.rendezvous.ice_urls import parse_ice_url
from rtcsend.rendezvous.server_url import normalise_server_url

MAX_SIZE: Final = 65_536  # bytes
MODE: Final = 0o600  # a TURN address holds a password
_HINT: Final = "Run “rtcsend config set” to change it, or edit the file (“rtcsend config path”)."
_MEND: Final = "Edit the file, or remove it."  # config set reads it, too
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

Value = str | int | float | bool | list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the file may hold under one name.

    Attributes:
        commands: Those that have the option.
        read: Returns the value of what was typed; raises ValueError or UsageError.
        takes: What it takes, for people.
        is_list: Whether it is a list.
    """

    commands: tuple[str, ...]
    read: Callable[[str], Value]
    takes: str
    is_list: bool = False


def _server(text: str) -> str:
    normalise_server_url(text)
    return text


def _ice(text: str) -> str:
    parse_ice_url(text)
    return text


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= MAX_TIMEOUT or math.isnan(seconds):
        raise ValueError
    return int(seconds) if seconds == int(seconds) else seconds


def _rate(text: str) -> str:
    parse_size(text.removesuffix("/s"), option="limit")
    return text


def _words(text: str) -> int:
    count = int(text)
    if not MIN_WORDS <= count <= MAX_WORDS:
        raise ValueError
    return count


def _links(text: str) -> str:
    return Links(text).value


def _compress(text: str) -> str:
    return Compress(text).value


def _switch(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_BOTH: Final = ("send", "receive")
SETTINGS: Final[Mapping[str, Setting]] = {
    "server": Setting(
        commands=(*_BOTH, "pair", "doctor"), read=_server, takes="an address like wss://host"
    ),
    "ice": Setting(
        commands=(*_BOTH, "doctor"), read=_ice, takes="addresses like turn:…", is_list=True
    ),
    "timeout": Setting(commands=(*_BOTH, "pair"), read=_seconds, takes="seconds, at most 30 days"),
    "idle-timeout": Setting(commands=_BOTH, read=_seconds, takes="seconds, at most 30 days"),
    "limit": Setting(commands=_BOTH, read=_rate, takes="a rate like 10M"),
    "compress": Setting(commands=("send",), read=_compress, takes="auto, never or always"),
    "words": Setting(commands=("send", "pair"), read=_words, takes=f"{MIN_WORDS} to {MAX_WORDS}"),
    "links": Setting(commands=("send",), read=_links, takes="keep, follow or skip"),
    "no-progress": Setting(commands=(*_BOTH, "demo"), read=_switch, takes="true or false"),
    "plain": Setting(commands=_BOTH, read=_switch, takes="true or false"),
}

CONFIGURABLE: Final = frozenset(name for each in SETTINGS.values() for name in each.commands)
"""The commands that the file has defaults for."""


def config_path(environment: Mapping[str, str]) -> Path:
    """Return where the file is, or would be."""
    base = environment.get("XDG_CONFIG_HOME", "")
    if not Path(base).is_absolute():  # unset, or to be ignored: XDG Base Directory Specification
        base = environment.get("APPDATA", "") if sys.platform == "win32" else ""
    return (Path(base) if base else Path.home() / ".config") / "rtcsend" / "config.toml"


def read_config(path: Path, *, without: str | None = None) -> dict[str, Value]:
    """Return what the file holds, checked; nothing, if it is not there.

    Args:
        path: As of :func:`config_path`.
        without: A setting that is about to be replaced, and may be wrong.

    Raises:
        CannotRead: It cannot be read.
        UsageError: It is no TOML, or holds what it may not.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as exc:
        raise CannotRead(
            f"The configuration {escape(str(path))} cannot be read: {exc.strerror}.",
            hint="Check its permissions, or remove it.",
        ) from exc
    import tomllib  # noqa: PLC0415 - compiles its grammar, and few have such a file

    shown = escape(str(path))
    try:
        values = tomllib.loads(data[:MAX_SIZE].decode())
    except ValueError as exc:
        raise UsageError(f"{shown} is no TOML: {escape(str(exc))}.", hint=_MEND) from exc
    if len(data) > MAX_SIZE:
        raise UsageError(f"{shown} is too long.", hint=_MEND)
    values.pop(without or "", None)
    return {name: _checked(name, value, where=f" in {shown}") for name, value in values.items()}


def setting_of(name: str) -> Setting:
    """Return the setting of that name.

    Raises:
        UsageError: There is none.
    """
    setting = SETTINGS.get(name)
    if setting is None:
        known = ", ".join(SETTINGS)
        raise UsageError(f"There is no setting “{escape(name)}”.", hint=f"There are: {known}.")
    return setting


def parse_setting(name: str, texts: Sequence[str]) -> Value:
    """Return the value that was typed for a setting.

    Raises:
        UsageError: There is no such setting, or it takes something else.
    """
    setting = setting_of(name)
    if len(texts) == 1 or setting.is_list:
        with suppress(ValueError, KeyError, OverflowError, UsageError):
            values = [setting.read(text) for text in texts if not _CONTROL.search(text)]
            if len(values) == len(texts):
                return [str(value) for value in values] if setting.is_list else values[0]
    raise UsageError(f"“{name}” takes {setting.takes}.", hint="Nothing was changed.")


def _checked(name: str, value: object, *, where: str) -> Value:
    items = value if isinstance(value, list) else [value]
    texts = [str(item).lower() if isinstance(item, bool) else str(item) for item in items]
    try:
        return parse_setting(name, texts)
    except UsageError as exc:
        message = exc.message.removesuffix(".") + f"{where}."
        raise UsageError(message, hint=_HINT if name in SETTINGS else exc.hint) from None


def write_config(path: Path, values: Mapping[str, Value]) -> None:
    """Replace the file; only its owner may read it.

    Raises:
        CannotWrite: It cannot be written.
    """
    text = "".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items()
    )
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.touch(MODE, exist_ok=False)
        new.write_bytes(text.encode())
        new.replace(path)
    except OSError as exc:
        with suppress(OSError):
            new.unlink()
        raise CannotWrite(
            f"The configuration {escape(str(path))} cannot be written: {exc.strerror}.",
            hint="Check the folder and its permissions.",
        ) from exc


def defaults_for(
    command: str, values: Mapping[str, Value], environment: Mapping[str, str]
) -> dict[str, Value]:
    """Return the defaults of a command's options, by the names of its parameters. Pure."""
    return {
        name.replace("-", "_"): value
        for name, value in values.items()
        if command in SETTINGS[name].commands
        and not (name == "server" and environment.get(SERVER_ENVIRONMENT))
    }
