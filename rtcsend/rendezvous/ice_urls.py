"""STUN and TURN servers as people and scripts write them, and as a server names them.

    stun:HOST[:PORT]
    turn:USER:PASSWORD@HOST[:PORT][?transport=udp|tcp]
    turns:USER:PASSWORD@HOST[:PORT][?transport=udp|tcp]

USER and PASSWORD are percent-encoded; an IPv6 HOST stands in brackets. A rendezvous server
names the credentials apart from the URLs, as WebRTC does; what it names is checked here too.

Pure. Source: RFC 7064 and RFC 7065, whose URIs have no place for
credentials, so that they are taken out here.
"""

import ipaddress
import re
import urllib.parse

from rtcsend.errors import UsageError
from rtcsend.rendezvous.messages import MAX_ICE_TEXT, IceServer

_URL = re.compile(
    r"(?P<scheme>stun|turn|turns):(?:(?P<userinfo>[^@]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(?::(?P<port>[0-9]{1,5}))?"
    r"(?:\?transport=(?P<transport>udp|tcp))?",
    re.ASCII,
)
_PERCENT = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*", re.ASCII | re.DOTALL)
_MAX_PORT = 65_535
_HINT = "Write stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT?transport=udp, percent-encoded."


def parse_ice_url(url: str) -> IceServer:
    """Return the server that ``url`` names, with its credentials apart.

    Raises:
        UsageError: Another form; the message never shows the credentials.
    """
    match = _URL.fullmatch(url) if len(url) <= 4 * MAX_ICE_TEXT else None
    if match is None:
        raise _bad(url, "it is of another form")
    scheme, host, port = match["scheme"], match["host"], match["port"]
    _check_address(url, match)
    address = host if port is None else f"{host}:{port}"
    if scheme == "stun":
        if match["userinfo"] is not None or match["transport"] is not None:
            raise _bad(url, "stun takes neither credentials nor a transport")
        return IceServer((f"stun:{address}",))
    username, credential = _credentials(url, match["userinfo"])
    query = "" if match["transport"] is None else f"?transport={match['transport']}"
    return IceServer((f"{scheme}:{address}{query}",), username, credential)


def parse_turn_url(url: str) -> str:
    """Return the URL of a TURN server whose credentials are not in it.

    Raises:
        UsageError: Another form.
    """
    match = _URL.fullmatch(url) if len(url) <= MAX_ICE_TEXT else None
    if match is None or match["scheme"] == "stun" or match["userinfo"] is not None:
        raise _bad(url, "it is no turn:HOST:PORT without a password")
    _check_address(url, match)
    return url


def maybe_usable_untrusted(server: IceServer) -> IceServer | None:
    """Return a server that a rendezvous named, with those of its URLs that can be used.

    None when there is none. WebRTC would stop at the first that is malformed; here it is
    passed over, since a later version may know more kinds. TURN takes credentials always.
    """
    urls = tuple(url for url in server.urls if _is_usable(url, server))
    return IceServer(urls, server.username, server.credential) if urls else None


def _is_usable(url: str, server: IceServer) -> bool:
    match = _URL.fullmatch(url)
    if match is None or match["userinfo"] is not None:
        return False
    if match["scheme"] == "stun":
        complete = match["transport"] is None
    else:
        complete = bool(server.username and server.credential)
    try:
        _check_address(url, match)
    except UsageError:
        return False
    return complete


def _check_address(url: str, match: re.Match[str]) -> None:
    host, port = match["host"], match["port"]
    if host.startswith("["):
        _check_ipv6(url, host[1:-1])
    if port is not None and not 1 <= int(port) <= _MAX_PORT:
        raise _bad(url, "the port is out of range")


def _credentials(url: str, userinfo: str | None) -> tuple[str, str]:
    username, colon, credential = (userinfo or "").partition(":")
    if not (username and colon and credential) or ":" in credential:
        raise _bad(url, "a TURN server takes USER:PASSWORD@, a colon in them as %3A")
    return _decode(url, username), _decode(url, credential)


def _decode(url: str, text: str) -> str:
    if not _PERCENT.fullmatch(text):
        raise _bad(url, "a percent sign is written as %25")
    try:
        decoded = urllib.parse.unquote(text, errors="strict")
    except UnicodeDecodeError as exc:
        raise _bad(url, "the credentials are not UTF-8") from exc
    if len(decoded) > MAX_ICE_TEXT or not decoded.isprintable():
        raise _bad(url, "the credentials are too long or not printable")
    return decoded


def _check_ipv6(url: str, host: str) -> None:
    try:
        ipaddress.IPv6Address(host)
    except ValueError as exc:
        raise _bad(url, "the IPv6 address is not valid") from exc


def _bad(url: str, reason: str) -> UsageError:
    """Build the error; credentials (all before the last @) are left out of it."""
    shown = ascii(url)[1:-1]
    if "@" in shown:
        shown = f"{shown.partition(':')[0][:8]}:…@{shown.rpartition('@')[2]}"
    elif not shown.startswith("stun:"):
        shown = f"{shown.partition(':')[0][:8]}:…"  # it may be credentials without their @
    return UsageError(f"The ICE URL {shown[:80]} cannot be used: {reason}.", hint=_HINT)
