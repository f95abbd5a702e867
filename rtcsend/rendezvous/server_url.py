"""The address of a rendezvous server, as people write it, made one WebSocket URL.

Pure. Source: docs/rendezvous-protocol.md, "Addresses"; RFC 6455 section 3; RFC 3986.
"""

import ipaddress
import re
import urllib.parse

from rtcsend.errors import UsageError

DEFAULT_PORT = 8765  # of an address without a scheme: what rtcsend-server listens on
PATH = "/v1"  # the protocol's version is in the path
MAX_URL = 2_048  # characters; what the common HTTP servers take is more
PIN_FRAGMENT = "sha256="  # what a fragment starts with; the certificate's digest follows
MAX_LABEL = 63  # characters between two dots of a name; RFC 1035 section 2.3.4

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?", re.ASCII)
_PIN = re.compile(
    rf"{PIN_FRAGMENT}([0-9A-Fa-f]{{2}}:?){{31}}[0-9A-Fa-f]{{2}}", re.ASCII | re.IGNORECASE
)
_UNSAFE = re.compile(r"[^!-~]", re.ASCII)  # blanks, control characters, anything but ASCII
_HINT = "Write it like wss://rendezvous.example.org or 192.168.1.7:8765."


def normalise_server_url(text: str) -> str:
    """Return the ``ws://`` or ``wss://`` URL that ``text`` means, ending in ``/v1``.

    ``http`` and ``https`` stand for ``ws`` and ``wss``. Without a scheme it is ``ws``, at
    port 8765 unless one is given. A path is kept (a reverse proxy may have put the server
    under one) and gets ``/v1`` unless it ends with it. The fragment ``#sha256=`` with the digest
    of a certificate is kept, in lower case and without colons: it pins that certificate.

    Raises:
        UsageError: Not such an address, or one with a user name, a query or another fragment.
    """
    stripped = text.strip()
    if not stripped or len(stripped) > MAX_URL or _UNSAFE.search(stripped):
        raise _bad("it is empty, too long, or has blanks or special characters in it")
    if "://" in stripped:
        return _from_url(stripped)
    try:
        # An IPv6 address without brackets can only be the whole text.
        ipaddress.IPv6Address(stripped)
    except ValueError:
        return _from_url(f"ws://{stripped}", default_port=DEFAULT_PORT)
    return _from_url(f"ws://[{stripped}]", default_port=DEFAULT_PORT)


def _from_url(url: str, *, default_port: int | None = None) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise _bad("its host or port is not valid") from exc
    scheme = _SCHEMES.get(parts.scheme.lower())
    if scheme is None:
        raise _bad("it starts with none of ws://, wss://, http:// and https://")
    if "@" in parts.netloc or parts.query:
        raise _bad("it has a user name or a query")
    if port == 0:
        raise _bad("its host or port is not valid")
    port = port or default_port
    host = _host(parts.hostname or "")
    path = parts.path.rstrip("/")
    if not path.endswith(PATH):
        path += PATH
    pin = _pin(parts.fragment, scheme=scheme)
    return f"{scheme}://{host}{'' if port is None else f':{port}'}{path}{pin}"


def _pin(fragment: str, *, scheme: str) -> str:
    if not fragment:
        return ""
    if not _PIN.fullmatch(fragment):
        raise _bad("what follows the # is not sha256= and 64 hexadecimal digits")
    if scheme != "wss":
        raise _bad("a certificate can be pinned with wss:// only")
    return f"#{fragment.lower().replace(':', '')}"


def _host(name: str) -> str:
    try:
        return f"[{ipaddress.IPv6Address(name)}]"
    except ValueError:
        pass
    too_long = any(len(label) > MAX_LABEL for label in name.split("."))
    if not _HOST.fullmatch(name) or ".." in name or too_long:
        raise _bad("its host or port is not valid")
    return name


def _bad(reason: str) -> UsageError:
    """Build the error; the address itself is not shown, it may hold a password."""
    return UsageError(f"This is not the address of a rendezvous server: {reason}.", hint=_HINT)
