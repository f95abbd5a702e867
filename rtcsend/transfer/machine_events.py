"""What the machines of both sides tell their shells."""

from dataclasses import dataclass

from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.selection import Selection
from rtcsend.manifest.sums import FileSums
from rtcsend.transfer.messages import ProposalMessage

# The sending side


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The receiver wants it, from ``start`` on; ``limit`` is the lower one of both sides'."""

    selection: Selection
    start: int
    """In bytes."""
    limit: int
    """In bytes per second; 0 for none."""
    zstd: bool = False
    """Whether the receiver takes packed frames."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """The receiver has it already, and wants nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The receiver has written this many bytes of what this connection brought."""

    bytes: int


@dataclass(frozen=True, slots=True)
class DigestsCame:
    """The digests of some blocks that the receiver has are here."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The receiver has verified, synced and renamed everything."""


SenderEvent = Accepted | Skipped | Written | DigestsCame | Completed


# The receiving side


@dataclass(frozen=True, slots=True)
class ProposalBegan:
    """The sender offers something; its entries follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """The sender offers this: all of it is here, and adds up."""

    proposal: ProposalMessage
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What comes before ``position``, and after the data so far, is kept as it is."""

    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AllReceived:
    """Every byte has come or is kept; ``digest`` is what the sender says they add up to."""

    digest: str
    sums: FileSums | None = None
    """Of many files, if the sender says them."""


@dataclass(frozen=True, slots=True)
class SenderKnows:
    """The sender has seen the final acknowledgement."""


ReceiverEvent = ProposalBegan | Proposed | Kept | AllReceived | SenderKnows
