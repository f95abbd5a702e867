"""``rtcsend`` with channels at a TURN server that are renewed each second, or no renewing at all.

python -m tests.e2e.lifetimes send …
python -m tests.e2e.lifetimes --refused send …

How long an allocation lives a server says, and how long a permission and a channel do RFC 8656.
"""

import sys
from typing import NoReturn

from aioice import stun

from rtcsend.cli.main import run
from rtcsend.peer import turn_client

TIMES = {"CHANNEL_REFRESH": 1.0}  # seconds


async def refuse(_client: object, _end: float) -> NoReturn:
    """Stand in for a server that takes the credential no more."""
    message = stun.Message(stun.Method.REFRESH, stun.Class.ERROR)
    message.attributes["ERROR-CODE"] = (401, "Unauthorized")
    raise stun.TransactionFailed(message)


if __name__ == "__main__":
    vars(turn_client).update(TIMES)
    if sys.argv[1] == "--refused":
        del sys.argv[1]
        turn_client.TurnUdpClient._refresh_before = refuse  # type: ignore[method-assign,assignment]
    run()
