"""Two ends of a DTLS connection, in memory."""

import contextlib
import functools

from aiortc import RTCCertificate
from OpenSSL import SSL

READ = 65_536  # bytes


def connected() -> tuple[SSL.Connection, SSL.Connection]:
    """Return server and client, after the handshake."""
    context = _context()
    server, client = SSL.Connection(context), SSL.Connection(context)
    server.set_accept_state()
    client.set_connect_state()
    missing = {server, client}
    while missing:
        for one, other in ((server, client), (client, server)):
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
                missing.discard(one)
            with contextlib.suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(READ))
    return server, client


@functools.cache
def _context() -> SSL.Context:
    certificate = RTCCertificate.generateCertificate()
    context = SSL.Context(SSL.DTLS_METHOD)
    context.use_certificate(certificate._cert)
    context.use_privatekey(certificate._key)
    return context
