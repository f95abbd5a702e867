"""What the server logs: one event a line, as text or as JSON.

Neither has bodies, nameplates, tokens, sides or mailboxes in it, since nothing that is logged
has. Addresses come in as the field ``address``, and are left out unless the operator asks for
them.

Shell: configures logging. Source: docs/operations.md, "Logs".
"""

import datetime
import json
import logging
import sys
from typing import Final

from signal_server.config import LogFormat

ADDRESS: Final = "address"
_FIELDS: Final = "rtcsend"  # under which a record carries its fields

logger = logging.getLogger("rtcsend.rendezvous.server")


def log(level: int, event: str, /, **fields: object) -> None:
    """Log an event with its fields; cheap where nobody listens.

    Args:
        level: Of :mod:`logging`.
        event: A few words, always the same for the same thing.
        fields: Numbers and short texts; ``address`` is shown only where that is wanted.
    """
    if logger.isEnabledFor(level):
        logger.log(level, event, extra={_FIELDS: fields}, exc_info=fields.pop("exc_info", None))  # type: ignore[arg-type] # as logging takes it


def set_up_logging(*, log_format: LogFormat, addresses: bool, verbose: bool) -> None:
    """Send the server's log to standard error.

    Args:
        log_format: Text for people, or an object of JSON a line.
        addresses: Whether to show where clients come from.
        verbose: Also what every socket does.
    """
    handler = logging.StreamHandler(sys.stderr)
    formatter = _JsonFormatter if log_format == "json" else _TextFormatter
    handler.setFormatter(formatter(addresses=addresses))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)


class _Formatter(logging.Formatter):
    def __init__(self, *, addresses: bool) -> None:
        super().__init__()
        self._addresses = addresses

    def _fields(self, record: logging.LogRecord) -> dict[str, object]:
        fields: dict[str, object] = getattr(record, _FIELDS, {})
        return {name: value for name, value in fields.items() if self._addresses or name != ADDRESS}


class _TextFormatter(_Formatter):
    """``2026-11-21T14:00:00.123Z INFO listening port=8765``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a line, and a traceback where there is one."""
        fields = "".join(f" {name}={value}" for name, value in self._fields(record).items())
        line = f"{_time(record)} {record.levelname} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _JsonFormatter(_Formatter):
    """``{"time":"…","level":"info","event":"listening","port":8765}``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return an object in one line."""
        values: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **self._fields(record),
        }
        if record.exc_info:
            values["traceback"] = self.formatException(record.exc_info)
        return json.dumps(values, separators=(",", ":"), default=str)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
