"""A LAN behind a router: what kind of NAT it is, what can happen to it, and the hosts in it.

Place in the flow: :mod:`tests.lab.lab` builds two of these and joins them with the server.
"""

import itertools
from dataclasses import dataclass
from typing import Final, Literal

from tests.lab.conntrack import forget
from tests.lab.link import BOTH, Direction, Link
from tests.lab.namespace import Namespace, cable, mac
from tests.lab.nat import Kind, rules

FIRST_WAN: Final = 10  # the last byte of a router's first address in the net
WAN_ADDRESSES: Final = 200
FIRST_HOST: Final = 9
HOST_ADDRESSES: Final = 200
STRIDE: Final = 10  # hosts of one LAN stay apart when one of them changes its address

Families = Literal["IPv4", "IPv6", "dual-stack"]

ROUTER: Final = (
    ("ipv4/ip_forward", 1),
    ("ipv6/conf/all/forwarding", 1),
    ("bridge/bridge-nf-call-iptables", 0),  # neighbours in a LAN are not its business
    ("netfilter/nf_conntrack_tcp_loose", 0),  # what it forgot is not taken up again
    ("netfilter/nf_conntrack_tcp_be_liberal", 1),  # odd windows are not its business
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The first three bytes of a site's addresses."""

    private: str
    """Of the hosts, behind a NAT."""
    public: str
    """Of the hosts, without NAT."""
    wan: str
    """Of the router, outside; the net itself has 1 as the last byte."""
    ipv6: tuple[str, str] | None = None
    """The first part of the hosts' IPv6 addresses, and of the router's, outside."""


class Site:
    """A router with its LAN, and its link to the net.

    Args:
        router: Its namespace, with an interface ``wan``.
        net: The namespace in the middle, with an interface of the name of this site.
        name: Of that interface.
        link: Between the two.
        kind: What the router is at first.
        networks: Its addresses.
    """

    def __init__(
        self,
        *,
        router: Namespace,
        net: Namespace,
        name: str,
        link: Link,
        kind: Kind,
        networks: Networks,
    ) -> None:
        self.router, self.name, self.link = router, name, link
        self._net, self._networks, self._kind = net, networks, kind
        self._generation, self._wan_number = 0, FIRST_WAN
        self._families: Families = "IPv4"
        self._hosts: list[Host] = []
        self._ports = itertools.count(1)
        router.ip(
            # Without an address of its own a bridge takes the lowest of its ports.
            f"link add lan address {mac(router, 'lan')} type bridge",
            "link set dev lan up",
            *(f"address add {lan}.1/24 dev lan" for lan in (networks.private, networks.public)),
        )
        for key, value in ROUTER:
            router.sysctl(key, value)
        self._dial_in()
        if networks.ipv6 is not None:
            self._dial_in_ipv6(*networks.ipv6)
        self._load()

    @property
    def families(self) -> Families:
        """What the hosts have; setting it gives them other addresses."""
        return self._families

    @families.setter
    def families(self, families: Families) -> None:
        self._families = families
        for host in self._hosts:
            host.configure()

    @property
    def ipv6(self) -> str:
        """The first part of the hosts' IPv6 addresses."""
        assert self._networks.ipv6 is not None, "a laboratory without IPv6"
        return self._networks.ipv6[0]

    @property
    def kind(self) -> Kind:
        """What the router is; setting it forgets all connections."""
        return self._kind

    @kind.setter
    def kind(self, kind: Kind) -> None:
        self._kind = kind
        self._load()
        for host in self._hosts:
            host.configure()

    @property
    def address(self) -> str:
        """The router's, outside."""
        return f"{self._networks.wan}.{self._wan_number}"

    @property
    def lan(self) -> str:
        """The first three bytes of the hosts' addresses now."""
        return self._networks.private if self._kind.translates else self._networks.public

    def cut(self, *, ways: tuple[Direction, ...] = BOTH) -> None:
        """Lose everything on the link, without a sign of it."""
        self.link.cut(ways=ways)

    def heal(self) -> None:
        """Undo :meth:`cut`."""
        self.link.heal()

    def rebind(self, *, address: bool = False) -> None:
        """Forget all connections, as a router does that restarts; mappings get other ports.

        Args:
            address: The router gets another address as well.
        """
        self._generation += 1
        if address:
            self.router.ip(f"address delete {self.address}/24 dev wan")
            self._wan_number = FIRST_WAN + (self._wan_number - FIRST_WAN + 1) % WAN_ADDRESSES
            self._dial_in()
        self._load()

    def shrink(self, mtu: int) -> None:
        """Give the link another MTU which both of its ends know, and say (ICMP).

        For one that nobody tells of, a black hole: ``link.set(mtu=...)``.
        """
        self.router.ip(f"link set dev wan mtu {mtu}")
        self._net.ip(f"link set dev {self.name} mtu {mtu}")

    def join(self, host: "Host") -> int:
        """Connect a host by a cable; return the last byte of its address."""
        self._hosts.append(host)
        number = next(self._ports)
        port = f"port{number}"
        cable(host, "eth0", self.router, port)
        self.router.ip(f"link set dev {port} master lan")
        return FIRST_HOST + number

    def part(self, host: "Host") -> None:
        """Pull a host's cable out."""
        host.ip("link delete dev eth0")
        self._hosts.remove(host)

    def _dial_in(self) -> None:
        """Give the router its address, and let it and the net know each other without ARP."""
        gateway = f"{self._networks.wan}.1"
        self.router.ip(
            f"address add {self.address}/24 dev wan",
            f"route replace default via {gateway}",
            f"neighbour replace {gateway} lladdr {mac(self._net, self.name)} dev wan nud permanent",
        )
        self._net.ip(
            f"neighbour replace {self.address} lladdr {mac(self.router, 'wan')}"
            f" dev {self.name} nud permanent",
            f"route replace {self._networks.public}.0/24 via {self.address}",
        )

    def _dial_in_ipv6(self, inside: str, outside: str) -> None:
        self.router.ip(
            f"address add {inside}::1/64 dev lan",
            f"address add {outside}::2/64 dev wan",
            f"route add default via {outside}::1",
            f"neighbour replace {outside}::1 lladdr {mac(self._net, self.name)}"
            " dev wan nud permanent",
        )
        self._net.ip(
            f"address add {outside}::1/64 dev {self.name}",
            f"neighbour replace {outside}::2 lladdr {mac(self.router, 'wan')}"
            f" dev {self.name} nud permanent",
            f"route add {inside}::/64 via {outside}::2",
        )

    def _load(self) -> None:
        self.router.nft(rules(self._kind, generation=self._generation))
        forget(self.router)


class Host(Namespace):
    """A machine in a LAN.

    Args:
        name: Of its namespace.
        site: Where it is at first.
        congestion: What its TCP connections use, unless they choose.
        hosts: For its ``/etc/hosts``.
        ipv6: It may have IPv6.
    """

    def __init__(
        self, name: str, *, site: Site, congestion: str, hosts: str, ipv6: bool = False
    ) -> None:
        super().__init__(name, hosts=hosts)
        if ipv6:
            self.enable_ipv6()
        self._congestion, self._site = congestion, site
        self._number = site.join(self)
        self.configure()

    @property
    def address(self) -> str:
        """Its own, in the LAN."""
        return f"{self._site.lan}.{self._number}"

    def configure(self) -> None:
        """Take the addresses and the routes that it should have now."""
        self.ip("address flush dev eth0 scope global")
        if self._site.families != "IPv6":
            self.ip(
                f"address add {self.address}/24 dev eth0",
                f"route replace default via {self._site.lan}.1 congctl {self._congestion}",
            )
        if self._site.families != "IPv4":
            self.ip(
                f"address add {self._site.ipv6}::{self._number}/64 dev eth0",
                f"route replace default via {self._site.ipv6}::1 congctl {self._congestion}",
            )

    def readdress(self) -> None:
        """Have another address in the same LAN, as after roaming or a new lease."""
        self._number = FIRST_HOST + (self._number - FIRST_HOST + STRIDE) % HOST_ADDRESSES
        self.configure()

    def move(self, site: Site) -> None:
        """Be in another LAN, as when a cable is pulled and a Wi-Fi takes over."""
        self._site.part(self)
        self._site, self._number = site, site.join(self)
        self.configure()

    def unplug(self) -> None:
        """Have no network, and know it."""
        self.ip("link set dev eth0 down")

    def plug(self) -> None:
        """Undo :meth:`unplug`."""
        self.ip("link set dev eth0 up")
        self.configure()
