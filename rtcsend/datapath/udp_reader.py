"""The receiving half of a UDP socket: what one wake-up reads, sorted and handed on in runs.

With ``UDP_GRO`` the kernel hands out many datagrams with one call. What comes one by one from the
same address (a relay sends so, and so do some devices) is put together here, so that a tap
takes many with one call all the same. It neither waits nor sends:
:class:`rtcsend.datapath.udp.BatchedDatagramTransport` does, above it.

Source: udp(7) of Linux; RFC 7983 §7 for what is DTLS.
"""

import socket
from collections.abc import Callable, Iterable
from typing import Final

from rtcsend.datapath import gso
from rtcsend.datapath.gso import Address
from rtcsend.datapath.udp_socket import enable_coalescing

READ_SIZE: Final = 65_536  # bytes; no UDP datagram and no coalesced buffer is larger
RUN_SIZE: Final = 4 * READ_SIZE  # bytes; of what is read before it is handed on
CONTROL_SIZE: Final = 64  # bytes; one control message with an int, with room for alignment
MAX_READS: Final = 64  # a wake-up; datagrams one by one: under 1 ms, then timers have their turn
MAX_READ_BYTES: Final = 512 << 10  # a wake-up; the same with coalesced buffers: 2 ms at 250 MB/s

_TRUNCATED: Final = int(socket.MSG_TRUNC)  # as an enum it would cost 3 µs a call

Tap = Callable[[memoryview, int, Address], None]
"""Takes datagrams of one size from one address, joined, the last perhaps shorter; and that size."""


class DatagramReader:
    """Reads a socket until it is empty, or others have their turn.

    Args:
        sock: Non-blocking; stays its owner's.
        offload: False: a datagram at a time even where the kernel could do better.
        give: Takes one datagram and its sender's address; raises nothing.
        on_error: Told of each error of the socket.

    Attributes:
        coalescing: Whether the kernel may hand out many datagrams with one call.
        tap: Takes all DTLS; None: ``give`` does. The view is valid only during the call.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        offload: bool,
        give: Callable[[bytes, Address], None],
        on_error: Callable[[OSError], None],
    ) -> None:
        self._sock = sock
        self._give = give
        self._on_error = on_error
        self._buffer = bytearray(RUN_SIZE)
        self._view = memoryview(self._buffer)
        self._free = self._view[:READ_SIZE]
        self._run = gso.ReadRun()
        self._stopped = False
        self.coalescing = offload and enable_coalescing(sock)
        self.tap: Tap | None = None

    def stop(self) -> None:
        """Read and hand on no more, also in the midst of :meth:`read`."""
        self._stopped = True

    def read(self) -> int:
        """Read for a bounded while, hand all of it on, and return how often something came.

        What the tap raises is raised; the rest of the run is then forgotten.
        """
        try:
            reads = self._receive()
            self._end_run()
        except BaseException:  # of whom it was handed to; the loop tells of it
            self._forget_run()  # once is enough
            raise
        return reads

    def _receive(self) -> int:
        """Read what has come, and hand on most of it; return how often something was read."""
        total = reads = 0
        receive = self._sock.recvmsg_into
        while reads < MAX_READS and total < MAX_READ_BYTES and not self._stopped:
            try:
                size, control, flags, address = receive((self._free,), CONTROL_SIZE)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as exc:
                self._on_error(exc)
                reads += 1
                continue
            reads += 1
            total += size
            if flags & _TRUNCATED:  # cut short, so no datagram of it is whole
                continue
            if control or self.tap is not None:
                self._collect(size, gso.coalesced_size(control, received=size), address)
            else:  # one by one, from a relay: there are many, and nothing is to be looked at
                self._pass_on(bytes(self._free[:size]), address)
        return reads

    def _collect(self, size: int, segment_size: int, address: Address) -> None:
        """Take what was just read: it continues the run, or ends it and begins another one."""
        run = self._run
        if not run.takes(segment_size, address):
            self._deliver(run)
            run.begin(segment_size, address)
        run.end += size
        if size and run.end <= RUN_SIZE - READ_SIZE:
            self._free = self._view[run.end : run.end + READ_SIZE]
        else:
            self._end_run()

    def _pass_on(self, data: bytes, address: Address) -> None:
        """Hand on a datagram by itself, after what came before it."""
        if self._run.address is not None:
            self._end_run()
        if not self._stopped:
            self._give(data, address)

    def _end_run(self) -> None:
        """Hand on what was collected; from here on the buffer is free again."""
        self._deliver(self._run)
        self._forget_run()

    def _forget_run(self) -> None:
        self._run.reset()
        self._free = self._view[:READ_SIZE]

    def _deliver(self, run: gso.ReadRun) -> None:
        """Hand on a run: DTLS to the tap, everything else one by one."""
        address, segment_size = run.address, run.segment_size
        if address is None:
            return
        if self.tap is None or run.start == run.end:
            self._deliver_each(run.start, run.end, segment_size, address)
            return
        firsts = self._buffer[run.start : run.end : segment_size]
        for is_dtls, first, after in gso.dtls_runs(firsts):
            if self._stopped:
                return
            start = run.start + first * segment_size
            stop = min(run.start + after * segment_size, run.end)
            if is_dtls and self.tap is not None:  # a callback may have removed it
                with memoryview(self._buffer)[start:stop] as view:
                    self.tap(view, segment_size, address)
            else:
                self._deliver_each(start, stop, segment_size, address)

    def _deliver_each(self, start: int, stop: int, segment_size: int, address: Address) -> None:
        """Hand on datagrams one by one; an empty one too."""
        offsets: Iterable[int] = range(start, stop, segment_size) if stop > start else (start,)
        for offset in offsets:
            if self._stopped:
                return
            end = min(offset + segment_size, stop)
            self._give(bytes(self._buffer[offset:end]), address)
