"""Why a Redis cannot be the store, in a few words that operators understand.

What Redis answers is never quoted but for the code that it begins with: the rest may hold keys.

Shell, by the exceptions that it knows. Place in the flow: used by
:mod:`signal_server.store.redis_link`. Source: Redis, "RESP protocol specification" (simple
errors), INFO, CLUSTER INFO.
"""

import re
import socket
import ssl
from typing import Final

from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import InvalidResponse, ResponseError

LEAST_VERSION: Final = (7, 0)  # SET with NX and GET at once
CLUSTER: Final = (
    "it is a Redis Cluster of several nodes; rtcsend needs one node, or a replicated one"
)

_EXCEPTIONS: Final = (  # the narrower ones first
    (InvalidResponse, "what answers there is no Redis"),
    (TimeoutError, "it does not answer in time"),
    (ssl.SSLCertVerificationError, "its certificate is not trusted"),
    (ssl.SSLError, "it does not speak TLS as asked for"),
    (socket.gaierror, "its name cannot be resolved"),
    (ConnectionRefusedError, "nothing listens there"),
)

# What an error of Redis begins with.
_ANSWERS: Final = (
    (("WRONGPASS", "NOAUTH"), "it wants another user or password"),
    (("ERR AUTH <password> called without",), "it has no password, and was given one"),
    (("NOPERM",), "this user may not do what is needed (ACL)"),
    (("READONLY",), "it is a read-only replica"),
    (("OOM",), "its memory is full (maxmemory)"),
    (("MISCONF",), "it cannot write to its disk"),
    (("LOADING", "MASTERDOWN", "BUSY"), "it is busy: loading, or waiting for its primary"),
    (("MOVED", "ASK", "CROSSSLOT", "CLUSTERDOWN", "TRYAGAIN"), CLUSTER),
    (("DENIED",), "it is in protected mode, and lets in nobody from elsewhere"),
    (("ERR DB index", "ERR invalid DB index"), "it has no such database"),
    (("ERR max number of clients",), "it has no place for another client (maxclients)"),
    (("ERR unknown command", "ERR syntax"), "it is too old: Redis 7.0 or newer is needed"),
)
_CODE: Final = re.compile(r"[A-Z]{2,20}")
_FIELD: Final = re.compile(r"^(\w+):(\S+)\r?$", re.MULTILINE | re.ASCII)


def reason_of(failure: BaseException) -> str:
    """Return what a failed call means: the rest of a sentence about the store."""
    if isinstance(failure, ResponseError):
        return _known(str(failure)) or f"it refuses ({_code(str(failure))})"
    if isinstance(failure, LostConnection):
        # It may have been given up for what Redis had answered.
        return _known(str(failure)) or "the connection was lost"
    for kind, reason in _EXCEPTIONS:
        if isinstance(failure, kind):
            return reason
    text = getattr(failure, "strerror", None) or "it cannot be reached"
    return text[:1].lower() + text[1:]


def is_full(failure: BaseException) -> bool:
    """Return whether Redis has refused something since its memory is full."""
    return isinstance(failure, ResponseError) and str(failure).startswith("OOM")


def misfit_untrusted(server: str, cluster: str = "") -> str | None:
    """Return why a Redis that answers cannot be the store; None: nothing speaks against it.

    Args:
        server: What it answers to INFO server.
        cluster: To CLUSTER INFO; empty where there is no cluster.
    """
    fields = dict(_FIELD.findall(server))
    if fields.get("redis_mode") == "sentinel":
        return "it is a Sentinel; give the address of the Redis that it watches"
    number = re.match(r"(\d{1,4})\.(\d{1,4})", fields.get("redis_version", ""), re.ASCII)
    if number is not None and (int(number[1]), int(number[2])) < LEAST_VERSION:
        return f"it is Redis {number[0]}: 7.0 or newer is needed"
    size = dict(_FIELD.findall(cluster)).get("cluster_size", "1")
    return None if size in ("0", "1") else CLUSTER


def _code(answer: str) -> str:
    code = _CODE.match(answer)
    return code[0] if code else "ERR"


def _known(answer: str) -> str | None:
    return next((reason for begins, reason in _ANSWERS if answer.startswith(begins)), None)
