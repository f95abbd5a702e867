"""One CONNECT request to an HTTP proxy, and its answer.

::

    CONNECT turn.example:443 HTTP/1.1       HTTP/1.1 200 Connection established
    Host: turn.example:443                  (anything)
    Proxy-Authorization: Basic …

After the empty line of a 2xx answer the connection is the server's. Since the client speaks first
in TLS and in TURN, nothing follows it.

Pure, sans-I/O. Sources: RFC 9110 §9.3.6 (CONNECT), §11.7 (407), §15.2 (1xx); RFC 9112 §2.
"""

import re
from collections.abc import Iterable
from typing import Final

from rtcsend.proxy.settings import ProxyFailed

MAX_HEAD: Final = 16_384  # bytes of all answers together; proxies send some hundreds
_PROXY_WANTS_CREDENTIALS: Final = 407
_INFORMATIONAL: Final = range(100, 200)
_SUCCESSFUL: Final = range(200, 300)

_HOST: Final = re.compile(r"[A-Za-z0-9._:%-]+")
_END: Final = re.compile(rb"\r?\n\r?\n")
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?:[ \t][^\r\n]*)?\r?\n")
_CHALLENGE: Final = re.compile(rb"\nproxy-authenticate:[ \t]*([!#$%&'*+.^_`|~0-9a-z-]+)", re.I)


class ConnectMachine:
    """Asks a proxy to connect to a server.

    Args:
        host: Name or address of the server; the proxy looks it up.
        port: Where it listens.
        authorization: The value of ``Proxy-Authorization``; None: there is none.
    """

    def __init__(self, host: str, port: int, *, authorization: str | None = None) -> None:
        host = host.strip("[]")
        assert _HOST.fullmatch(host), "whoever has named it was checked"
        self._authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._authorization = authorization
        self._head = bytearray()
        self._taken = 0  # bytes so far
        self._is_open = False

    @property
    def is_open(self) -> bool:
        """Whether the connection is the server's."""
        return self._is_open

    def request(self) -> bytes:
        """Return what to send first."""
        lines = [f"CONNECT {self._authority} HTTP/1.1", f"Host: {self._authority}"]
        if self._authorization is not None:
            lines.append(f"Proxy-Authorization: {self._authorization}")
        return "\r\n".join((*lines, "", "")).encode("ascii")

    def receive_untrusted(self, data: bytes) -> None:
        """Take what the proxy says; look at :attr:`is_open` afterwards.

        Raises:
            ProxyFailed: It refuses, or does not speak HTTP.
        """
        assert not self._is_open, "what comes now is for somebody else"
        searched = max(len(self._head) - 3, 0)  # an empty line may have come in two parts
        self._head += data[: MAX_HEAD + 1]  # what is beyond it can only be a refusal's text
        while (end := _END.search(self._head, searched)) is not None:
            self._on_head(bytes(self._head[: end.start()]) + b"\r\n")
            del self._head[: end.end()]
            if self.is_open:
                if self._head:
                    raise ProxyFailed("the proxy speaks before the server was asked")
                return
            searched = 0
        self._taken += len(data)
        if self._taken > MAX_HEAD or not b"HTTP/1.".startswith(self._head[:7]):
            raise no_proxy()

    def receive_eof(self) -> None:
        """Take the end of the connection.

        Raises:
            ProxyFailed: Always.
        """
        raise ProxyFailed("the proxy closed the connection")

    def _on_head(self, head: bytes) -> None:
        """Take one answer up to its empty line; more may follow a 1xx."""
        match = _STATUS.match(head)
        if match is None:
            raise no_proxy()
        status = int(match[1])
        if status in _SUCCESSFUL:
            self._is_open = True
        elif status not in _INFORMATIONAL:
            schemes = [scheme.decode("ascii") for scheme in _CHALLENGE.findall(head)]
            raise refusal(status, schemes, authorized=self._authorization is not None)


def refusal(status: int, schemes: Iterable[str], *, authorized: bool) -> ProxyFailed:
    """Return what an answer that is no success means.

    Args:
        status: Of HTTP.
        schemes: What ``Proxy-Authenticate`` offers.
        authorized: Whether user and password were sent.
    """
    if status != _PROXY_WANTS_CREDENTIALS:
        return ProxyFailed(f"the proxy refuses to connect (HTTP {status})")
    offered = {scheme.lower() for scheme in schemes}
    if offered and "basic" not in offered:
        reason = "the proxy wants another authentication than Basic, which is all there is here"
    elif authorized:
        reason = "the proxy refuses user and password"
    else:
        reason = "the proxy wants a user and a password"
    return ProxyFailed(reason, slug="proxy-credential")


def no_proxy() -> ProxyFailed:
    """Return what it means that something else than an HTTP answer came."""
    return ProxyFailed("the proxy does not answer as a proxy")
