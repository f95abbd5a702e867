"""One open socket of this process: whose it is, and where it is.

Pure. Place in the flow: kept by :mod:`signal_server.reception`, let in by
:mod:`signal_server.entrance`.
"""

from dataclasses import dataclass

from signal_server.storage import Connection, Name


@dataclass(slots=True, eq=False)
class OpenSocket:
    """A socket that is attached to a side, or not yet."""

    connection: Connection
    source: str
    """Of its requests, for admission."""
    room: Name | None = None
    """Set while it is attached, or about to be."""
    has_reported: bool = False
    refusals: int = 0
    """How often it was refused something."""
    is_gone: bool = False
    """It is closed, and that waits behind what came before."""
