"""``rtcsend-server``, and ``rtcsend serve``: the same command.

Shell. Exit codes: 0 after SIGINT or SIGTERM, which is how a server is told to stop;
2 for options that cannot work, a taken port among them.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from typing import Annotated

import typer

from rtcsend.errors import RtcsendError, UsageError
from rtcsend.rendezvous.ice_urls import parse_ice_url
from signal_server.config import DEFAULT_PORT, ServerConfig
from signal_server.server import RendezvousServer

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command("rtcsend-server")
def serve_command(
    *,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; all interfaces by default.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = (
        DEFAULT_PORT
    ),
    ice: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="STUN or TURN server to hand to clients (repeatable): stun:HOST:PORT, "
            "turn:USER:PASSWORD@HOST:PORT?transport=udp|tcp, or turns:…",
        ),
    ] = None,
    motd: Annotated[
        str | None, typer.Option(help="A line that clients show to their users.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log sockets with their addresses.")
    ] = False,
) -> None:
    """Run the rendezvous server: it introduces two sides, and never sees what they send."""
    config = ServerConfig(
        host=host or None,
        port=port,
        ice_servers=tuple(parse_ice_url(url) for url in ice or ()),
        motd=motd,
    )
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    asyncio.run(_serve(config))


def run() -> None:
    """Run the command line of ``rtcsend-server``, and exit the process."""
    try:
        app()
    except RtcsendError as exc:
        print(f"{exc.message}\n{exc.hint}", file=sys.stderr)  # noqa: T201 - the command's output
        sys.exit(exc.exit_code)


async def _serve(config: ServerConfig) -> None:
    """Serve until a signal comes.

    Raises:
        UsageError: The host or the port cannot be had.
    """
    server = RendezvousServer(config)
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(server)
        except OSError as exc:
            where = f"{config.host or 'all interfaces'}, port {config.port}"
            raise UsageError(
                f"Cannot listen on {where}: {exc.strerror or exc}.",
                hint="Give another --port or --host, or stop the program that uses it.",
            ) from exc
        stop = asyncio.Event()
        _on_signals(stop)
        print(_listening(server, config), flush=True)  # noqa: T201 - scripts wait for it
        await stop.wait()


def _listening(server: RendezvousServer, config: ServerConfig) -> str:
    """Return the line that says where the server is, and what clients need."""
    name = config.host or socket.gethostname()
    host = f"[{name}]" if ":" in name else name
    where = ", ".join(server.addresses)
    return f"rtcsend-server listening on {where} (clients: --server ws://{host}:{server.port})"


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows has no such method
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
