"""What an address of this machine is good for: its kind, by number and by its interface's name.

Pure. Source: RFC 6890 (special addresses), RFC 6598 (shared ones, of carriers and some VPNs).
"""

import ipaddress
from dataclasses import dataclass
from typing import Final, Literal

from rtcsend.peer.interface_names import network_of_name
from rtcsend.peer.priorities import Network

Kind = Literal["global", "private", "loopback", "link-local", "vpn", "container"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One address of one interface."""

    interface: str
    address: str
    """Without a zone."""

    @property
    def version(self) -> Literal[4, 6]:
        """Of IP."""
        return 6 if ":" in self.address else 4


def kind_of(address: Address) -> Kind:
    """Return what an address is good for."""
    ip = ipaddress.ip_address(address.address)
    if ip.is_loopback:
        return "loopback"
    if ip.is_link_local:
        return "link-local"
    match network_of_name(address.interface):
        case Network.BRIDGE:
            return "container"
        case Network.TUNNEL:
            return "vpn"
        case Network.LAN:
            return "global" if ip.is_global else "private"


NOTES: Final[dict[Kind, str]] = {
    "global": "public",
    "private": "private",
    "loopback": "this machine only",
    "link-local": "this cable or Wi-Fi only; not used",
    "vpn": "looks like a VPN",
    "container": "looks like containers or virtual machines",
}
"""What people are told of each kind."""
