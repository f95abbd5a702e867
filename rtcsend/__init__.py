"""Move files straight between two machines with one short code, over WebRTC DataChannels.

The Python API is the engine of the command line::

    async with rtcsend.Sender(["film.iso"]) as sender:
        print(sender.code)
        async for event in sender:
            print(event)

    result = await rtcsend.receive("7-guitar-velvet", into="downloads", accept=lambda p: True)

Names are loaded when they are first used, so that importing the package costs nothing:
the rendezvous server, which shares it, never loads WebRTC.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rtcsend import errors, events
    from rtcsend.api import Sender, receive
    from rtcsend.blocking import new_event_loop, receive_file, send_file
    from rtcsend.errors import RtcsendError
    from rtcsend.events import Connected, Done, Event, Progress, Proposal
    from rtcsend.options import Compress, Conflict, Links, RoutePolicy

__all__ = [
    "Compress",
    "Conflict",
    "Connected",
    "Done",
    "Event",
    "Links",
    "Progress",
    "Proposal",
    "RoutePolicy",
    "RtcsendError",
    "Sender",
    "__version__",
    "errors",
    "events",
    "new_event_loop",
    "receive",
    "receive_file",
    "send_file",
]

_HOME = {
    "Compress": "rtcsend.options",
    "Conflict": "rtcsend.options",
    "Connected": "rtcsend.events",
    "Done": "rtcsend.events",
    "Event": "rtcsend.events",
    "Links": "rtcsend.options",
    "Progress": "rtcsend.events",
    "Proposal": "rtcsend.events",
    "RoutePolicy": "rtcsend.options",
    "RtcsendError": "rtcsend.errors",
    "Sender": "rtcsend.api",
    "new_event_loop": "rtcsend.blocking",
    "receive": "rtcsend.api",
    "receive_file": "rtcsend.blocking",
    "send_file": "rtcsend.blocking",
}
_MODULES = frozenset({"errors", "events"})


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _MODULES:
        return import_module(f"rtcsend.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
