"""Names of STUN and TURN servers to addresses, without ever waiting for a name server at the end.

A shell. A look-up cannot be stopped, and the event loop's own threads are joined when it closes:
with a dead name server that takes half a minute. The threads here are left behind instead.
"""

import asyncio
import socket
import threading
from contextlib import suppress

Address = tuple[str, int]


async def addresses_of(host: str, port: int) -> list[Address]:
    """Return an address of each family that a name has, the system's choice first.

    Raises:
        OSError: It has none (``socket.gaierror``).
    """
    loop = asyncio.get_running_loop()
    with suppress(OSError, UnicodeError):
        literal = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )
        return [(str(literal[0][4][0]), port)]
    found: asyncio.Future[list[Address] | OSError] = loop.create_future()

    def tell(result: list[Address] | OSError) -> None:
        if not found.done():  # somebody still waits
            found.set_result(result)

    def look_up() -> None:
        result = _look_up(host, port)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, result)

    threading.Thread(target=look_up, name="rtcsend-name", daemon=True).start()
    result = await found
    if isinstance(result, OSError):
        raise result
    return result


def _look_up(host: str, port: int) -> list[Address] | OSError:
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as exc:
        return exc
    except UnicodeError:  # a label that is too long, or empty
        return socket.gaierror(socket.EAI_NONAME, "no such name")
    by_family: dict[int, Address] = {}
    for family, _, _, _, address in infos:
        if family in (socket.AF_INET, socket.AF_INET6):
            by_family.setdefault(family, (str(address[0]), port))
    return list(by_family.values())
