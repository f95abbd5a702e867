"""What a server reads from files, and reads again when it is told to: certificate and secrets.

Shell: reads files. Place in the flow: made by :mod:`signal_server.server` when it starts, and by
``--check-config``. Source: docs/operations.md, "Files that are read again".
"""

import datetime
from pathlib import Path

from rtcsend.errors import UsageError
from signal_server.config import ServerConfig
from signal_server.tls import ServerTls, makes_certificate
from signal_server.tokens import parse_tokens

MAX_FILE = 65_536  # characters of a secret or of a list of tokens


def unix_time() -> float:
    """Return seconds since the epoch, as other machines have to agree on: for what expires."""
    return datetime.datetime.now(datetime.UTC).timestamp()


class ServerKeys:
    """Certificate, TURN secret and tokens of one server.

    Attributes:
        tls: None without TLS.
        turn_secret: None without one.
        auth_tokens: Of the option and of the file.

    Args:
        config: Of the server.
        make: Whether to make the certificate that is to be made the first time.

    Raises:
        UsageError: A file cannot be used (on construction).
    """

    def __init__(self, config: ServerConfig, *, make: bool = True) -> None:
        self._config = config
        tls = config.has_tls and (make or not makes_certificate(config))
        self.tls = ServerTls(config) if tls else None
        self.turn_secret: str | None = None
        self.auth_tokens: tuple[str, ...] = ()
        self._read()

    def reload(self) -> None:
        """Read everything again.

        Raises:
            UsageError: Some file cannot be used; then all stays as it was, but for a
                certificate that was fine.
        """
        if self.tls is not None:
            self.tls.reload()
        self._read()

    def _read(self) -> None:
        secret, tokens = self.turn_secret, self._config.auth_tokens
        if self._config.turn_secret_file is not None:
            secret = _read_secret(self._config.turn_secret_file)
        if self._config.auth_token_file is not None:
            file = self._config.auth_token_file
            tokens += parse_tokens(_read_file(file), source=str(file))
        self.turn_secret, self.auth_tokens = secret, tokens


def check_keys(config: ServerConfig) -> None:
    """Check that everything could be read or made, and write nothing.

    Raises:
        UsageError: A file cannot be used, or there is no place for the certificate.
    """
    ServerKeys(config, make=False)


def _read_secret(path: Path) -> str:
    secret = _read_file(path).strip()
    if not secret or not secret.isprintable():
        raise UsageError(
            f"{path} holds no secret.", hint="Write what coturn has as static-auth-secret into it."
        )
    return secret


def _read_file(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_FILE)
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no UTF-8"
        raise UsageError(
            f"{path} cannot be read: {reason}.", hint="Check its path and its permissions."
        ) from exc
