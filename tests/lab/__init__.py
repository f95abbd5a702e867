"""A laboratory of networks: hosts behind NATs, a server, and links that can be made bad.

    alice, carol -- lan -- [NAT a] == link a == [net] -- srv (two addresses)
    bob ----------- lan -- [NAT b] == link b ====+

Linux, root. Everything is made of network namespaces and is gone when the context ends; no
interface leads out of them, so no packet can leave. Several labs can stand side by side.

::

    from tests.lab import Kind, Lab

    with Lab(a=Kind.PORT_RESTRICTED, b=Kind.SYMMETRIC) as lab:
        lab.a.link.set(rtt_ms=40, rate_mbit=100, loss_percent=1)  # at any time
        url = lab.rendezvous()  # a server on srv; --server takes it
        turn = lab.turn()  # coturn; turn.ice_url("tls") is what --ice takes
        sender = lab.alice.popen(["rtcsend", "send", ...], stdout=subprocess.PIPE)
        lab.a.cut()  # silence; lab.a.heal()
        lab.a.rebind()  # the router forgets its mappings; the next ones have other ports
        lab.alice.readdress()  # another address behind the same NAT
        lab.alice.move(lab.b)  # behind another NAT
        lab.a.kind = Kind.UDP_BLOCKED

``make lab`` shows what NATs and relays do to a transfer, as a table.
"""

from tests.lab.lab import Lab
from tests.lab.nat import Kind

__all__ = ["Kind", "Lab"]
