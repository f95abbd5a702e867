import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import UsageError
from signal_server.config import ListenAddress, ServerConfig
from signal_server.limits import Limits
from signal_server.messages import IceServer
from signal_server.settings import (
    LIMITS,
    SETTINGS,
    build_config,
    from_environment,
    from_options,
    from_toml_untrusted,
)
from signal_server.tokens import parse_tokens

FILE = """
host = "::1"
port = 1
tls_cert = "cert.pem"
tls_key = "key.pem"
trusted_proxy = ["10.0.0.0/8", "::1"]
ice = ["stun:s", "turn:u:p@t"]
turn = ["turn:a?transport=udp", "turns:b:443"]
turn_secret_file = "secret"
turn_lifetime = 60
motd = "hello"
min_client = "0.2"
auth_token = "sesame"
metrics_listen = "[::1]:9464"
log_format = "json"
log_addresses = true
drain_seconds = 1.5

[limits]
max_sockets = 7
away_seconds = 3
"""


def test_a_file_with_everything() -> None:
    config = build_config(from_toml_untrusted(FILE, source="f"))
    assert (config.host, config.port, config.tls_cert) == ("::1", 1, Path("cert.pem"))
    assert [str(network) for network in config.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert config.ice_servers == (IceServer(("stun:s",)), IceServer(("turn:t",), "u", "p"))
    assert config.turn_urls == ("turn:a?transport=udp", "turns:b:443")
    assert config.turn_lifetime == 60.0
    assert config.auth_tokens == ("sesame",)
    assert config.metrics_listen == ListenAddress("::1", 9464)
    assert (config.log_format, config.log_addresses) == ("json", True)
    assert (config.limits.max_sockets, config.limits.away_seconds) == (7, 3.0)


def test_nothing_given_is_the_default() -> None:
    assert build_config() == ServerConfig()


def test_options_win_over_the_environment_and_that_over_the_file() -> None:
    file = from_toml_untrusted(
        'port = 1\nmotd = "f"\nhost = "f"\n[limits]\nmax_sockets = 1\nmax_bytes = 1', source="f"
    )
    environment = from_environment(
        {
            "RTCSEND_SERVER_PORT": "2",
            "RTCSEND_SERVER_MOTD": "e",
            "RTCSEND_SERVER_LIMITS_MAX_SOCKETS": "2",
            "RTCSEND_SERVER": "wss://another.example",  # the client's
            "RTCSEND_SERVER_CONFIG": "f",
            "RTCSEND_SERVER_SERVICE_HOST": "10.0.0.1",  # Kubernetes'
            "RTCSEND_SERVER_PORT_8765_TCP_ADDR": "10.0.0.1",
        }
    )
    options = from_options({"port": 3, "host": None, "ice": ()}, ["max_bytes=3"])
    config = build_config(file, environment, options)
    assert (config.host, config.motd, config.port) == ("f", "e", 3)
    assert (config.limits.max_sockets, config.limits.max_bytes) == (2, 3)


def test_every_kind_from_the_environment() -> None:
    values = from_environment(
        {
            "RTCSEND_SERVER_ICE": "stun:a  stun:b",
            "RTCSEND_SERVER_LOG_ADDRESSES": "Yes",
            "RTCSEND_SERVER_TLS_SELF_SIGNED": "0",
            "RTCSEND_SERVER_DRAIN_SECONDS": "2.5",
            "RTCSEND_SERVER_LIMITS_AWAY_SECONDS": "1e1",
        }
    )
    config = build_config(values)
    assert [server.urls for server in config.ice_servers] == [("stun:a",), ("stun:b",)]
    assert (config.log_addresses, config.tls_self_signed) == (True, False)
    assert (config.drain_seconds, config.limits.away_seconds) == (2.5, 10.0)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("prot = 1", "prot", "Did you mean port?"),
        ("[limits]\nmax_socket = 1", "max_socket", "Did you mean max_sockets?"),
        ("[limit]\nx = 1", "limit", "Did you mean limits?"),
        ("max_sockets = 1", "max_sockets", "all names"),
        ("limits = 1", "limits takes a table", "[limits]"),
        ('"\\u001b[2J" = 1', "x1b", "all names"),
        ("port = '1'", "whole number", "all settings"),
        ("port = true", "whole number", "all settings"),
        ("log_addresses = 1", "true or false", "all settings"),
        ("ice = 'stun:a'", "a list of texts", "all settings"),
        ("ice = [1]", "a list of texts", "all settings"),
        ("port = ", "no TOML", "line"),
    ],
)
def test_files_that_cannot_work(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_toml_untrusted(text, source="f")
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("PROT", "1", "Did you mean port?"),
        ("LIMITS_MAX_SOCKET", "1", "Did you mean max_sockets?"),
        ("PORT", "tcp://10.0.0.1:8765", "all settings"),
        ("LOG_ADDRESSES", "maybe", "all settings"),
        ("DRAIN_SECONDS", "", "all settings"),
    ],
)
def test_variables_that_cannot_work(variable: str, value: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_environment({f"RTCSEND_SERVER_{variable}": value})
    assert f"RTCSEND_SERVER_{variable}" in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("limit", ["max_sockets", "max_sockets=", "=1", "max_sockets=1.5", "x=1"])
def test_limits_that_cannot_work(limit: str) -> None:
    with pytest.raises(UsageError, match="--limit"):
        from_options({}, [limit])


@pytest.mark.parametrize(
    "values",
    [
        {"port": 65_536},
        {"tls_key": "k"},
        {"tls_cert": "c", "tls_self_signed": True},
        {"turn": ("turn:h",)},
        {"turn_secret_file": "f"},
        {"turn": ("stun:h",), "turn_secret_file": "f"},
        {"turn": ("turn:u:p@h",), "turn_secret_file": "f"},
        {"turn_lifetime": 1.0},
        {"drain_seconds": -1.0},
        {"trusted_proxy": ("nobody",)},
        {"metrics_listen": "9464"},
        {"metrics_listen": "h:99999"},
        {"log_format": "xml"},
        {"min_client": "newest"},
        {"motd": "x" * 1_001},
        {"ice": ("http://h",)},
        {"ice": ("stun:h",) * 21},
        {"auth_token": "with blanks"},
        {"limits.handshake_seconds": 0.0},
        {"limits.max_sources": 0},
    ],
    ids=str,
)
def test_settings_that_cannot_work(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        build_config(values)


@given(
    st.dictionaries(
        st.sampled_from([*SETTINGS, "limits", "nonsense"]),
        st.recursive(
            st.none() | st.booleans() | st.integers(0, 99_999) | st.text(max_size=9),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.sampled_from([*LIMITS, "x"]), inner, max_size=2)
            ),
            max_leaves=4,
        ),
        max_size=4,
    )
)
def test_any_file_is_a_configuration_or_a_usage_error(values: dict[str, Any]) -> None:
    text = "".join(f"{name} = {_toml(value)}\n" for name, value in values.items())
    with contextlib.suppress(UsageError):
        build_config(from_toml_untrusted(text, source="f"))


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case str():
            return '"' + "".join(f"\\U{ord(c):08x}" for c in value) + '"'
        case _:
            return str(value)


def test_tokens_of_a_file() -> None:
    assert parse_tokens("# ours\none\n\n  two \n", source="f") == ("one", "two")
    for text in ("", "# none\n", "with blanks", "ü"):
        with pytest.raises(UsageError, match="f holds no token"):
            parse_tokens(text, source="f")


def test_every_limit_has_its_kind() -> None:
    for name, kind in LIMITS.items():
        assert type(getattr(Limits(), name)).__name__ == kind
