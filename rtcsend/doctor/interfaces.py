"""What an address of this machine is good for: its kind, by number and by its interface's name.

Names of interfaces prove nothing; they are what people know their VPN and containers by.

Pure. Source: RFC 6890 (special addresses), RFC 6598 (shared ones, of carriers and some VPNs).
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["global", "private", "loopback", "link-local", "vpn", "container"]

_VPN: Final = re.compile(
    r"(tun|tap|wg|utun|ppp|ipsec|zt|tailscale|nordlynx|proton|mullvad|cscotun|gpd|outline)",
    re.IGNORECASE,
)
_CONTAINER: Final = re.compile(
    r"(docker|br-[0-9a-f]|veth|virbr|vmnet|vboxnet|podman|cni|flannel|lxc|lxd|incus|bridge1"
    r"|vEthernet|VirtualBox|VMware)",
    re.IGNORECASE,
)


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
    if _CONTAINER.search(address.interface):
        return "container"
    if _VPN.match(address.interface):
        return "vpn"
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
