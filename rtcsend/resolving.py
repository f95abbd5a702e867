"""Names of servers to addresses, without ever waiting for a name server at the end.

A look-up cannot be stopped, and the event loop's own threads are joined when it closes: with a
dead name server that takes half a minute. The threads here are left behind instead.

Shell. Place in the flow: before whatever goes to a STUN or TURN server, and before every check of
the doctor that connects.
"""

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Final

MAX_ADDRESSES: Final = 16  # of one name; the system's choice comes first

Address = tuple[str, int]


async def addresses_of(host: str, port: int) -> list[Address]:
    """Return the addresses of a name, the system's choice first.

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


async def address_of_each_family(host: str, port: int) -> list[Address]:
    """Return the first address of each family that a name has: see :func:`addresses_of`."""
    by_family: dict[bool, Address] = {}
    for address in await addresses_of(host, port):
        by_family.setdefault(":" in address[0], address)
    return list(by_family.values())


def _look_up(host: str, port: int) -> list[Address] | OSError:
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as exc:
        return exc
    except UnicodeError:  # a label that is too long, or empty
        return socket.gaierror(socket.EAI_NONAME, "no such name")
    inet = (socket.AF_INET, socket.AF_INET6)
    addresses = [str(info[4][0]) for info in infos if info[0] in inet]
    return [(address, port) for address in dict.fromkeys(addresses)][:MAX_ADDRESSES]
