"""How the bytes go, as people read it.

Pure. Place in the flow: between the events and both displays.
"""

from rtcsend.cli.figures import format_milliseconds
from rtcsend.cli.terminal import escape
from rtcsend.events import Route


def route_line(event: Route) -> str:
    """Return it in full: ``relay by TLS, relay to host, round trip 38 ms``."""
    reached = event.relay_protocol  # None where the relay is the other side's
    way = event.route if reached is None else f"{event.route} by {reached.upper()}"
    way += " by VPN" if _is_by_vpn(event) else ""
    rtt = "" if event.rtt_ms is None else f", round trip {format_milliseconds(event.rtt_ms)}"
    return f"{way}, {escape(event.local)} to {escape(event.remote)}{rtt}"


def route_column(event: Route) -> str:
    """Return it for a narrow column; UDP is what a relay should be reached by."""
    if _is_by_vpn(event):
        return "vpn"
    reached = event.relay_protocol
    return event.route if reached in (None, "udp") else f"{event.route}/{reached}"


def _is_by_vpn(event: Route) -> bool:
    """Return whether a VPN is what there is to say; of a relayed way it is the relay."""
    return event.vpn and event.route == "direct"
