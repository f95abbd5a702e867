"""What all machines of the doctor have in common, and what drives them.

A machine is given what came and the time; it says what is to be sent, where from, and when it
wants to be asked again. A *place* is one of the sockets or connections that the shell holds
for it.

Pure. Place in the flow: between the machines and :mod:`rtcsend.doctor.links`.
"""

from dataclasses import dataclass
from typing import Protocol

from rtcsend.doctor.codec import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """Something to send."""

    place: int
    data: bytes
    to: Endpoint | None = None
    """None: where the connection goes."""


class Machine(Protocol):
    """One call that changes its state, then :meth:`to_send`, then a timer at :meth:`get_timer`."""

    def receive_untrusted(
        self, data: bytes, *, place: int, source: Endpoint | None, now: float
    ) -> None:
        """Take what came; raises nothing, whatever it is."""
        ...

    def to_send(self, *, now: float) -> list[Outgoing]:
        """Return what is to be sent now; notices what has taken too long, too."""
        ...

    def get_timer(self) -> float | None:
        """Return when to call :meth:`to_send` next; None: after something came."""
        ...
