"""Manifests to test with."""

import zlib
from collections.abc import Iterable

from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.manifest import Manifest
from rtcsend.manifest.reading import ManifestReader


def file(path: str, size: int = 1) -> ManifestEntry:
    """Return an entry that is a file."""
    return ManifestEntry(path=path, kind="file", size=size)


def folder(path: str) -> ManifestEntry:
    """Return an entry that is a directory."""
    return ManifestEntry(path=path, kind="directory")


def manifest_of(entries: Iterable[ManifestEntry]) -> Manifest:
    """Return a closed manifest."""
    manifest = Manifest()
    for entry in entries:
        manifest.add(entry)
    manifest.close()
    return manifest


def reader_of(manifest: Manifest) -> ManifestReader:
    """Return who reads a manifest at the other side, before any page has come."""
    return ManifestReader(
        entries=len(manifest),
        files=manifest.files,
        size=manifest.bytes,
        digest=manifest.digest,
    )


def page(text: bytes | str) -> bytes:
    """Return a page of any text."""
    return zlib.compress(text.encode() if isinstance(text, str) else text)
