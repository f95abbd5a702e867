"""One person is asked about many who come beside each other: about one after the other."""

import asyncio

from rtcsend.events import Proposal
from rtcsend.options import Conflict, Questions


class OneByOne:
    """A person who is asked about one receiver, or one known machine, after the other.

    Args:
        questions: Whoever answers.
    """

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._lock = asyncio.Lock()

    async def accept(self, proposal: Proposal) -> bool:
        """Return whether what is proposed is wanted."""
        async with self._lock:
            return await self._questions.accept(proposal)

    async def conflict(self, name: str) -> Conflict:
        """Return what to do about an existing target."""
        async with self._lock:
            return await self._questions.conflict(name)

    async def verification_matches(self, verification: str) -> bool:
        """Return whether the two people see the same string."""
        async with self._lock:
            return await self._questions.verification_matches(verification)
