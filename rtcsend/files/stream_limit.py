"""How long a stream may become: ``--max-size`` while it comes, since nothing is known before."""

from rtcsend.errors import Declined


def check_length(length: int, *, limit: int | None, name: str) -> None:
    """Refuse a stream that is longer than is accepted.

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
