"""The doctor's findings as a table for people, 80 columns wide.

What servers say is escaped. Addresses of this machine that nobody needs to know of are left
out where there are many; ``--json`` has all of them.

Pure. Place in the flow: from :mod:`rtcsend.doctor.findings` to standard output.
"""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from rtcsend.cli.figures import format_milliseconds
from rtcsend.cli.terminal import escape
from rtcsend.doctor.findings import Area, Check, Conclusion

WIDTH: Final = 80  # columns; what every terminal has
MAX_ADDRESSES: Final = 10  # of this machine; the ones that can be used come first
_STATUS_WIDTH: Final = 9  # "  FAILED "
_LABEL_WIDTH: Final = 13
_TIME_WIDTH: Final = 9  # " 99999 ms"
_TEXT_WIDTH: Final = WIDTH - _STATUS_WIDTH - _LABEL_WIDTH - _TIME_WIDTH

_AREAS: Final[dict[Area, str]] = {
    "machine": "This machine",
    "rendezvous": "Rendezvous",
    "stun": "STUN",
    "nat": "NAT",
    "turn": "TURN",
    "path": "Path",
}
_LABELS: Final = {
    "ipv4": "IPv4",
    "ipv6": "IPv6",
    "local": "here",
    "lan": "LAN",
    "dns": "name",
    "tcp": "TCP",
    "tls": "TLS",
    "websocket": "WebSocket",
    "round-trip": "round trip",
    "binding": "answer",
    "mtu": "MTU",
}
_STATUS: Final = {"ok": "ok", "note": "note", "failed": "FAILED", "skipped": "skipped"}
_USEFUL: Final = ("ok", "failed", "note", "skipped")


def report(checks: Sequence[Check], conclusion: Conclusion) -> str:
    """Return the whole text, without a line end."""
    lines: list[str] = []
    for area in _AREAS:
        lines += _section(area, [check for check in checks if check.area == area])
    lines += ["", *textwrap.wrap(conclusion.meaning, WIDTH), *textwrap.wrap(conclusion.help, WIDTH)]
    return "\n".join(lines[1:])


def progress_text(checks: Sequence[Check]) -> str:
    """Return the line that is shown while it runs."""
    if not checks:
        return "Checking the network…"
    failed = sum(check.status == "failed" for check in checks)
    faults = f", {failed} failed" if failed else ""
    return f"Checking the network: {len(checks)} checks done{faults}…"


def _section(area: Area, checks: list[Check]) -> Iterator[str]:
    """Yield the lines of an area: an empty one, then a title and rows for each target."""
    if area == "machine":
        yield from ("", _AREAS[area], *_machine(checks))
        return
    if not checks:
        return
    by_target = area in ("rendezvous", "stun", "turn")
    # Checks of several servers come mixed; sorting keeps the order of each one's.
    order = list(dict.fromkeys(check.target for check in checks)) if by_target else [""]
    for target in order:
        yield ""
        yield from textwrap.wrap(f"{_AREAS[area]} {escape(target)}".rstrip(), WIDTH)
        for check in checks:
            if check.target == target or not by_target:
                yield from _row(check, _label(check, with_target=not by_target))


def _machine(checks: list[Check]) -> Iterator[str]:
    addresses = [check for check in checks if check.check == "address"]
    addresses.sort(key=lambda check: _USEFUL.index(check.status))
    for check in addresses[:MAX_ADDRESSES]:
        yield from _row(check, check.target)
    if len(addresses) > MAX_ADDRESSES:
        yield f"{'':{_STATUS_WIDTH}}and {len(addresses) - MAX_ADDRESSES} more (--json has them)"
    for check in checks:
        if check.check != "address":
            yield from _row(check, _label(check, with_target=False))


def _label(check: Check, *, with_target: bool) -> str:
    label = _LABELS.get(check.check, check.check)
    family = {"ipv6": " IPv6"}.get(check.target, "") if with_target else ""
    return f"{label}{family}"


def _row(check: Check, label: str) -> Iterator[str]:
    text = textwrap.wrap(escape(check.text), _TEXT_WIDTH) or [""]
    status = f"  {_STATUS[check.status]}".ljust(_STATUS_WIDTH)
    label = escape(label)[: _LABEL_WIDTH + _TEXT_WIDTH]
    time = "" if check.ms is None else format_milliseconds(check.ms).rjust(_TIME_WIDTH)
    if len(label) >= _LABEL_WIDTH:  # a long interface name has a line of its own
        yield f"{status}{label}"
        status, label = " " * _STATUS_WIDTH, ""
    yield f"{status}{label:{_LABEL_WIDTH}}{text[0]:{_TEXT_WIDTH}}{time}".rstrip()
    for line in text[1:]:
        yield f"{'':{_STATUS_WIDTH + _LABEL_WIDTH}}{line}"
