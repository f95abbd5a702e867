"""What an association tells: each of these is handed out once, in order.

A message is one as well: :class:`~rtcsend.datapath.sctp.inbound.Message`.
"""

from dataclasses import dataclass

from rtcsend.datapath.sctp.inbound import Message


@dataclass(frozen=True, slots=True)
class Established:
    """Messages may go."""


@dataclass(frozen=True, slots=True)
class StreamsReset:
    """The other side has closed channels. Source: RFC 6525 §4.1, RFC 8831 §6.7."""

    streams: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Closed:
    """The association is over."""

    reason: str | None
    """One sentence; None after our own abort."""
    is_breach: bool = False
    """Whether it is the other side's fault: another association would end as this one did."""


AssociationEvent = Established | Message | StreamsReset | Closed
