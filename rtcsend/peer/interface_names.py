"""What an interface leads to, as far as its name tells: a LAN, a VPN, or containers.

Names prove nothing; they are what people know their VPN and containers by. The choice of a path
and the doctor judge by the same names, so that the one does what the other says.

Pure.
"""

import re
from typing import Final

from rtcsend.peer.priorities import Network

_BRIDGES: Final = re.compile(
    r"docker|br-[0-9a-f]{12}$|veth|virbr|vmnet|vboxnet|podman|cni|flannel|lxc|lxd|incus"
    r"|bridge1\d\d$|.*(?:VirtualBox|VMware|Hyper-V)",
    re.IGNORECASE,
)
_TUNNELS: Final = re.compile(
    r"tun|tap|utun|wg|wt\d|ppp|ipsec|zt|tailscale|nordlynx|proton|mullvad|cscotun|gpd|outline"
    r"|.*(?:vpn|tunnel|wireguard)",
    re.IGNORECASE,
)


def network_of_name(name: str) -> Network:
    """Return what an interface of that name leads to."""
    if _BRIDGES.match(name):
        return Network.BRIDGE
    return Network.TUNNEL if _TUNNELS.match(name) else Network.LAN
