"""Names to addresses, without ever waiting for a name server at the end.

A look-up cannot be stopped, and the event loop's own threads are joined when it closes: with a
dead name server that takes half a minute. The threads here are left behind instead.

Shell. Place in the flow: before every check that connects.
"""

import asyncio
import contextlib
import socket
import threading
from typing import Final

from rtcsend.doctor.codec import Endpoint

MAX_ADDRESSES: Final = 16  # of one name; the system's choice comes first


async def addresses_of(host: str, port: int) -> list[Endpoint]:
    """Return the addresses of a name, the system's choice first.

    Raises:
        OSError: It has none (``socket.gaierror``).
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Endpoint]] = loop.create_future()

    def tell(result: list[Endpoint] | OSError) -> None:
        if found.done():
            return  # nobody waits any more
        if isinstance(result, OSError):
            found.set_exception(result)
        else:
            found.set_result(result)

    def look_up() -> None:
        result = _look_up(host, port)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, result)

    threading.Thread(target=look_up, name="rtcsend-name", daemon=True).start()
    return await found


def _look_up(host: str, port: int) -> list[Endpoint] | OSError:
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as exc:
        return exc
    except UnicodeError:  # a label that is too long, or empty
        return socket.gaierror(socket.EAI_NONAME, "no such name")
    inet = (socket.AF_INET, socket.AF_INET6)
    addresses = [str(info[4][0]) for info in infos if info[0] in inet]
    return [(address, port) for address in dict.fromkeys(addresses)][:MAX_ADDRESSES]
