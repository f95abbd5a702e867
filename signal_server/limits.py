"""What one source, one socket, one mailbox and the whole server may take.

Pure: numbers, checked when they are built. Place in the flow: part of
:class:`signal_server.config.ServerConfig`; kept by :mod:`signal_server.admission` (sources),
:mod:`signal_server.mailbox` (mailboxes) and :mod:`signal_server.server` (sockets).
Source: docs/rendezvous-protocol.md, "Limits"; docs/operations.md has the same table.
"""

import math
from dataclasses import dataclass, fields

from rtcsend.errors import UsageError
from signal_server.messages import MAX_FRAME
from signal_server.sources import source_of

__all__ = ["Limits", "source_of"]

NEEDED = ("handshake_seconds", "max_sources")  # without them nobody comes in, or nobody is limited
MIN_FRAME = 4_096  # bytes; a sealed offer with a few candidates has to fit
FRAME_OVERHEAD = 64  # bytes of a frame around its base64url: RFC 6455's header, JSON's object
SPARE_QUEUE = 2**20  # bytes of frames besides the other side's messages: presence, pongs


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All limits of a server; the defaults suit a small public one.

    Raises:
        UsageError: A number that is negative, or none (on construction).
    """

    max_frame: int = MAX_FRAME
    """Bytes of one frame; the protocol has no larger ones."""
    max_messages: int = 1_000
    """Messages kept for one direction of a mailbox; a session sends a few dozen."""
    max_bytes: int = 2**20
    """Bytes of bodies kept for one direction of a mailbox."""
    max_mailboxes: int = 10_000
    nameplate_sparsity: float = 0.01
    """The largest part of all nameplates of one length that may be in use, before longer ones
    are drawn."""
    max_sockets: int = 20_000
    max_total_bytes: int = 256 * 2**20
    """Bytes of bodies kept in all: bounds the memory, whatever the other limits are."""
    max_total_queued_bytes: int = 256 * 2**20
    """Bytes of frames that wait for slow readers, in all."""

    unclaimed_seconds: float = 24 * 3600.0
    """How long a nameplate waits for the other side while its owner is attached."""
    away_seconds: float = 120.0
    """How long a side without a socket keeps its place."""
    ended_seconds: float = 120.0
    """How long what the side that left has said is kept for the other one."""
    unattached_seconds: float = 120.0
    """How long a socket may stay without asking for a mailbox."""
    handshake_seconds: float = 10.0
    """For TLS and the HTTP request; longer is a client that only holds a socket."""

    sockets_per_source: int = 200
    """Open at once. A company behind one address is one source."""
    mailboxes_per_source: int = 200
    """Opened by one source, and kept: also those that nobody has a socket in for a while, and those
    that have ended, as long as last words are kept."""
    new_sockets_per_minute: int = 600
    nameplates_per_minute: int = 60
    """New ones of one source."""
    claims_per_minute: int = 120
    """New ones of one source, failed or not."""
    meetings_per_minute: int = 600
    """Of one source: who has lost the other side comes to a meeting every few seconds."""
    frames_per_minute: int = 12_000
    """Of one source, in all of its sockets; a frame counts once more for each KiB. Who says more
    is read more slowly."""
    failed_claims: int = 10
    """Failed claims that a source has free: people mistype. Then each one costs a delay."""
    failed_claim_seconds: float = 5.0
    """The first delay; each further failure doubles it."""
    failed_claim_max_seconds: float = 900.0
    """The longest delay."""
    forgive_seconds: float = 60.0
    """After so long one failed claim is forgotten: what a patient guesser gets is one try
    a minute."""
    max_sources: int = 10_000
    """Sources remembered for each of these; the one heard of longest ago is forgotten first."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value >= 0 and math.isfinite(value)):
                raise UsageError(
                    f"The limit {field.name} cannot be {value}.", hint="Give a number from 0 up."
                )
        for name in NEEDED:
            if not getattr(self, name):
                raise UsageError(f"The limit {name} cannot be 0.", hint="Give more than 0.")
        if not MIN_FRAME <= self.max_frame <= MAX_FRAME:
            raise UsageError(
                f"The limit max_frame cannot be {self.max_frame}.",
                hint=f"Give {MIN_FRAME} to {MAX_FRAME} bytes.",
            )
        if self.max_total_queued_bytes < self.max_queued_bytes:
            raise UsageError(
                "A full mailbox, which a side that comes back is sent at once, takes up to "
                f"{self.max_queued_bytes} bytes and does not fit max_total_queued_bytes "
                f"({self.max_total_queued_bytes}).",
                hint="Give more max_total_queued_bytes, or less max_bytes and max_messages.",
            )

    @property
    def absent_seconds(self) -> float:
        """For how long anything is kept of a mailbox in which nobody has a socket."""
        return max(self.away_seconds, self.ended_seconds)

    @property
    def max_queued_bytes(self) -> int:
        """Bytes of frames that wait for one reader before its socket is closed.

        A side that comes back is sent all that it has missed at once: a full mailbox fits.
        """
        return self.max_bytes * 4 // 3 + self.max_messages * FRAME_OVERHEAD + SPARE_QUEUE
