"""The event loop of a server: uvloop's where it is installed, else asyncio's own.

uvloop (``pip install 'rtcsend[uvloop]'``) takes a fifth less of the CPU of a pairing; it is
libuv, has wheels for Linux and macOS, and is what other servers in Python run on as well.

Shell, thin.
"""

import asyncio


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return the fastest event loop that there is."""
    try:
        import uvloop  # noqa: PLC0415 - not everybody has it
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def name_of(loop: asyncio.AbstractEventLoop) -> str:
    """Return which one it is, for the log."""
    return type(loop).__module__.partition(".")[0]
