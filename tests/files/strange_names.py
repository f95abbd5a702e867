"""Strategies for names and paths that nobody honest has."""

from hypothesis import strategies as st

from rtcsend.files.names import PARTIAL_SUFFIX

NASTY = [
    "..", ".", "\\", ":", "C:", "\u212a:", "CON", "nul", "com\u00b9", "LPT1", "CONIN$", " ",
    "\t", "\n", "\x00", "\x1b[2J", "\x7f", "\x9b", "\u2028", "\u202e", "\u200d", "\ufeff", "\ud800",
    "\udfff", "e", "\u0301", "\u0301" * 120, "\u00e9" * 100, "\u0958" * 60, "\U0001f4be" * 60,
    ".tar", ".gz", ".iso", PARTIAL_SUFFIX, "a" * 240, "x" * 300, "?", "*", '"', "|", "<", ">",
    "\u3000", "\u3164", "_", "~", "-rf", "%2e%2e", "\u2025", "\uff0f", "\u29f5", "~1", ".rtcsend-",
    "\u017f", "\ufe0f", "\u0131", "\u0130", "\u00df", "SS",
]  # fmt: skip
pieces = st.sampled_from(NASTY)
any_text = st.text(st.characters(exclude_categories=())) | st.lists(pieces | st.just("/")).map(
    "".join
)
component = st.text("aAbB.-é\u0301 ", min_size=1, max_size=4) | st.lists(
    pieces, min_size=1, max_size=3
).map("".join)
any_path = any_text | st.lists(component, min_size=1, max_size=5).map("/".join)
