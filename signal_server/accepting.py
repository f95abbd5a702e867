"""Accepting connections: floods are cut here, before TLS and HTTP have cost anything.

Shell: a listening socket whose ``accept`` asks first. asyncio calls it (not on Windows, whose
event loop accepts in another way: there only the limits on WebSockets hold).
"""

import socket
import time
from collections.abc import Callable, Sequence
from functools import partial

from signal_server.admission import Admission
from signal_server.sources import Network, is_trusted, source_of

MAX_CUTS = 64  # connections cut in one turn of the event loop; others want theirs too


class GuardedListener(socket.socket):
    """A listening socket that lets in whom the admission lets in.

    Attributes:
        admission: Asked for each connection.
        trusted: Networks of proxies, from which everybody comes.
    """

    admission: Admission
    trusted: Sequence[Network]

    @classmethod
    def guard(
        cls, listener: socket.socket, *, admission: Admission, trusted: Sequence[Network]
    ) -> "GuardedListener":
        """Return a socket in the place of ``listener``, which is used up."""
        guarded = cls(fileno=listener.detach())
        guarded.setblocking(False)
        guarded.admission, guarded.trusted = admission, trusted
        return guarded

    def accept(self) -> tuple[socket.socket, object]:
        """Return the next connection that is let in.

        Raises:
            BlockingIOError: There is none at the moment.
            OSError: As with any socket.
        """
        for _ in range(MAX_CUTS):
            accepted, address = super().accept()
            peer = str(address[0]) if isinstance(address, tuple) else ""
            source = source_of(peer)
            exempt = is_trusted(peer, self.trusted)
            if self.admission.accept(source, now=time.monotonic(), exempt=exempt):
                return _Counted.of(accepted, partial(self.admission.closed, source)), address
            accepted.close()
        raise BlockingIOError  # the rest in the next turn


class _Counted(socket.socket):
    """A connection that tells when it is closed, whoever closes it and why."""

    on_close: Callable[[], None] | None = None

    @classmethod
    def of(cls, accepted: socket.socket, on_close: Callable[[], None]) -> "_Counted":
        # Without being told, the new object would ask the system for each of the three.
        kind = (accepted.family, accepted.type, accepted.proto)
        counted = cls(*kind, fileno=accepted.detach())
        counted.on_close = on_close
        return counted

    def close(self) -> None:
        super().close()
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()
