"""Signals between the two sides, sealed both ways.

A thin shell over a mailbox: plaintext in :mod:`~rtcsend.peer.signals`, boxes in
:mod:`rtcsend.pairing.envelope`. The rendezvous that carries them learns their number, size
and time, and nothing else.
"""

from collections.abc import Mapping
from typing import Protocol

from rtcsend.abort import abort_message
from rtcsend.errors import PeerAborted, PeerProtocolError, RtcsendError
from rtcsend.pairing.envelope import Opener, Sealer
from rtcsend.pairing.keys import Role
from rtcsend.peer.candidate import Candidate
from rtcsend.peer.signals import (
    AbortSignal,
    CandidateSignal,
    DescriptionSignal,
    EndOfCandidates,
    Hello,
    SentSignal,
    Signal,
    parse_signal_untrusted,
    serialize_message,
    serialize_signal,
)
from rtcsend.trace import Step, Where, note


class Mailbox(Protocol):
    """What the rendezvous client offers to this stage."""

    async def send(self, body: bytes) -> None:
        """Queue a body for the other side."""
        ...

    async def receive_body(self) -> bytes | None:
        """Return the next body; None when the other side has left for good."""
        ...


class SealingKeys(Protocol):
    """What of the keys is needed here, of the pairing or of a meeting."""

    @property
    def sealing(self) -> Mapping[Role, bytes]:
        """Key of the boxes that each role seals."""
        ...


class SealedSignalling:
    """Signals in, signals out, sealed both ways."""

    def __init__(self, mailbox: Mailbox, keys: SealingKeys, role: Role) -> None:
        self._mailbox = mailbox
        self._sealer = Sealer(keys.sealing[role])
        self._opener = Opener(keys.sealing[role.peer])

    async def send(self, signal: SentSignal) -> None:
        """Seal and queue a signal."""
        _note("sent", signal)
        await self._mailbox.send(self._sealer.seal(serialize_signal(signal)))

    async def send_abort(self, error: RtcsendError) -> None:
        """Tell the other side that this one ends."""
        await self._mailbox.send(self._sealer.seal(serialize_message(abort_message(error))))

    async def receive(self) -> Signal:
        """Return the next signal.

        Raises:
            PeerAborted: The other side has left the mailbox.
            PeerProtocolError: A box was tampered with, or its contents are malformed.
        """
        body = await self._mailbox.receive_body()
        if body is None:
            raise PeerAborted("The other side has gone away.")
        signal = parse_signal_untrusted(self._opener.open_untrusted(body))
        _note("received", signal)
        return signal

    async def receive_hello(self) -> Hello:
        """Return the other side's greeting, its first signal.

        Raises:
            PeerProtocolError: The first signal is something else.
            RtcsendError: It is an abort: the error with which this side ends.
        """
        match await self.receive():
            case Hello() as hello:
                return hello
            case AbortSignal(error=error):
                raise error
            case _:
                raise PeerProtocolError("The other side did not greet first.")


def _note(direction: str, signal: Signal | SentSignal) -> None:
    """Tell the trace what goes by, as far as it is a step."""
    match signal:
        case Hello():
            note(
                Step.HELLO,
                direction=direction,
                version=signal.agent,
                route=signal.route.value,
                datapath=signal.datapath,
            )
        case DescriptionSignal(description=description):
            note(Step.DESCRIPTION, direction=direction, kind=description.type)
        case EndOfCandidates():
            note(Step.DESCRIPTION, direction=direction, kind="end-of-candidates")
        case CandidateSignal(candidate=Candidate() as candidate):
            related = candidate.related_address
            note(
                Step.CANDIDATE,
                direction=direction,
                type=candidate.type,
                address=Where(candidate.address, candidate.port),
                related=None if related is None else Where(related, candidate.related_port or 9),
            )
        case _:
            return
