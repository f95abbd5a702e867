"""The entries that follow a proposal, a page at a time, and which of them the receiver wants.

Pure. Place in the flow: a part of :mod:`rtcsend.transfer.sender`, until the receiver accepts.
Source: docs/transfer-protocol.md.
"""

from array import array
from collections.abc import Sequence

from rtcsend.errors import PeerProtocolError
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.selection import Selection
from rtcsend.transfer.messages import AcceptMessage, EntriesMessage


class Listing:
    """What one connection says of the entries, and hears of them.

    Args:
        manifest: The entries.
        selection: What the receiver wanted over an earlier connection; None if it did not say,
            and the entries have to be told.
    """

    def __init__(self, manifest: Manifest, *, selection: Selection | None) -> None:
        self._manifest = manifest
        self._next_page = 0 if selection is None else manifest.pages
        self._skipped = array("I")  # ranges of entries: first, end (exclusive), first, ...
        self.selection = selection

    @property
    def has_pages(self) -> bool:
        """Whether there is more to say."""
        return self._next_page < self._manifest.pages

    def next_page(self) -> EntriesMessage:
        """Return the next page, made now: many would take much memory."""
        first, page = self._manifest.page(self._next_page)
        self._next_page += 1
        return EntriesMessage(first=first, page=page)

    def check_told(self) -> None:
        """Make sure that the receiver has heard of all entries.

        Raises:
            PeerProtocolError: It answers before.
        """
        if self.has_pages:
            raise PeerProtocolError("The receiver answers what it has not heard to its end.")

    def skip_untrusted(self, ranges: Sequence[int]) -> None:
        """Leave out entries: first, end (exclusive), first, ...

        Raises:
            PeerProtocolError: There are no such entries, or it is not their turn.
        """
        self.check_told()
        is_next = not self._skipped or self._skipped[-1] < ranges[0]
        if not is_next or ranges[-1] > len(self._manifest):
            raise PeerProtocolError("The receiver skips what is not there, or in disorder.")
        self._skipped.extend(ranges)

    def selected_untrusted(self, message: AcceptMessage) -> Selection:
        """Return what the receiver wants: the same as before, if it was asked before.

        Raises:
            PeerProtocolError: It does not add up, or is something else than before.
        """
        ranges = zip(self._skipped[::2], self._skipped[1::2], strict=True)
        selection = Selection(self._manifest, ranges)
        self._skipped = array("I")
        if (selection.entries, selection.bytes) != (message.entries, message.bytes):
            raise PeerProtocolError("What the receiver accepts does not add up.")
        if self.selection not in (None, selection):
            raise PeerProtocolError("The receiver wants something else than before.")
        return self.selection or selection
