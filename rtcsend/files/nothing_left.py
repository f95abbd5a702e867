"""What a sink says where an earlier run leaves nothing: of a stream, a text, a pipe [pure]."""

import abc
from collections.abc import AsyncGenerator

from rtcsend.errors import InternalError


class NothingLeft(abc.ABC):
    """The part of a sink that is about what was there before."""

    blocks = 0
    """An earlier run leaves nothing."""

    @property
    @abc.abstractmethod
    def written(self) -> int:
        """Position before which everything is in place."""

    async def survey(self, first: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield nothing."""
        if first < self.blocks:
            yield first, b""

    async def keep(self, position: int) -> None:
        """Refuse: nothing was there.

        Raises:
            InternalError: Unless it is the position that is reached anyhow.
        """
        if position != self.written:
            raise InternalError("What is not there was to be kept.")
