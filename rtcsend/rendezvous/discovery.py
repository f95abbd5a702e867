"""Finding the rendezvous of a nameplate when no ``--server`` was given.

In order: this machine (:mod:`rtcsend.rendezvous.local`), then the LAN
(:mod:`rtcsend.rendezvous.lan`). What cannot be found is an error that says what to run.

Shell. Source: docs/rendezvous-protocol.md, "Finding a server".
"""

import asyncio
import contextlib
import urllib.parse
from collections.abc import Sequence

from rtcsend.errors import NoSuchCode, Refused, RendezvousUnreachable
from rtcsend.rendezvous.lan import LanService, browse_lan
from rtcsend.rendezvous.lan_notes import LanNotes
from rtcsend.rendezvous.local import any_local, find_local, local_notes

LAN_TIMEOUT = 3.0  # seconds; mDNS answers come within one on a LAN, Wi-Fi may lose the first query
PROBE_TIMEOUT = 2.0  # seconds for all addresses of one server together
PROBE_STAGGER = 0.25  # seconds between two of them; RFC 8305 section 5

_BOTH_SIDES = (
    "Both machines must be on one network, with “rtcsend send” still running; "
    "else give the same --server URL to both commands."
)


async def find_rendezvous(nameplate: str, *, lan: bool) -> str:
    """Return the URL of the server at which the sender with ``nameplate`` waits.

    Args:
        nameplate: The number of the code.
        lan: Whether to search the LAN when this machine has none.

    Raises:
        NoSuchCode: There are rendezvous servers, none of them with this nameplate.
        Refused: Two of the LAN have it.
        RendezvousUnreachable: There is none at all.
    """
    urls = await asyncio.to_thread(find_local, nameplate)
    if urls:
        return await first_reachable(urls)
    services: list[LanService] = []
    if lan:
        services = await browse_lan(nameplate, timeout=LAN_TIMEOUT)
    matching = [service for service in services if service.nameplate == nameplate]
    if matching:
        return await first_reachable(_only_one(matching))
    others_here = await asyncio.to_thread(any_local)
    if services or others_here:
        raise NoSuchCode("No sender on this machine or network has this code's number.")
    raise RendezvousUnreachable(
        f"No sender was found on this machine{' or network' if lan else ''}.", hint=_BOTH_SIDES
    )


async def find_note(note: str, *, lan: bool) -> str:
    """Return the URL of the server whose sender announces ``note``.

    Raises:
        RendezvousUnreachable: There is none.
    """
    urls = [url for found, url in await asyncio.to_thread(local_notes) if found == note]
    if urls:
        return await first_reachable(urls)
    answer: asyncio.Future[Sequence[str]] = asyncio.get_running_loop().create_future()

    def take(found: str, where: tuple[str, ...]) -> None:
        if found == note and not answer.done():
            answer.set_result(where)

    if lan:
        with contextlib.suppress(TimeoutError):
            async with LanNotes(take), asyncio.timeout(LAN_TIMEOUT):
                return await first_reachable(await answer)
    raise RendezvousUnreachable("The sender is not on this machine or network any more.")


def _only_one(matching: Sequence[LanService]) -> tuple[str, ...]:
    """Return the URLs of the one server; several may be one that is announced twice.

    Raises:
        Refused: They are two.
    """
    first, *others = matching
    if any(set(other.urls).isdisjoint(first.urls) for other in others):
        raise Refused(
            "Two senders on this network have a code with the same number.",
            hint="Give --server with the address that the sender shows, or send again.",
        )
    return first.urls


async def first_reachable(urls: Sequence[str]) -> str:
    """Return the first URL whose port takes a TCP connection, or the first of all.

    The addresses of one server are tried side by side, each a little after the one before:
    one that is filtered costs a quarter of a second. Source: RFC 8305 section 5.
    """
    if len(urls) == 1:
        return urls[0]
    loop = asyncio.get_running_loop()
    probes = [
        loop.create_task(_probe(url, delay=index * PROBE_STAGGER)) for index, url in enumerate(urls)
    ]
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            for probe in asyncio.as_completed(probes):
                found = await probe
                if found is not None:
                    return found
    except TimeoutError:
        pass  # none has answered: the client will say so
    finally:
        for task in probes:
            task.cancel()
        await asyncio.gather(*probes, return_exceptions=True)
    return urls[0]


async def _probe(url: str, *, delay: float) -> str | None:
    """Return ``url`` if its port takes a connection."""
    await asyncio.sleep(delay)
    parts = urllib.parse.urlsplit(url)
    try:
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except OSError:
        return None
    writer.transport.abort()  # nothing was said on it
    return url
