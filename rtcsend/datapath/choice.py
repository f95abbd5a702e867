"""Which data path to take: our own, or plain aiortc's.

Our own touches private names of aiortc, aioice and pyOpenSSL. Their versions are pinned; should
one of the names be gone all the same, the plain path is taken, with a warning, instead of an
error in the midst of a transfer.
"""

import logging
import os
from collections.abc import Callable
from typing import Final

from aioice import Connection
from aioice.turn import TurnClientMixin, TurnTransport
from aiortc.rtcdtlstransport import RTCDtlsTransport
from OpenSSL import SSL

from rtcsend.datapath.batched import BatchedPath, random_identity
from rtcsend.datapath.sctp.introduction import Identity
from rtcsend.options import DATAPATH_VARIABLE, STOCK
from rtcsend.peer.ice import IceConnection
from rtcsend.peer.ports import DataPath

BATCHED_VERSION: Final = 1
"""What the greeting says of a side with our own path: it reads records of 16 KiB, and sends
and understands a SACK a batch. 0, or nothing, is a side that may be any implementation."""

_LIB_NAMES: Final = (
    *("SSL_write", "SSL_read", "BIO_write", "BIO_read"),
    *("SSL_get_shutdown", "SSL_RECEIVED_SHUTDOWN", "ERR_clear_error"),
)
_FFI_NAMES: Final = ("new", "buffer", "from_buffer")

logger = logging.getLogger("rtcsend.datapath")


def local_version() -> int:
    """Return what this side is to say of its data path: BATCHED_VERSION, or 0."""
    if os.environ.get(DATAPATH_VARIABLE) == STOCK:
        return 0
    if missing := missing_names():
        logger.warning("! plain data path, since %s moved", ", ".join(missing))
        return 0
    return BATCHED_VERSION


def new_identity() -> Identity | None:
    """Return what our own path will be known by; None where the plain one is taken."""
    return random_identity() if local_version() else None


def path_maker(
    peer_version: int, identity: Identity | None
) -> Callable[[RTCDtlsTransport, IceConnection], DataPath]:
    """Return what makes the data path to a side that says ``peer_version`` of its own.

    Args:
        peer_version: Of the other side's greeting.
        identity: From :func:`new_identity`; the other side may have been told it.
    """
    if identity is None:
        # aiortc's own SCTP, which our path does without.
        from rtcsend.datapath.stock import StockPath  # noqa: PLC0415

        return StockPath
    own_peer = peer_version == BATCHED_VERSION
    return lambda dtls, ice: BatchedPath(dtls, ice, own_peer=own_peer, identity=identity)


def missing_names() -> list[str]:
    """Return the private names that our own path needs and that are not there."""
    needed: list[tuple[object, str, str]] = [
        (RTCDtlsTransport.__init__, "_ssl", "aiortc's DTLS connection"),
        (Connection.__init__, "_nominated", "aioice's selected pair"),
        (Connection.__init__, "_protocols", "aioice's transports"),
        (TurnTransport.__init__, "_TurnTransport__inner_protocol", "aioice's relay"),
        (TurnClientMixin.__init__, "peer_to_channel", "aioice's TURN channels"),
        (TurnClientMixin.__init__, "channel_to_peer", "aioice's TURN channels"),
        (TurnClientMixin.__init__, "receiver", "aioice's receiver of relayed datagrams"),
        (RTCDtlsTransport.__init__, "_data_receiver", "aiortc's receiver of data"),
        (SSL.Connection.__init__, "_ssl", "pyOpenSSL's connection"),
        (SSL.Connection.__init__, "_into_ssl", "pyOpenSSL's input"),
        (SSL.Connection.__init__, "_from_ssl", "pyOpenSSL's output"),
    ]
    missing = [what for where, name, what in needed if name not in _names_in(where)]
    if not hasattr(RTCDtlsTransport, "_register_data_receiver"):
        missing.append("aiortc's register of receivers")
    for part, names in (("_lib", _LIB_NAMES), ("_ffi", _FFI_NAMES)):
        where = getattr(SSL, part, None)
        missing += [f"pyOpenSSL's {name}" for name in names if not hasattr(where, name)]
    return missing


def _names_in(function: object) -> tuple[str, ...]:
    """Return the attribute names that a function's code uses."""
    code = getattr(function, "__code__", None)
    names: tuple[str, ...] = getattr(code, "co_names", ())
    return names
