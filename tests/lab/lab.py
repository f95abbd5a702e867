"""The laboratory as a whole: see the package's docstring for the picture and an example."""

import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from tests.fakes.coturn import READY
from tests.lab.link import Emulator
from tests.lab.namespace import RUN, LabError, Namespace, cable, remove
from tests.lab.nat import Kind
from tests.lab.site import Host, Networks, Site
from tests.lab.turn import Turn

PREFIX: Final = "rtcsend-lab"
SERVER: Final = "203.0.113.10"  # where coturn listens
SECOND: Final = "203.0.113.11"  # the server's other address, where the rendezvous listens
RENDEZVOUS_PORT: Final = 443  # what a strict firewall lets through
SERVER_NET: Final = "203.0.113"
WANS: Final = {"a": "192.0.2", "b": "198.51.100"}
PUBLIC: Final = {"a": "198.18.1", "b": "198.18.2"}
PRIVATE: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")  # nobody routes these
SERVER_NET6: Final = "2001:db8:5"  # RFC 3849, as all of IPv6 here
SERVER6: Final = f"{SERVER_NET6}::10"
SECOND6: Final = f"{SERVER_NET6}::11"
IPV6: Final = {
    "a": ("2001:db8:a", "2001:db8:aa"),
    "b": ("2001:db8:b", "2001:db8:bb"),
}
IPV4_NAMES: Final = f"{SERVER} srv.lab.test turn.lab.test\n{SECOND} rendezvous.lab.test\n"
NAMES: Final = f"{SERVER6} srv.lab.test turn.lab.test\n{SECOND6} rendezvous.lab.test\n{IPV4_NAMES}"
START_TIMEOUT: Final = 50.0  # seconds
STEP: Final = 0.05  # seconds

ServerName = Literal["rendezvous", "turn"]

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class _Server:
    """A server on srv."""

    process: "subprocess.Popen[bytes]"
    command: tuple[str, ...]
    ready: str


class Lab:
    """Two sites, three hosts, a server; built when entered, gone when left.

    Args:
        a: What stands before alice and carol.
        b: What stands before bob.
        lans: The first three bytes of the private addresses of both sites; may be the same.
        ipv6: The server has IPv6 too, and hosts may: ``lab.a.families``.
        congestion: What TCP connections use, unless they choose when they are connected;
            Linux's own default, whatever this machine's is.

    Attributes:
        a: The site of alice and carol.
        b: The site of bob.
        alice: A host.
        carol: Another one in the same LAN.
        bob: The host on the other side.
        srv: The server; it has two addresses, ``SERVER`` and ``SECOND``.
        net: The middle, which all packets pass; a place to look at them.
        folder: For logs; gone at the end.
    """

    a: Site
    b: Site
    alice: Host
    carol: Host
    bob: Host
    srv: Namespace
    net: Namespace
    folder: Path

    def __init__(
        self,
        *,
        a: Kind = Kind.OPEN,
        b: Kind = Kind.OPEN,
        lans: tuple[str, str] = ("192.168.1", "192.168.2"),
        ipv6: bool = False,
        congestion: str = "cubic",
    ) -> None:
        self._ipv6 = ipv6
        self._kinds, self._lans, self._congestion = {"a": a, "b": b}, lans, congestion
        self._prefix = f"{PREFIX}-{os.getpid()}-{next(_numbers)}"
        self._stack = ExitStack()
        self._servers: dict[str, _Server] = {}

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def links(
        self,
        *,
        rtt_ms: float = 0,
        rate_mbit: float = 0,
        loss_percent: float = 0,
        queue_bytes: float = 0,
        seed: int | None = None,
    ) -> None:
        """Make the way between alice and bob what is said here: each link has half of it.

        Both have the rate and the queue; only the first one on the way ever fills.
        """
        for number, site in enumerate((self.a, self.b)):
            site.link.set(
                rtt_ms=rtt_ms / 2,
                rate_mbit=rate_mbit,
                loss_percent=loss_percent / 2,
                queue_bytes=queue_bytes,
                seed=None if seed is None else 2 * seed + number,
            )

    def rendezvous(self, *options: str) -> str:
        """Start a rendezvous server on srv; return its URL.

        Args:
            options: More of them, for ``rtcsend serve``.
        """
        where = ("--host", "rendezvous.lab.test", "--port", str(RENDEZVOUS_PORT))
        command = (sys.executable, "-m", "rtcsend", "serve", *where, *options)
        self._start("rendezvous", command, "listening on")
        return f"ws://{SECOND}:{RENDEZVOUS_PORT}/v1"

    def turn(self, *options: str) -> Turn:
        """Start coturn on srv: STUN at two addresses, TURN by UDP, TCP and TLS.

        Args:
            options: More of them, for ``turnserver``.
        """
        folder = self.folder / "turn"
        folder.mkdir()
        turn = Turn(folder, SERVER, SECOND, ipv6=SERVER6 if self._ipv6 else None)
        self._start("turn", turn.command(*options), READY)
        return turn

    def kill(self, server: ServerName) -> None:
        """Kill a server on srv, without a last word."""
        process = self._servers[server].process
        process.kill()
        process.wait()

    def start_again(self, server: ServerName) -> None:
        """Start a server that was killed as it was started before; it remembers nothing."""
        was = self._servers[server]
        self._start(server, was.command, was.ready)

    def _start(self, name: ServerName, command: tuple[str, ...], ready: str) -> None:
        """Start a server on srv, and wait until it says that it is ``ready``."""
        log = self.folder / f"{Path(command[0]).name}-{next(_numbers)}.log"
        with log.open("wb") as file:
            process = self.srv.popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            )
        end = time.monotonic() + START_TIMEOUT
        while ready not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > end:
                raise LabError(f"{command[0]} did not start: {log.read_text(errors='replace')}")
            time.sleep(STEP)
        self._servers[name] = _Server(process, command, ready)

    def _build(self) -> None:
        _sweep()
        folder = tempfile.TemporaryDirectory(prefix=f"{PREFIX}-", ignore_cleanup_errors=True)
        self.folder = Path(self._stack.enter_context(folder))
        self.net, self.srv = self._namespace("net"), self._namespace("srv")
        cable(self.srv, "eth0", self.net, "srv")
        self.net.sysctl("ipv4/ip_forward", 1)
        self.net.ip(
            f"address add {SERVER_NET}.1/24 dev srv",
            *(f"route add unreachable {network}" for network in PRIVATE),
        )
        self.srv.ip(
            f"address add {SERVER}/24 dev eth0",
            f"address add {SECOND}/24 dev eth0",
            f"route add default via {SERVER_NET}.1 congctl {self._congestion}",
        )
        if self._ipv6:
            self.net.sysctl("ipv6/conf/all/forwarding", 1)
            self.net.ip(f"address add {SERVER_NET6}::1/64 dev srv")
            self.srv.ip(
                f"address add {SERVER6}/64 dev eth0",
                f"address add {SECOND6}/64 dev eth0",
                f"route add default via {SERVER_NET6}::1 congctl {self._congestion}",
            )
        self.a, self.b = self._sites()
        self.alice, self.carol = self._host("alice", self.a), self._host("carol", self.a)
        self.bob = self._host("bob", self.b)

    def _sites(self) -> tuple[Site, Site]:
        wires = self._namespace("wires")
        routers = {name: self._namespace(f"router-{name}") for name in WANS}
        for name, router in routers.items():
            cable(router, "wan", wires, f"{name}-in")
            cable(wires, f"{name}-out", self.net, name)
            router.without_offloads("wan")
            self.net.without_offloads(name)
            self.net.ip(f"address add {WANS[name]}.1/24 dev {name}")
        emulator = Emulator(wires, [(f"{name}-in", f"{name}-out") for name in WANS])
        one, other = (
            Site(
                router=routers[name],
                net=self.net,
                name=name,
                link=link,
                kind=self._kinds[name],
                networks=Networks(
                    private=lan,
                    public=PUBLIC[name],
                    wan=WANS[name],
                    ipv6=IPV6[name] if self._ipv6 else None,
                ),
            )
            for name, link, lan in zip(WANS, emulator.links, self._lans, strict=True)
        )
        return one, other

    def _namespace(self, name: str) -> Namespace:
        full = f"{self._prefix}-{name}"
        self._stack.callback(remove, full)
        made = Namespace(full, hosts=NAMES if self._ipv6 else IPV4_NAMES)
        self._stack.callback(made.remove)
        if self._ipv6 and name != "wires":
            made.enable_ipv6()
        return made

    def _host(self, name: str, site: Site) -> Host:
        full = f"{self._prefix}-{name}"
        self._stack.callback(remove, full)
        hosts = NAMES if self._ipv6 else IPV4_NAMES
        made = Host(full, site=site, congestion=self._congestion, hosts=hosts, ipv6=self._ipv6)
        self._stack.callback(made.remove)
        return made


def _sweep() -> None:
    """Remove labs whose process was killed before it could do so."""
    if not RUN.exists():
        return
    for path in RUN.iterdir():
        match = re.match(rf"{PREFIX}-(\d+)-", path.name)
        if match is not None and not Path("/proc", match[1]).exists():
            with suppress(OSError):
                remove(path.name)
