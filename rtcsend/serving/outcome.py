"""What became of each receiver, and what that makes together. Pure.

Place in the flow: gathered by :mod:`rtcsend.serving.several`.
Source: docs/cli.md, "Several receivers".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rtcsend.errors import RtcsendError
from rtcsend.events import Done


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one receiver: exactly one of ``done`` and ``error``."""

    receiver: int
    done: Done | None = None
    error: RtcsendError | None = None


def combined(outcomes: Sequence[Outcome]) -> Done:
    """Return the end of all together, when all have got it.

    Args:
        outcomes: One for each receiver that was to come, at least one.

    Returns:
        The figures of what was sent: bytes that travelled are those of all receivers, and the time
        is from the first byte of the first to the last acknowledgement of the last.

    Raises:
        RtcsendError: Somebody has not got it: the error of the first such receiver, with a sentence
            that says how many have.
    """
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if failed:
        raise _error(failed, len(outcomes))
    ends = [outcome.done for outcome in outcomes if outcome.done is not None]
    # Who skipped everything took no time, whenever that was.
    timed = [done for done in ends if done.seconds] or ends
    began = min(done.ended_at - done.seconds for done in timed)
    digests = {done.blake3 for done in ends if done.blake3}
    return replace(
        max(ends, key=lambda done: (done.files, done.bytes)),
        moved=sum(done.moved for done in ends),
        wire=sum(done.wire for done in ends),
        seconds=round(max(done.ended_at for done in timed) - began, 3),
        # Who had some of the files already has verified another list.
        blake3=digests.pop() if len(digests) == 1 else "",
    )


def _error(failed: Sequence[Outcome], total: int) -> RtcsendError:
    first = failed[0].error
    assert first is not None, "only those that failed"
    which = ", ".join(str(outcome.receiver) for outcome in failed)
    who = f"Receiver {which} has" if len(failed) == 1 else f"Receivers {which} have"
    have = "none" if len(failed) == total else str(total - len(failed))
    error = type(first)(
        f"Of {total} receivers {have} got everything. {who} not: {_lower(first.message)}",
        hint=first.hint,
    )
    error.told_by_peer = True  # whoever had to know has been told
    return error


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
