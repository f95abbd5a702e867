"""Control messages as a test writes them: well-formed, whatever they say."""

import base64
import json

SAMPLE = "5a" * 32
TRANSFER = "7e" * 16
DIGEST = "ab" * 32

BYE = '{"type":"bye"}'
PING = '{"type":"ping"}'
ABORT = '{"type":"abort","code":"interrupted","reason":"Ctrl-C."}'
SKIP = json.dumps(
    {"type": "accept", "entries": [], "window": 65_536, "limit": 0, "start": 0, "blocks": 0}
)


def proposal(size: int, *, path: str = "film.iso", transfer: str = TRANSFER) -> str:
    entries = [{"path": path, "kind": "file", "size": size, "sample": SAMPLE}]
    message = {"type": "proposal", "transfer": transfer, "entries": entries, "sender": "ada"}
    return json.dumps(message)


def accept(window: int = 1 << 24, *, limit: int = 0, start: int = 0, blocks: int = 0) -> str:
    message = {"type": "accept", "entries": [0], "window": window, "limit": limit}
    return json.dumps({**message, "start": start, "blocks": blocks})


def have(first: int, *digests: bytes) -> str:
    text = base64.urlsafe_b64encode(b"".join(digests)).rstrip(b"=").decode()
    return json.dumps({"type": "have", "entry": 0, "first": first, "digests": text})


def checking(position: int, *, sent: int) -> str:
    return json.dumps({"type": "checking", "entry": 0, "bytes": position, "sent": sent})


def written(count: int) -> str:
    return json.dumps({"type": "written", "entry": 0, "bytes": count})


def end(sent: int, digest: str = DIGEST) -> str:
    return json.dumps({"type": "end", "entry": 0, "digest": digest, "sent": sent})


def complete(digest: str = DIGEST) -> str:
    return json.dumps({"type": "complete", "entry": 0, "digest": digest})
