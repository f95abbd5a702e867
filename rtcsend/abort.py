"""How one side tells the other that it stops, and what the other makes of it.

Pure. An abort carries a slug of :mod:`rtcsend.errors` and a sentence. It travels sealed
through the rendezvous before the DataChannels are open, and by both ways afterwards, so
that it arrives at once also when the data path is full or dead.
"""

from typing import Final

from rtcsend.errors import (
    SOMEBODY_BETWEEN,
    CannotRead,
    CannotWrite,
    ConnectionLost,
    Declined,
    DigestMismatch,
    IncompatiblePeer,
    Interrupted,
    NoRoute,
    PeerAborted,
    PeerProtocolError,
    RtcsendError,
    TargetExists,
    Terminated,
    UnsafePath,
    WrongCode,
)
from rtcsend.strict_json import JsonObject, take_str

MAX_REASON_LENGTH: Final = 500  # characters
_MAX_SLUG_LENGTH: Final = 64

_SAME_ON_BOTH_SIDES: Final[dict[str, type[RtcsendError]]] = {
    error.slug: error
    for error in (
        CannotWrite,
        ConnectionLost,
        Declined,
        DigestMismatch,
        IncompatiblePeer,
        NoRoute,
    )
}
"""Ends that both sides report with the same exit code: they are nobody's private affair."""

_DECLINED_BY_CIRCUMSTANCE: Final = frozenset({TargetExists.slug, UnsafePath.slug})
_SEE_THERE: Final = "Look at what the receiver says, and run both commands again."
_STOPPED: Final = frozenset({Interrupted.slug, Terminated.slug})


def abort_message(error: RtcsendError) -> JsonObject:
    """Return the message that tells the other side of ``error``."""
    return {
        "type": "abort",
        "code": error.slug,
        "reason": error.for_peer[:MAX_REASON_LENGTH],
    }


def error_from_abort_untrusted(message: JsonObject) -> RtcsendError:
    """Return the error with which this side ends when the other has sent ``message``.

    The sentence may quote the other side: it must be escaped before a terminal sees it.

    Raises:
        PeerProtocolError: The message is malformed.
    """
    slug = take_str(message, "code", max_length=_MAX_SLUG_LENGTH)
    reason = " ".join(take_str(message, "reason", max_length=MAX_REASON_LENGTH).split())
    error = _error(slug, reason)
    error.told_by_peer = True
    return error


def _error(slug: str, reason: str) -> RtcsendError:
    if slug in _STOPPED:
        return PeerAborted("The other side was stopped by its user.")
    if slug == PeerProtocolError.slug:
        return PeerProtocolError(f"The other side found our messages at fault: {reason}")
    if slug in _DECLINED_BY_CIRCUMSTANCE:
        return Declined(f"The receiver did not take it: {reason}")
    if slug == CannotRead.slug:
        return PeerAborted(f"The sender stopped: {reason}")
    if slug == CannotWrite.slug:
        return CannotWrite(reason or "The other side stopped.", hint=_SEE_THERE)
    if slug == WrongCode.slug:  # not of the words: who has those wrong cannot say anything sealed
        return WrongCode(reason or "The other side stopped.", hint=SOMEBODY_BETWEEN)
    if error := _SAME_ON_BOTH_SIDES.get(slug):
        return error(reason or "The other side stopped.")
    return PeerAborted(f"The other side stopped: {reason}")
