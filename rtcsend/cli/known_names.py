"""The names of the machines that this one knows, for the Tab key and for the commands.

Place in the flow: between the commands and :mod:`rtcsend.known.store`.
"""

from contextlib import suppress
from typing import TYPE_CHECKING

from rtcsend.errors import RtcsendError

if TYPE_CHECKING:
    from rtcsend.known.store import Store


def complete_names(incomplete: str) -> list[str]:
    """Return the names that the Tab key offers; none where the keys cannot be read."""
    with suppress(RtcsendError, OSError):
        names = [machine.name for machine in open_store().machines()]
        return [name for name in names if name.startswith(incomplete)]
    return []


def open_store() -> "Store":
    """Return what this machine keeps of itself and of others."""
    from rtcsend.known.store import Store  # noqa: PLC0415 - loads cryptography

    return Store()
