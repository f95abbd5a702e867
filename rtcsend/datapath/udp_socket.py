"""One UDP socket: its options, and sending batches of datagrams through it at once.

Feature detection and every fallback of the sending side live here: a kernel or device that
does not segment is noticed once, remembered for the socket, and the batch at hand is sent
again plainly, so that nothing is lost. It neither waits nor queues nor receives:
:class:`rtcsend.datapath.udp.BatchedDatagramTransport` does, above it.

Source: udp(7), ip(7) and ipv6(7) of Linux; RFC 8899 §3 for unfragmented datagrams.
"""

import enum
import errno
import logging
import socket
import sys
from collections.abc import Callable
from typing import Final, cast

from rtcsend.datapath import gso
from rtcsend.datapath.gso import Address

RECEIVE_BUFFER: Final = 4 << 20  # bytes; 40 ms at 100 MB/s, the longest a busy process looks away
SEND_BUFFER: Final = 4 << 20  # bytes; as above, so that a batch seldom finds the socket full

IS_LINUX: Final = sys.platform == "linux"

# Don't fragment, and where one can, ignore what ICMP says of the path: probes find out
# (RFC 8899 §3). (level, option, value) by platform and address family, from the systems'
# netinet/in.h: the socket module names few of them.
_IP, _IPV6 = socket.IPPROTO_IP, socket.IPPROTO_IPV6
_DONT_FRAGMENT: Final = {
    ("linux", socket.AF_INET): [(_IP, 10, 3)],  # IP_MTU_DISCOVER, IP_PMTUDISC_PROBE
    # IPV6_MTU_DISCOVER, and the same of IPv4 for addresses mapped into IPv6
    ("linux", socket.AF_INET6): [(_IPV6, 23, 3), (_IP, 10, 3)],
    ("darwin", socket.AF_INET): [(_IP, 28, 1)],  # IP_DONTFRAG
    ("darwin", socket.AF_INET6): [(_IPV6, 62, 1)],  # IPV6_DONTFRAG
}

logger = logging.getLogger("rtcsend.datapath")


def set_option(sock: socket.socket, level: int, option: int, value: int) -> bool:
    """Set a socket option; say whether the system took it."""
    try:
        sock.setsockopt(level, option, value)
    except OSError:
        return False
    return True


def _enlarge(sock: socket.socket, option: int, size: int) -> None:
    """Make a socket buffer as large as the system allows, and never smaller."""
    # Linux takes what it can of what is asked; macOS refuses, so ask for less then.
    while size > sock.getsockopt(socket.SOL_SOCKET, option):
        if set_option(sock, socket.SOL_SOCKET, option, size):
            break
        size //= 2


def prepare_socket(sock: socket.socket) -> None:
    """Make a UDP socket non-blocking, its buffers large, and its datagrams unfragmented.

    What the system does not allow is left as it is.
    """
    sock.setblocking(False)
    _enlarge(sock, socket.SO_RCVBUF, RECEIVE_BUFFER)
    _enlarge(sock, socket.SO_SNDBUF, SEND_BUFFER)
    allow_fragmentation(sock, allowed=False)


def allow_fragmentation(sock: socket.socket, *, allowed: bool) -> None:
    """Let IP cut datagrams that are larger than the path takes, or forbid it.

    Forbidden is the rule, since probes depend on it; but what was sent before a path shrank
    cannot be made smaller any more (RFC 9260 §6.9), and has to go all the same.
    """
    for level, option, value in _DONT_FRAGMENT.get((sys.platform, sock.family), ()):
        set_option(sock, level, option, 0 if allowed else value)


def enable_coalescing(sock: socket.socket) -> bool:
    """Let the kernel hand out many datagrams as one buffer; say whether it may from now on."""
    return IS_LINUX and set_option(sock, gso.SOL_UDP, gso.UDP_GRO, 1)


class _Outcome(enum.Enum):
    """What became of one datagram."""

    SENT = enum.auto()
    BLOCKED = enum.auto()
    TOO_LARGE = enum.auto()
    FAILED = enum.auto()


class SegmentSender:
    """The sending half: datagrams and batches to the socket, now or not at all.

    Remembers whether this socket can segment. What fails for another reason than a full
    socket is dropped and reported, as UDP may drop anything.

    Args:
        sock: Non-blocking; stays its owner's.
        offload: False: always a datagram at a time.
        on_error: Told of each error; EMSGSIZE is what the device's MTU does not take.

    Attributes:
        segmentation: Whether batches go out with one call.
        dropped: How many datagrams were given up.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        offload: bool,
        on_error: Callable[[OSError], None],
    ) -> None:
        self._sock = sock
        self._on_error = on_error
        self._control = (0, gso.segment_control(0))  # of the last size: it seldom changes
        self.is_connected = peername(sock) is not None
        # 0 is the default, no segmentation for all calls: taken only where the option is known.
        self.segmentation = (
            offload and IS_LINUX and set_option(sock, gso.SOL_UDP, gso.UDP_SEGMENT, 0)
        )
        self.dropped = 0

    def send(self, data: memoryview, segment_size: int, address: Address | None) -> int:
        """Send as much as the socket takes.

        Returns:
            How many bytes are done with, sent or dropped: all, or whole segments.
        """
        done, size = 0, len(data)
        step = gso.batch_size(segment_size)
        while done < size:
            batch = data[done : done + step]
            if self.segmentation and len(batch) > segment_size:
                taken = self._send_batch(batch, segment_size, address)
            else:
                taken, _ = self._send_each(batch, segment_size, address)
            done += taken
            if taken < len(batch):
                break
        return done

    def _send_batch(self, batch: memoryview, segment_size: int, address: Address | None) -> int:
        """Send a batch with one call, or plainly if that is refused; return the bytes done."""
        if self._control[0] != segment_size:
            self._control = (segment_size, gso.segment_control(segment_size))
        try:
            self._sock.sendmsg((batch,), self._control[1], 0, address)
        except (BlockingIOError, InterruptedError):
            return 0
        except OverflowError as exc:
            self._fail(_bad_port(exc), -(-len(batch) // segment_size))
        except OSError as exc:
            # Connected: it may be the answer to an earlier datagram, and this batch is unsent.
            if exc.errno in gso.REFUSALS or exc.errno == errno.EMSGSIZE or self.is_connected:
                return self._send_refused(batch, segment_size, address, exc)
            self._fail(exc, -(-len(batch) // segment_size))
        return len(batch)

    def _send_refused(
        self, batch: memoryview, segment_size: int, address: Address | None, exc: OSError
    ) -> int:
        """Send plainly what was refused as a batch; remember it if segmentation was why."""
        taken, outcomes = self._send_each(batch, segment_size, address)
        # Older kernels say EINVAL for segments over the MTU too, and for a bad address: only
        # where the same datagrams go out one by one it was the segmentation.
        if exc.errno in gso.REFUSALS and outcomes - {_Outcome.BLOCKED} == {_Outcome.SENT}:
            self.segmentation = False
            logger.info("= no UDP segmentation on this socket: %s", exc.strerror)
        return taken

    def _send_each(
        self, batch: memoryview, segment_size: int, address: Address | None
    ) -> tuple[int, set[_Outcome]]:
        """Send a batch a datagram at a time; return the bytes done, and what happened."""
        outcomes: set[_Outcome] = set()
        start, size = 0, len(batch)
        while start < size:
            datagram = batch[start : start + segment_size]
            outcome = self._send_one(datagram, address)
            outcomes.add(outcome)
            if outcome is _Outcome.BLOCKED:
                return start, outcomes
            start += len(datagram)
            if outcome is _Outcome.TOO_LARGE:
                # The others are as large; only a shorter last one has a chance.
                others = (size - start) // segment_size
                self.dropped += others
                start += others * segment_size
        return size, outcomes

    def _send_one(
        self, datagram: memoryview, address: Address | None, *, again: bool = False
    ) -> _Outcome:
        """Send one datagram."""
        try:
            if self.is_connected:
                self._sock.send(datagram)
            else:
                self._sock.sendto(datagram, cast("Address", address))
        except (BlockingIOError, InterruptedError):
            return _Outcome.BLOCKED
        except OverflowError as exc:
            self._fail(_bad_port(exc), 1)
            return _Outcome.FAILED
        except OSError as exc:
            if self.is_connected and not again:
                # An ICMP answer to an earlier datagram is told at the next call, which then
                # sends nothing (udp(7), "Error handling"): report it and try again.
                if exc.errno != errno.EMSGSIZE:
                    self._on_error(exc)
                return self._send_one(datagram, address, again=True)
            self._fail(exc, 1)
            return _Outcome.TOO_LARGE if exc.errno == errno.EMSGSIZE else _Outcome.FAILED
        return _Outcome.SENT

    def _fail(self, exc: OSError, datagrams: int) -> None:
        self.dropped += datagrams
        self._on_error(exc)


def _bad_port(exc: OverflowError) -> OSError:
    """Make an ordinary error of a port over 65,535, which a candidate from a peer may have."""
    return OSError(errno.EINVAL, str(exc))


def peername(sock: socket.socket) -> Address | None:
    """Return the address that a socket is connected to, None if it is not."""
    try:
        return cast("Address", sock.getpeername())
    except OSError:
        return None
