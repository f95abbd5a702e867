"""What an association is told when it is made.

Pure data: entropy comes in here, as does the congestion controller.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rtcsend.datapath.congestion.base import CongestionController

OUR_MAX_PACKET: Final = 15_900  # bytes; what a DTLS record holds, and we read
FOREIGN_MAX_PACKET: Final = 1_400  # bytes; aiortc reads records of 1,500, Chrome of 2,048


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationConfig:
    """How an association behaves.

    Attributes:
        tag: Our verification tag, random and not zero.
        initial_tsn: Random.
        cookie: Random bytes.
        own_peer: The other side is this very code: it takes large packets, and a SACK a batch.
        max_message_size: Bytes of a message that we take.
        controller: Makes the congestion controller, given ``mss`` and ``now``.
        max_packet: Bytes of the largest packet to send, below what the other side takes.
    """

    tag: int
    initial_tsn: int
    cookie: bytes
    own_peer: bool
    max_message_size: int
    controller: Callable[[int, float], CongestionController]
    max_packet: int = OUR_MAX_PACKET

    @property
    def packet_limit(self) -> int:
        """Bytes of the largest packet to send, whatever the path takes."""
        return min(OUR_MAX_PACKET if self.own_peer else FOREIGN_MAX_PACKET, self.max_packet)
