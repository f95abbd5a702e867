"""Control messages as a test writes them: well-formed, whatever they say."""

import base64
import json

from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.manifest import Manifest

SAMPLE = "5a" * 32
TRANSFER = "7e" * 16
DIGEST = "ab" * 32

BYE = '{"type":"bye"}'
PING = '{"type":"ping"}'
ABORT = '{"type":"abort","code":"interrupted","reason":"Ctrl-C."}'
_ANSWER = {"type": "accept", "entries": 0, "bytes": 0, "window": 65_536, "limit": 0}
SKIP_ALL = json.dumps({**_ANSWER, "start": 0, "blocks": 0})


def file(size: int, path: str = "film.iso") -> ManifestEntry:
    return ManifestEntry(path=path, kind="file", size=size, sample=SAMPLE)


def listed(*entries: ManifestEntry) -> Manifest:
    manifest = Manifest()
    for entry in entries:
        manifest.add(entry)
    manifest.close()
    return manifest


def proposal_of(manifest: Manifest, *, transfer: str = TRANSFER, repeated: bool = False) -> str:
    message = {
        "type": "proposal",
        "transfer": transfer,
        "sender": "ada",
        "entries": len(manifest),
        "files": manifest.files,
        "bytes": manifest.bytes,
        "digest": manifest.digest,
        "repeated": repeated,
    }
    return json.dumps(message)


def proposal(size: int, *, path: str = "film.iso", transfer: str = TRANSFER) -> str:
    return proposal_of(listed(file(size, path)), transfer=transfer)


def pages_of(manifest: Manifest) -> list[str]:
    return [entries(*manifest.page(number)) for number in range(manifest.pages)]


def page(size: int, *, path: str = "film.iso") -> str:
    """Return the only page of the list of a single file."""
    return pages_of(listed(file(size, path)))[0]


def entries(first: int, compressed: bytes) -> str:
    text = base64.urlsafe_b64encode(compressed).rstrip(b"=").decode()
    return json.dumps({"type": "entries", "first": first, "page": text})


def skip(*ranges: int) -> str:
    return json.dumps({"type": "skip", "ranges": ranges})


def accept(
    size: int,
    window: int = 1 << 24,
    *,
    count: int = 1,
    limit: int = 0,
    start: int = 0,
    blocks: int = 0,
) -> str:
    message = {**_ANSWER, "entries": count, "bytes": size, "window": window, "limit": limit}
    return json.dumps({**message, "start": start, "blocks": blocks})


def have(first: int, *digests: bytes) -> str:
    text = base64.urlsafe_b64encode(b"".join(digests)).rstrip(b"=").decode()
    return json.dumps({"type": "have", "first": first, "digests": text})


def checking(position: int, *, sent: int) -> str:
    return json.dumps({"type": "checking", "bytes": position, "sent": sent})


def written(count: int) -> str:
    return json.dumps({"type": "written", "bytes": count})


def end(sent: int, digest: str = DIGEST) -> str:
    return json.dumps({"type": "end", "digest": digest, "sent": sent})


def complete(digest: str = DIGEST) -> str:
    return json.dumps({"type": "complete", "digest": digest})
