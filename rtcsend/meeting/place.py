"""Where the rendezvous is, which may move while two sides need it.

Place in the flow: known from the code or the options on; each meeting goes there.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from rtcsend.errors import RtcsendError

SERVER_TIMEOUT: Final = 6.0  # seconds for the rendezvous to answer; then it is looked for anew
FOUND_TIMEOUT: Final = 2.0  # seconds, where it can be looked for: it may have another address


class Place:
    """Where the rendezvous is.

    Args:
        url: Where it was so far.
        look_again: Finds it when it no longer answers there; None: it has no other place.
    """

    def __init__(self, url: str, *, look_again: Callable[[], Awaitable[str]] | None = None) -> None:
        self.url = url
        self.permit: str | None = None
        """What it wants to see of those who meet there; it comes with the other side."""
        self._look_again = look_again

    @property
    def is_near(self) -> bool:
        """Whether it was found on this machine or in the LAN, so that no proxy leads to it."""
        return self._look_again is not None

    @property
    def patience(self) -> float:
        """Seconds to wait for an answer there."""
        return SERVER_TIMEOUT if self._look_again is None else FOUND_TIMEOUT

    async def missed(self) -> None:
        """It has not answered: look for it, as far as there is a way to."""
        if self._look_again is not None:
            with suppress(RtcsendError):
                self.url = await self._look_again()
