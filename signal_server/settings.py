"""The settings of a server, from a TOML file, the environment and the command line.

Every setting has one name: ``port`` in the file, ``RTCSEND_SERVER_PORT`` in the environment,
``--port`` on the command line; a limit is ``max_sockets`` in the table ``[limits]``,
``RTCSEND_SERVER_LIMITS_MAX_SOCKETS``, and ``--limit max_sockets=N``. Options win over the
environment, the environment over the file. A name that is none is an error that says which one
is the nearest: a limit that was misspelt would otherwise be no limit.

Pure. Source: docs/operations.md, "Configuration"; TOML 1.0.
"""

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, Literal, get_args

from rtcsend.errors import UsageError
from rtcsend.rendezvous.ice_urls import parse_ice_url, parse_turn_url
from signal_server.config import MAX_PORT, ListenAddress, LogFormat, ServerConfig
from signal_server.limits import Limits
from signal_server.sources import Network
from signal_server.tokens import parse_tokens

PREFIX: Final = "RTCSEND_SERVER_"
LIMITS_TABLE: Final = "limits"
_LIMITS_PREFIX: Final = "LIMITS_"

Kind = Literal["text", "int", "float", "bool", "list"]
Value = str | int | float | bool | tuple[str, ...]
Values = dict[str, Value]
"""Settings by name; a limit's name is ``limits.NAME``."""

SETTINGS: Final[Mapping[str, Kind]] = {
    "host": "text",
    "port": "int",
    "store": "text",
    "tls_cert": "text",
    "tls_key": "text",
    "tls_self_signed": "bool",
    "state_dir": "text",
    "trusted_proxy": "list",
    "ice": "list",
    "turn": "list",
    "turn_secret_file": "text",
    "turn_lifetime": "float",
    "motd": "text",
    "min_client": "text",
    "auth_token": "text",
    "auth_token_file": "text",
    "metrics_listen": "text",
    "log_format": "text",
    "log_addresses": "bool",
    "verbose": "bool",
    "drain_seconds": "float",
}
LIMITS: Final[Mapping[str, Kind]] = {
    field.name: "int" if field.type is int else "float" for field in fields(Limits)
}
_BOOLEANS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
# Kubernetes sets such variables for a service that is called rtcsend-server.
_KUBERNETES = re.compile(r"SERVICE_.*|PORT_\d+_.*")


def from_toml_untrusted(text: str, *, source: str) -> Values:
    """Return the settings of a configuration file.

    Args:
        text: Of the file.
        source: Its name, for errors.

    Raises:
        UsageError: No TOML, a name that is none, or a value of another type.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise UsageError(f"{source} is no TOML: {exc}.", hint="Correct that line.") from exc
    values: Values = {}
    for name, value in data.items():
        if name == LIMITS_TABLE:
            if not isinstance(value, dict):
                raise UsageError(
                    f"{source}, limits takes a table.", hint="Write [limits], and below it a limit."
                )
            for limit, number in value.items():
                kind = _kind(limit, LIMITS, f"{source}, [limits]")
                values[f"{LIMITS_TABLE}.{limit}"] = _typed(number, kind, f"{source}, {limit}")
        else:
            kind = _kind(name, [*SETTINGS, LIMITS_TABLE], source)
            values[name] = _typed(value, kind, f"{source}, {name}")
    return values


def from_environment(environment: Mapping[str, str]) -> Values:
    """Return the settings of the variables ``RTCSEND_SERVER_…``.

    Raises:
        UsageError: A name that is none, or a value of another type.
    """
    values: Values = {}
    for variable, text in environment.items():
        short = variable.removeprefix(PREFIX)
        if short == variable or _KUBERNETES.fullmatch(short) or short == "CONFIG":
            continue
        if short.startswith(_LIMITS_PREFIX):
            limit = short.removeprefix(_LIMITS_PREFIX).lower()
            kind = _kind(limit, LIMITS, f"the environment ({variable})")
            values[f"{LIMITS_TABLE}.{limit}"] = _parsed(text, kind, variable)
        else:
            kind = _kind(short.lower(), SETTINGS, f"the environment ({variable})")
            values[short.lower()] = _parsed(text, kind, variable)
    return values


def from_options(options: Mapping[str, Value | None], limits: Iterable[str]) -> Values:
    """Return the settings of the command line.

    Args:
        options: By name; None and an empty tuple: not given.
        limits: Each ``NAME=VALUE``.

    Raises:
        UsageError: A limit that is none.
    """
    values: Values = {
        name: value for name, value in options.items() if value is not None and value != ()
    }
    for text in limits:
        name, _, value = text.partition("=")
        kind = _kind(name.strip(), LIMITS, "--limit")
        values[f"{LIMITS_TABLE}.{name.strip()}"] = _parsed(value, kind, f"--limit {name.strip()}")
    return values


def build_config(*layers: Values) -> ServerConfig:
    """Return the configuration of some layers; later ones win.

    Raises:
        UsageError: A value that cannot work.
    """
    merged: Values = {}
    for layer in layers:
        merged |= layer
    limits: dict[str, Any] = {
        name.partition(".")[2]: value
        for name, value in merged.items()
        if name.startswith(f"{LIMITS_TABLE}.")
    }
    text = {name: str(merged[name]) for name in SETTINGS if name in merged}
    plain: dict[str, Any] = {
        name: merged[name]
        for name in (
            *("port", "store", "tls_self_signed", "turn_lifetime", "log_addresses"),
            "drain_seconds",
        )
        if name in merged
    }
    optional = {name: text[name] for name in ("host", "motd", "min_client") if text.get(name)}
    paths = {
        name: Path(text[name])
        for name in ("tls_cert", "tls_key", "state_dir", "turn_secret_file", "auth_token_file")
        if text.get(name)
    }
    config: dict[str, Any] = {
        **plain,
        **optional,
        **paths,
        "limits": Limits(**limits),
        "trusted_proxies": tuple(map(_network, _list(merged, "trusted_proxy"))),
        "ice_servers": tuple(map(parse_ice_url, _list(merged, "ice"))),
        "turn_urls": tuple(map(parse_turn_url, _list(merged, "turn"))),
        "auth_tokens": _tokens(text.get("auth_token", "")),
        "log_format": _log_format(text.get("log_format", "text")),
        "metrics_listen": _listen_address(text.get("metrics_listen")),
    }
    return ServerConfig(**config)


def _tokens(text: str) -> tuple[str, ...]:
    return parse_tokens(text, source="--auth-token") if text else ()


def _kind(name: str, known: Iterable[str], source: str) -> Kind:
    """Return the kind of a setting, or of a limit, that is one of ``known``."""
    names = list(known)
    if name not in names or name == LIMITS_TABLE:
        shown = ascii(name)[1:-1][:60]
        nearest = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {nearest[0]}?" if nearest else "docs/operations.md has all names."
        raise UsageError(f"There is no setting “{shown}” ({source}).", hint=hint)
    return (LIMITS if name in LIMITS and name not in SETTINGS else SETTINGS)[name]


def _typed(value: object, kind: Kind, where: str) -> Value:
    """Return a value of the file, when it is of its kind."""
    if isinstance(value, bool):  # which Python takes for a number as well
        if kind == "bool":
            return value
    elif (kind == "text" and isinstance(value, str)) or (kind == "int" and isinstance(value, int)):
        return value
    elif kind == "float" and isinstance(value, int | float):
        return float(value)
    elif kind == "list" and isinstance(value, list) and all(isinstance(x, str) for x in value):
        return tuple(value)
    raise _wrong_kind(where, kind)


def _parsed(text: str, kind: Kind, where: str) -> Value:
    """Return a value that was written as text."""
    match kind:
        case "text":
            return text
        case "list":
            return tuple(text.split())
        case "bool":
            if text.lower() in _BOOLEANS:
                return _BOOLEANS[text.lower()]
        case "int" | "float":
            try:
                return int(text) if kind == "int" else float(text)
            except ValueError:
                pass
    raise _wrong_kind(where, kind)


def _wrong_kind(where: str, kind: Kind) -> UsageError:
    wanted = {
        "text": "a text",
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "list": "a list of texts",
    }[kind]
    return UsageError(f"{where} takes {wanted}.", hint="docs/operations.md has all settings.")


def _list(values: Values, name: str) -> tuple[str, ...]:
    value = values.get(name, ())
    assert isinstance(value, tuple), "of its kind"
    return value


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as exc:
        raise UsageError(
            f"--trusted-proxy takes an address or a network, not {ascii(text)[1:-1][:60]}.",
            hint="Write it like 10.0.0.0/8 or ::1.",
        ) from exc


def _log_format(text: str) -> LogFormat:
    for known in get_args(LogFormat):
        if text == known:
            return known  # type: ignore[no-any-return] # get_args has no types
    raise UsageError(f"--log-format cannot be {ascii(text)[1:-1][:60]}.", hint="Give text or json.")


def _listen_address(text: str | None) -> ListenAddress | None:
    if not text:
        return None
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not bare or not port.isascii() or not port.isdigit() or int(port) > MAX_PORT:
        raise UsageError(
            f"--metrics-listen takes HOST:PORT, not {ascii(text)[1:-1][:60]}.",
            hint="Write it like 127.0.0.1:9464.",
        )
    return ListenAddress(bare, int(port))
