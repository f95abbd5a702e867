"""Messages of the rendezvous protocol to frames, and back.

Pure. Source: docs/rendezvous-protocol.md, "Frames".
"""

from collections.abc import Callable, Mapping
from typing import TypeVar, get_args

from rtcsend.rendezvous.messages import (
    AUTH,
    ICE_URL,
    MAILBOX,
    MAX_BODY_TEXT,
    MAX_DISPLAY,
    MAX_ICE_SERVERS,
    MAX_ICE_TEXT,
    MAX_ICE_URLS,
    NAMEPLATE,
    SIDE,
    TOKEN,
    VERSION,
    Allocate,
    Allocated,
    Claim,
    Claimed,
    ClientMessage,
    ErrorCode,
    ErrorMessage,
    IceServer,
    Meet,
    Message,
    Peer,
    PeerState,
    Release,
    Report,
    ReportedRoute,
    Resume,
    Resumed,
    ServerMessage,
    Welcome,
)
from rtcsend.rendezvous.wire import (
    BadMessage,
    Fields,
    checked_text,
    fields_of,
    is_base64url,
    parse_object_untrusted,
    serialize_object,
)

PLAIN_START, PLAIN_END = '{"type":"message","body":"', '"}'
"""Around the body of a ``message`` as :func:`serialize` writes it."""

_M = TypeVar("_M")


def parse_client_message_untrusted(text: str) -> ClientMessage:
    """Return the message of a frame that a client sent.

    Raises:
        BadMessage: Anything else than one well-formed message of protocol version 1.
    """
    return _parse(text, _CLIENT_PARSERS)


def parse_server_message_untrusted(text: str) -> ServerMessage:
    """Return the message of a frame that a server sent.

    Raises:
        BadMessage: Anything else than one well-formed message of protocol version 1.
    """
    return _parse(text, _SERVER_PARSERS)


def serialize(message: ClientMessage | ServerMessage) -> str:
    """Return the frame of a message. Fields that are None are left out, except motd."""
    if isinstance(message, Message):  # nearly all are; and base64url needs no escapes
        return f"{PLAIN_START}{message.text}{PLAIN_END}"
    values: dict[str, object] = {"type": _TYPE_NAMES[type(message)]}
    if isinstance(message, Welcome):
        values |= _welcome_values(message)
    elif isinstance(message, Peer):
        values |= _peer_values(message)
    else:
        for name in message.__dataclass_fields__:
            value = getattr(message, name)
            if value is not None:
                values[name] = value
    return serialize_object(values)


def _parse(text: str, parsers: Mapping[str, Callable[[Fields], _M]]) -> _M | Message:
    if text.startswith(PLAIN_START) and text.endswith(PLAIN_END):
        # Nearly all are; where the body is good, this is what the JSON parser would make of it.
        body = text[len(PLAIN_START) : -len(PLAIN_END)]
        if len(body) <= MAX_BODY_TEXT and is_base64url(body):
            return Message.of_text(body)
    fields = parse_object_untrusted(text)
    parser = parsers.get(fields.text("type", max_length=MAX_DISPLAY))
    if parser is None:
        raise BadMessage("unknown type")
    return parser(fields)


def _parse_allocate(fields: Fields) -> Allocate:
    return Allocate(
        nameplate=fields.maybe_matching("nameplate", NAMEPLATE),
        side=fields.maybe_matching("side", SIDE),
        received=fields.count("received"),
        auth=fields.maybe_matching("auth", AUTH),
    )


def _parse_claim(fields: Fields) -> Claim:
    return Claim(
        nameplate=fields.matching("nameplate", NAMEPLATE),
        side=fields.maybe_matching("side", SIDE),
        received=fields.count("received"),
    )


def _parse_meet(fields: Fields) -> Meet:
    return Meet(
        mailbox=fields.matching("mailbox", MAILBOX),
        side=fields.maybe_matching("side", SIDE),
        received=fields.count("received"),
        permit=fields.maybe_matching("permit", AUTH),
        auth=fields.maybe_matching("auth", AUTH),
    )


def _parse_resume(fields: Fields) -> Resume:
    if fields.has("nameplate") == fields.has("mailbox"):
        raise BadMessage("resume names a nameplate or a mailbox")
    return Resume(
        token=fields.matching("token", TOKEN),
        nameplate=fields.maybe_matching("nameplate", NAMEPLATE),
        mailbox=fields.maybe_matching("mailbox", MAILBOX),
        received=fields.count("received"),
    )


def _parse_message(fields: Fields) -> Message:
    body = fields.text("body", max_length=MAX_BODY_TEXT)
    if not is_base64url(body):
        raise BadMessage("not canonical base64url")
    return Message.of_text(body)


def _parse_release(_fields: Fields) -> Release:
    return Release()


def _parse_report(fields: Fields) -> Report:
    value = fields.text("route", max_length=MAX_DISPLAY)
    for route in get_args(ReportedRoute):
        if value == route:
            return Report(route)
    raise BadMessage("unknown route")


def _parse_welcome(fields: Fields) -> Welcome:
    return Welcome(
        server=fields.text("server", max_length=MAX_DISPLAY),
        ice_servers=_parse_ice_servers(fields),
        motd=fields.maybe_text("motd", max_length=MAX_DISPLAY),
        protocol=fields.count("protocol"),
        min_client=fields.maybe_matching("min_client", VERSION),
        reports=fields.flag("reports"),
    )


def _parse_ice_servers(fields: Fields) -> tuple[IceServer, ...]:
    servers = fields.items("ice_servers", max_items=MAX_ICE_SERVERS)
    return tuple(_parse_ice_server(fields_of(value)) for value in servers)


def _parse_ice_server(fields: Fields) -> IceServer:
    urls = [
        checked_text(value, name="urls", max_length=MAX_ICE_TEXT)
        for value in fields.items("urls", max_items=MAX_ICE_URLS)
    ]
    if not urls or not all(ICE_URL.fullmatch(url) for url in urls):
        raise BadMessage("field urls holds no ICE URL, or another one")
    return IceServer(
        urls=tuple(urls),
        username=fields.maybe_text("username", max_length=MAX_ICE_TEXT),
        credential=fields.maybe_text("credential", max_length=MAX_ICE_TEXT),
    )


def _parse_allocated(fields: Fields) -> Allocated:
    return Allocated(
        nameplate=fields.matching("nameplate", NAMEPLATE),
        token=fields.matching("token", TOKEN),
        received=fields.count("received"),
    )


def _parse_claimed(fields: Fields) -> Claimed:
    return Claimed(token=fields.matching("token", TOKEN), received=fields.count("received"))


def _parse_resumed(fields: Fields) -> Resumed:
    return Resumed(received=fields.count("received"))


def _parse_peer(fields: Fields) -> Peer:
    value = fields.text("state", max_length=MAX_DISPLAY)
    for state in get_args(PeerState):
        if value == state:
            permit = fields.maybe_matching("permit", AUTH)
            return Peer(state, _parse_ice_servers(fields), permit)
    raise BadMessage("unknown peer state")


def _parse_error(fields: Fields) -> ErrorMessage:
    value = fields.text("code", max_length=MAX_DISPLAY)
    message = fields.maybe_text("message", max_length=MAX_DISPLAY) or ""
    retry_after = fields.count("retry_after") if fields.has("retry_after") else None
    for code in get_args(ErrorCode):
        if value == code:
            return ErrorMessage(code=code, message=message, retry_after=retry_after)
    # A later server may have other reasons; what they have in common is that it refuses.
    return ErrorMessage(code="refused", message=message, retry_after=retry_after)


def _welcome_values(message: Welcome) -> dict[str, object]:
    values: dict[str, object] = {
        "protocol": message.protocol,
        "server": message.server,
        "ice_servers": [_ice_values(server) for server in message.ice_servers],
        "motd": message.motd,
    }
    if message.min_client is not None:
        values["min_client"] = message.min_client
    if message.reports:
        values["reports"] = True
    return values


def _peer_values(message: Peer) -> dict[str, object]:
    values: dict[str, object] = {"state": message.state}
    if message.ice_servers:
        values["ice_servers"] = [_ice_values(server) for server in message.ice_servers]
    if message.permit is not None:
        values["permit"] = message.permit
    return values


def _ice_values(server: IceServer) -> dict[str, object]:
    values: dict[str, object] = {"urls": list(server.urls)}
    if server.username is not None:
        values["username"] = server.username
    if server.credential is not None:
        values["credential"] = server.credential
    return values


_CLIENT_PARSERS: Mapping[str, Callable[[Fields], ClientMessage]] = {
    "allocate": _parse_allocate,
    "claim": _parse_claim,
    "meet": _parse_meet,
    "resume": _parse_resume,
    "message": _parse_message,
    "release": _parse_release,
    "report": _parse_report,
}

_SERVER_PARSERS: Mapping[str, Callable[[Fields], ServerMessage]] = {
    "welcome": _parse_welcome,
    "allocated": _parse_allocated,
    "claimed": _parse_claimed,
    "resumed": _parse_resumed,
    "message": _parse_message,
    "peer": _parse_peer,
    "error": _parse_error,
}

_TYPE_NAMES: Mapping[type, str] = {
    Allocate: "allocate",
    Claim: "claim",
    Meet: "meet",
    Resume: "resume",
    Message: "message",
    Release: "release",
    Report: "report",
    Welcome: "welcome",
    Allocated: "allocated",
    Claimed: "claimed",
    Resumed: "resumed",
    Peer: "peer",
    ErrorMessage: "error",
}
