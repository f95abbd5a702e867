"""What a sender's bytes are held against: how many were proposed, and their digest [pure]."""

from rtcsend.errors import Declined, DigestMismatch, PeerProtocolError


def check_room(end: int, *, size: int, name: str = "") -> None:
    """Refuse more than was proposed.

    Args:
        end: Position behind the last byte that has come.
        size: Bytes that were proposed.
        name: What to call it; empty: all of it.

    Raises:
        PeerProtocolError: It is more.
    """
    if end > size:
        raise PeerProtocolError(f"The sender sent more{_of(name)} than it proposed.")


def check_whole(end: int, *, size: int, name: str = "") -> None:
    """Refuse less than was proposed; arguments are those of :func:`check_room`.

    Raises:
        PeerProtocolError: It is less.
    """
    if end != size:
        raise PeerProtocolError(f"The sender sent less{_of(name)} than it proposed.")


def check_length(length: int, *, limit: int | None, name: str) -> None:
    """Refuse a stream that is longer than is accepted: ``--max-size`` while it comes.

    Args:
        length: Bytes so far.
        limit: At most; None: as many as come.
        name: What to call it.

    Raises:
        Declined: It is longer.
    """
    if limit is not None and length > limit:
        raise Declined(
            f"{name} has more than the {limit} bytes that are accepted.",
            hint="Give a larger --max-size, or none.",
        )


def check_digest(found: str, expected: str, *, name: str) -> None:
    """Refuse other bytes than the sender's.

    Args:
        found: BLAKE3 of what arrived, in lower-case hexadecimal.
        expected: What the sender says.
        name: What to call it, at the beginning of a sentence.

    Raises:
        DigestMismatch: They are others.
    """
    if found != expected:
        raise DigestMismatch(f"{name} arrived damaged: its BLAKE3 digest is wrong.")


def _of(name: str) -> str:
    return f" of {name}" if name else ""
