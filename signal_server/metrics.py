"""What the server counts, and the text that ``/metrics`` answers.

Pure. Source: the Prometheus text exposition format, version 0.0.4.
"""

from dataclasses import dataclass

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Counters:
    """Numbers only: nothing here tells who talks to whom."""

    mailboxes: int = 0
    sockets: int = 0
    stored_bytes: int = 0
    pairings: int = 0
    messages: int = 0
    failed_claims: int = 0
    rate_limited: int = 0


_METRICS = (
    ("mailboxes", "gauge", "mailboxes", "Mailboxes that can be entered."),
    ("sockets", "gauge", "sockets", "Open WebSockets."),
    ("stored_bytes", "gauge", "stored_bytes", "Bytes of message bodies kept."),
    ("pairings_total", "counter", "pairings", "Mailboxes that a second side entered."),
    ("messages_total", "counter", "messages", "Messages taken."),
    ("failed_claims_total", "counter", "failed_claims", "Claims of no use, or of a third side."),
    ("rate_limited_total", "counter", "rate_limited", "Claims refused unseen."),
)


def render_metrics(counters: Counters) -> str:
    """Return the counters in the Prometheus text format."""
    lines = []
    for name, kind, attribute, text in _METRICS:
        full = f"rtcsend_{name}"
        lines += [f"# HELP {full} {text}", f"# TYPE {full} {kind}"]
        lines.append(f"{full} {getattr(counters, attribute)}")
    return "\n".join(lines) + "\n"
