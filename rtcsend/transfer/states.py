"""What each side may say and hear, and when: both tables of legal moves. Pure.

They are drawn in docs/transfer-protocol.md §9, and tests hold the two together. ``ping`` and
``abort`` are not in them: they are legal in all states.
"""

import enum
from collections.abc import Mapping
from typing import Final


class Move(enum.Enum):
    """Something that is heard (◂) or said (▸); the values are those of the documentation."""

    @property
    def is_heard(self) -> bool:
        """Whether the other side makes it."""
        return str(self.value).startswith("◂")


class SenderState(enum.Enum):
    """Where the sending side stands."""

    PROPOSED = "proposed"
    SENDING = "sending"
    ENDED = "ended"
    COMPLETE = "complete"
    CLOSED = "closed"


class SenderMove(Move):
    """What a sender says and hears."""

    ENTRIES = "entries ▸"
    SKIP = "◂ skip"
    ACCEPTED = "◂ accept"
    SKIPPED = "◂ accept of nothing"
    HAVE = "◂ have"
    FRAME = "frame ▸"
    CHECKING = "checking ▸"
    WRITTEN = "◂ written"
    END = "end ▸"
    COMPLETE = "◂ complete"
    BYE = "bye ▸"


SENDER_TRANSITIONS: Final[Mapping[tuple[SenderState, SenderMove], SenderState]] = {
    (SenderState.PROPOSED, SenderMove.ENTRIES): SenderState.PROPOSED,
    (SenderState.PROPOSED, SenderMove.SKIP): SenderState.PROPOSED,
    (SenderState.PROPOSED, SenderMove.ACCEPTED): SenderState.SENDING,
    (SenderState.PROPOSED, SenderMove.SKIPPED): SenderState.COMPLETE,
    (SenderState.SENDING, SenderMove.HAVE): SenderState.SENDING,
    (SenderState.SENDING, SenderMove.FRAME): SenderState.SENDING,
    (SenderState.SENDING, SenderMove.CHECKING): SenderState.SENDING,
    (SenderState.SENDING, SenderMove.WRITTEN): SenderState.SENDING,
    (SenderState.SENDING, SenderMove.END): SenderState.ENDED,
    (SenderState.ENDED, SenderMove.WRITTEN): SenderState.ENDED,
    (SenderState.ENDED, SenderMove.COMPLETE): SenderState.COMPLETE,
    (SenderState.COMPLETE, SenderMove.BYE): SenderState.CLOSED,
}


class ReceiverState(enum.Enum):
    """Where the receiving side stands."""

    AWAITING_PROPOSAL = "awaiting proposal"
    LISTING = "listing"
    DECIDING = "deciding"
    RECEIVING = "receiving"
    VERIFYING = "verifying"
    COMPLETE = "complete"
    CLOSED = "closed"


class ReceiverMove(Move):
    """What a receiver says and hears."""

    PROPOSAL = "◂ proposal"
    REPEATED = "◂ proposal, repeated"
    ENTRIES = "◂ entries"
    LISTED = "◂ the last entries"
    SKIP = "skip ▸"
    ACCEPT = "accept ▸"
    SKIP_ALL = "accept of nothing ▸"
    HAVE = "have ▸"
    FRAME = "◂ frame"
    CHECKING = "◂ checking"
    WRITTEN = "written ▸"
    END = "◂ end"
    ALL = "◂ end and the last byte, in any order"
    COMPLETE = "complete ▸"
    BYE = "◂ bye"


RECEIVER_TRANSITIONS: Final[Mapping[tuple[ReceiverState, ReceiverMove], ReceiverState]] = {
    (ReceiverState.AWAITING_PROPOSAL, ReceiverMove.PROPOSAL): ReceiverState.LISTING,
    (ReceiverState.AWAITING_PROPOSAL, ReceiverMove.REPEATED): ReceiverState.DECIDING,
    (ReceiverState.LISTING, ReceiverMove.ENTRIES): ReceiverState.LISTING,
    (ReceiverState.LISTING, ReceiverMove.LISTED): ReceiverState.DECIDING,
    (ReceiverState.DECIDING, ReceiverMove.SKIP): ReceiverState.DECIDING,
    (ReceiverState.DECIDING, ReceiverMove.ACCEPT): ReceiverState.RECEIVING,
    (ReceiverState.DECIDING, ReceiverMove.SKIP_ALL): ReceiverState.COMPLETE,
    (ReceiverState.RECEIVING, ReceiverMove.HAVE): ReceiverState.RECEIVING,
    (ReceiverState.RECEIVING, ReceiverMove.FRAME): ReceiverState.RECEIVING,
    (ReceiverState.RECEIVING, ReceiverMove.CHECKING): ReceiverState.RECEIVING,
    (ReceiverState.RECEIVING, ReceiverMove.WRITTEN): ReceiverState.RECEIVING,
    (ReceiverState.RECEIVING, ReceiverMove.END): ReceiverState.RECEIVING,
    (ReceiverState.RECEIVING, ReceiverMove.ALL): ReceiverState.VERIFYING,
    (ReceiverState.VERIFYING, ReceiverMove.WRITTEN): ReceiverState.VERIFYING,
    (ReceiverState.VERIFYING, ReceiverMove.COMPLETE): ReceiverState.COMPLETE,
    (ReceiverState.COMPLETE, ReceiverMove.BYE): ReceiverState.CLOSED,
}
