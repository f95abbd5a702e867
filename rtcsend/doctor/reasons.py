"""Why a connection does not come about, each reason a sentence.

No I/O, but listed as a shell: the errors are the system's and of TLS. Addresses and names are
the caller's to say. Place in the flow: beside every check that connects.
"""

import os
import socket
import ssl
from typing import Final

from rtcsend.proxy.settings import Proxy, ProxyFailed

_EXPIRED, _NOT_YET, _SELF_SIGNED, _UNKNOWN, _WRONG_NAME, _WRONG_ADDRESS = 10, 9, 18, 20, 62, 64
"""OpenSSL's X509_V_ERR numbers, from its x509_vfy.h."""

_CERTIFICATE: Final = {
    _EXPIRED: "Its certificate has expired.",
    _NOT_YET: "Its certificate is not valid yet; is this machine's clock right?",
    _SELF_SIGNED: "Its certificate is self-signed, and not trusted here.",
    19: "Its certificate is of a certification authority that is not trusted here.",
    _UNKNOWN: "Its certificate is of a certification authority that is not trusted here.",
    _WRONG_NAME: "Its certificate is for another name.",
    _WRONG_ADDRESS: "Its certificate is for another address.",
}


def seen_through(proxy: Proxy | None, exc: OSError) -> OSError:
    """Return an error as it is to be told where a proxy is in between: silence may be its own."""
    if proxy is None or not isinstance(exc, TimeoutError):
        return exc
    return ProxyFailed("nothing answers through the proxy that is set")


def reason_of(exc: OSError) -> str:
    """Return one sentence for what the system or TLS says."""
    if isinstance(exc, ProxyFailed):
        return str(exc)
    if isinstance(exc, ssl.SSLCertVerificationError):
        return _CERTIFICATE.get(exc.verify_code, "Its certificate is not valid.")
    if isinstance(exc, ssl.SSLError):
        return "It does not speak TLS there, or none that is safe."
    if isinstance(exc, socket.gaierror):
        return "The name cannot be resolved."
    if isinstance(exc, TimeoutError):
        return "It takes no connection: nothing answers, or a firewall is in between."
    if isinstance(exc, ConnectionRefusedError):
        return "Nobody listens there."
    if isinstance(exc, ConnectionResetError | BrokenPipeError):
        return "It closed the connection at once."
    return (
        f"It does not connect: {os.strerror(exc.errno)}." if exc.errno else "It does not connect."
    )


def slug_of(exc: OSError) -> str:
    """Return the same in a word, for programs."""
    if isinstance(exc, ProxyFailed):
        return exc.slug
    for kind, slug in (
        (ssl.SSLCertVerificationError, "certificate"),
        (ssl.SSLError, "tls"),
        (socket.gaierror, "name"),
        (TimeoutError, "timeout"),
        (ConnectionRefusedError, "refused"),
    ):
        if isinstance(exc, kind):
            return slug
    return "connection"
