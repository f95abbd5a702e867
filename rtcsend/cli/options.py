"""The options that send and receive share, and what they mean together.

The annotated types are what typer builds its parser from; each help text stands once. The
functions below turn what was typed into :mod:`rtcsend.options`, and refuse what
contradicts itself, before anybody is contacted.

Place in the flow: the first thing that runs. docs/cli.md has the text for people.
"""

import logging
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Annotated, Final, TypedDict

import typer

from rtcsend.cli.figures import parse_size
from rtcsend.cli.paths import path_for
from rtcsend.code.code import MAX_WORDS, MIN_WORDS
from rtcsend.errors import UsageError
from rtcsend.options import DEFAULT_TIMEOUT, Conflict, RoutePolicy
from rtcsend.redaction import replace_addresses
from rtcsend.rendezvous.messages import AUTH

SERVER_ENVIRONMENT: Final = "RTCSEND_SERVER"
TOKEN_ENVIRONMENT: Final = "RTCSEND_TOKEN"  # noqa: S105 - and no option, which all can read
MAX_TIMEOUT: Final = 30 * 86400.0  # seconds; a month; beyond some 24 days select() takes its own

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help=f"Rendezvous server, like wss://host/v1 (or {SERVER_ENVIRONMENT}).",
    ),
]
Ice = Annotated[
    list[str] | None,
    typer.Option(
        "--ice",
        metavar="URL",
        help="STUN or TURN server, beside those of the rendezvous: stun:HOST:PORT, "
        "turn:USER:PASSWORD@HOST:PORT?transport=udp|tcp, turns:... (repeatable).",
    ),
]
RelayOnly = Annotated[bool, typer.Option("--relay-only", help="Go through a TURN relay only.")]
DirectOnly = Annotated[bool, typer.Option("--direct-only", help="Never go through a relay.")]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify", help="Show a short string that both people compare; the sender confirms."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print results and errors, and nothing else.")
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        metavar="",
        help="Log what happens to standard error; twice: in detail, with addresses.",
    ),
]
Trace = Annotated[
    Path | None,
    typer.Option(
        "--trace",
        metavar="FILE",
        parser=path_for("--trace"),
        help="Write the steps with their times to FILE, for bug reports: no secrets, no addresses.",
    ),
]
TraceAddresses = Annotated[
    bool, typer.Option("--trace-addresses", help="Show addresses in the trace.")
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout", metavar="SECONDS", help="How long to wait for the other side, in all."
    ),
]


def _be_plain(value: bool) -> bool:
    """Have everything that draws believe that the terminal cannot move its cursor."""
    if value:
        os.environ["TERM"] = "dumb"
    return value


NoProgress = Annotated[bool, typer.Option("--no-progress", help="Show no progress.")]
Plain = Annotated[
    bool,
    typer.Option(
        "--plain",
        callback=_be_plain,
        help="Move nothing on the screen: a line for each state, and progress now and then.",
    ),
]
Limit = Annotated[
    str | None,
    typer.Option("--limit", metavar="RATE", help="Bytes per second at most, like 500k or 10M."),
]
CodeFile = Annotated[
    Path | None,
    typer.Option(
        "--code-file",
        metavar="FILE",
        parser=path_for("--code-file"),
        help="Read the code from a file.",
    ),
]
Words = Annotated[
    int,
    typer.Option(
        "--words", metavar="N", min=MIN_WORDS, max=MAX_WORDS, help="How many words to draw."
    ),
]


def check_words(ctx: typer.Context, *, is_drawn: bool) -> None:
    """Refuse ``--words`` where no code is drawn; a default of the configuration may stand.

    Raises:
        UsageError: It was typed all the same.
    """
    source = ctx.get_parameter_source("words")
    if not is_drawn and source is not None and source.name == "COMMANDLINE":
        raise UsageError(
            "--words is for a code that is drawn, and here none is.",
            hint="Leave out --words, or what gives the code or stands for it.",
        )


class CommonValues(TypedDict):
    """The arguments of :class:`rtcsend.options.CommonOptions`."""

    server: str | None
    ice: tuple[str, ...]
    route: RoutePolicy
    timeout: float
    verify: bool
    limit: int | None


def common_values(
    *,
    server: str | None,
    ice: list[str] | None,
    relay_only: bool,
    direct_only: bool,
    timeout: float = DEFAULT_TIMEOUT,
    verify: bool,
    limit: str | None,
) -> CommonValues:
    """Return what both sides' options have in common, checked.

    Raises:
        UsageError: Something is out of range, or contradicts itself.
    """
    if relay_only and direct_only:
        raise UsageError(
            "--relay-only and --direct-only exclude each other.", hint="Give one of them, or none."
        )
    if not 0 < timeout <= MAX_TIMEOUT or math.isnan(timeout):
        raise UsageError(
            f"--timeout takes more than 0 seconds and at most 30 days, not {timeout:g}.",
            hint="Write it in seconds, like 90 or 0.5.",
        )
    route = RoutePolicy.ANY
    if relay_only or direct_only:
        route = RoutePolicy.RELAY_ONLY if relay_only else RoutePolicy.DIRECT_ONLY
    return CommonValues(
        server=server or os.environ.get(SERVER_ENVIRONMENT) or None,
        ice=tuple(ice or ()),
        route=route,
        timeout=timeout,
        verify=verify,
        limit=None if limit is None else parse_size(limit.removesuffix("/s"), option="--limit"),
    )


def token_of(environment: Mapping[str, str]) -> str | None:
    """Return the token for the rendezvous server.

    Raises:
        UsageError: It is of a form that no server can have asked for.
    """
    token = environment.get(TOKEN_ENVIRONMENT, "").strip()
    if not token:
        return None
    if not AUTH.fullmatch(token):
        raise UsageError(
            f"{TOKEN_ENVIRONMENT} cannot be a token: it is too long, or has blanks in it.",
            hint="Set it to the line that the server's operator gave out.",
        )
    return token


def conflict_policy(*, overwrite: bool, rename: bool, skip: bool) -> Conflict:
    """Return what to do when the target exists.

    Raises:
        UsageError: Two answers were given.
    """
    given = [
        policy
        for policy, chosen in (
            (Conflict.OVERWRITE, overwrite),
            (Conflict.RENAME, rename),
            (Conflict.SKIP, skip),
        )
        if chosen
    ]
    if len(given) > 1:
        names = " and ".join(f"--{policy.value}" for policy in given)
        raise UsageError(f"{names} exclude each other.", hint="Give one of them, or none.")
    return given[0] if given else Conflict.ASK


def set_up_logging(verbosity: int) -> None:
    """Send our own log to standard error: nothing, INFO without addresses (1) or DEBUG (2).

    The packages below us stay silent: their debug logs hold credentials.
    """
    logger = logging.getLogger("rtcsend")
    if verbosity <= 0 or any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        return
    handler = _StderrHandler()
    formatter = logging.Formatter if verbosity > 1 else _DiscreetFormatter
    handler.setFormatter(
        formatter("%(asctime)s.%(msecs)03d %(name)s: %(message)s", datefmt="%H:%M:%S")
    )
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbosity == 1 else logging.DEBUG)
    logger.propagate = False


class _DiscreetFormatter(logging.Formatter):
    """Leaves addresses out, also those in the text of an error that nobody foresaw."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text."""
        return replace_addresses(super().format(record), lambda _address: "(address)")


class _StderrHandler(logging.StreamHandler[IO[str]]):
    """Writes to standard error as it is now: rich puts a proxy there while a line moves."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        self.stream = sys.stderr
        super().emit(record)
