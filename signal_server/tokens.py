"""The tokens of those who may have a mailbox, as a file holds them.

Pure. Source: docs/operations.md, "Configuration".
"""

import re
from typing import Final

from rtcsend.errors import UsageError
from signal_server.messages import MAX_AUTH

_AUTH: Final = re.compile(rf"[!-~]{{1,{MAX_AUTH}}}", re.ASCII)


def parse_tokens(text: str, *, source: str) -> tuple[str, ...]:
    """Return the tokens of a file, one a line; blank lines and ``#`` lines do not count.

    Raises:
        UsageError: There is none, or one of another form.
    """
    lines = [line.strip() for line in text.splitlines()]
    tokens = tuple(line for line in lines if line and not line.startswith("#"))
    if not tokens or not all(_AUTH.fullmatch(token) for token in tokens):
        raise UsageError(
            f"{source} holds no token, or one that cannot be used.",
            hint=f"Write one a line, 1 to {MAX_AUTH} printable ASCII characters without blanks.",
        )
    return tokens
