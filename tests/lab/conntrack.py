"""Have a router forget every connection it knows, as a restart does. One message of netlink."""

import os
import socket
import struct
from typing import Final

from tests.lab.namespace import Namespace

NETLINK_NETFILTER: Final = 12  # linux/netlink.h
DELETE_ALL: Final = 1 << 8 | 2  # linux/nfnetlink*.h: conntrack's subsystem, IPCTNL_MSG_CT_DELETE
REQUEST, ACKNOWLEDGE = 1, 4  # linux/netlink.h
HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
BODY: Final = struct.Struct("!BBH")  # family (0: all), version, resource
ERROR: Final = struct.Struct("=i")


def forget(router: Namespace) -> None:
    """Empty the table of connections of a namespace.

    Raises:
        OSError: The kernel refused.
    """
    length = HEADER.size + BODY.size
    message = HEADER.pack(length, DELETE_ALL, REQUEST | ACKNOWLEDGE, 1, 0) + BODY.pack(0, 0, 0)
    with (
        router.entered(),
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink,
    ):
        netlink.send(message)
        (error,) = ERROR.unpack_from(netlink.recv(4096), HEADER.size)
    if error:
        raise OSError(-error, os.strerror(-error))
