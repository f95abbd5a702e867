"""``python -m tests.lab.preloaded ARGUMENT...``: rtcsend, with all its modules loaded beforehand.

What a table of round trips is to show is the protocol, and not how long this machine takes to
import aiortc. The first line of standard output says that it is loaded.
"""

import importlib
from contextlib import suppress
from typing import Final

MODULES: Final = (
    "rtcsend.connecting",
    "rtcsend.receiving",
    "rtcsend.sending",
    "rtcsend.cli.receive",
    "rtcsend.cli.send",
    "rtcsend.cli.main",
    "rtcsend.cli.engine",
    "rtcsend.rendezvous.embedded",
    "websockets.asyncio.client",
    "urllib.request",
    "blake3",
    "rich.progress",
)
INNER: Final = ("typer._adapters",)  # of some versions, which load it with the first command


def main() -> None:
    """Load, say so, and be the command."""
    for name in MODULES:
        importlib.import_module(name)
    for name in INNER:
        with suppress(ImportError):
            importlib.import_module(name)
    print('{"event": "loaded"}', flush=True)
    importlib.import_module("rtcsend.cli.main").run()


if __name__ == "__main__":
    main()
