"""Consent to send: the other side is asked every few seconds, and silence for long is a no.

A shell: a loop with a clock. Source: RFC 7675 §5.1. aioice counts six failed checks of half a
second each, which a satellite or a full queue fails (aioice issue 58).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

CONSENT_EXPIRY: Final = 30.0  # seconds
CONSENT_INTERVAL: Final = 5.0  # seconds, randomised by 0.8 to 1.2


async def consent_expires(ask: Callable[[], Awaitable[object | None]]) -> None:
    """Ask again and again; return when nothing was answered for CONSENT_EXPIRY seconds.

    Args:
        ask: Returns None when there was no answer.
    """
    loop = asyncio.get_running_loop()
    last_consent = loop.time()
    while loop.time() - last_consent < CONSENT_EXPIRY:
        await asyncio.sleep(CONSENT_INTERVAL * random.uniform(0.8, 1.2))  # noqa: S311 - timing
        if await ask() is not None:
            last_consent = loop.time()
