"""A server's certificate that was agreed on beforehand: ``wss://host:port#sha256=…``.

The pin replaces what certificate authorities say, and what name is in the certificate: who has
the URL has the certificate's SHA-256, and nothing else counts. It is compared at the end of the
TLS handshake, before anything is said.

Shell: TLS. Source: docs/rendezvous-protocol.md, "Addresses"; RFC 5280 §4.1 (the DER form).
"""

import hashlib
import hmac
import ssl
from typing import Final

from rtcsend.rendezvous.server_url import PIN_FRAGMENT

_WRONG: Final = 1  # of SSLCertVerificationError; X509_V_ERR_UNSPECIFIED of OpenSSL


class PinMismatch(ssl.SSLCertVerificationError):
    """The server has another certificate than the one that was pinned."""

    def __init__(self) -> None:
        super().__init__(_WRONG, "it has another certificate than the pinned one")
        self.verify_code = _WRONG  # of which OpenSSL's own errors of this class have one as well
        self.verify_message = "pin mismatch"


def split_pin(url: str) -> tuple[str, str | None]:
    """Return a URL without its pin, and the pin: 64 hexadecimal digits, or None.

    Args:
        url: As :func:`~rtcsend.rendezvous.server_url.normalise_server_url` returns it.
    """
    base, _, fragment = url.partition("#")
    return base, fragment.removeprefix(PIN_FRAGMENT) if fragment else None


def client_context(pin: str | None) -> ssl.SSLContext:
    """Return what to secure a connection with; a wrong certificate is an SSLError.

    Args:
        pin: SHA-256 of the certificate that the server must have; None: one that the system
            trusts, for the name of the server.
    """
    context = ssl.create_default_context()
    if pin is None:
        return context
    wanted = pin
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    class PinnedObject(ssl.SSLObject):
        """Checks the pin as the last step of the handshake."""

        def do_handshake(self) -> None:
            super().do_handshake()
            certificate = self.getpeercert(binary_form=True) or b""
            if not hmac.compare_digest(hashlib.sha256(certificate).hexdigest(), wanted):
                raise PinMismatch

    context.sslobject_class = PinnedObject
    return context
