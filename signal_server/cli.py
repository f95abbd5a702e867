"""``rtcsend-server``, and ``rtcsend serve``: the same command.

Shell. Exit codes: 0 after SIGINT or SIGTERM, which is how a server is told to stop;
2 for settings that cannot work, a taken port among them.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
from collections import ChainMap
from pathlib import Path
from typing import Annotated

import typer

from rtcsend.errors import RtcsendError, UsageError
from signal_server.config import ServerConfig
from signal_server.descriptors import raise_descriptor_limit
from signal_server.event_loop import new_event_loop
from signal_server.keys import check_keys
from signal_server.logs import log, set_up_logging
from signal_server.server import RendezvousServer
from signal_server.settings import PREFIX, Values, build_config, from_environment, from_options
from signal_server.settings import from_toml_untrusted as from_toml
from signal_server.store.base import StoreUnavailable
from signal_server.store.opening import check_store

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
_LISTEN_HINTS = {
    errno.EADDRINUSE: "Give another --port, or stop the program that uses it.",
    errno.EACCES: "Give a --port from 1024 on, or let it have lower ones "
    "(CAP_NET_BIND_SERVICE), or put a reverse proxy there.",
    errno.EADDRNOTAVAIL: "Give an address of this machine by --host, or none for all.",
}
_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared with
MAX_CONFIG = 2**20  # characters of a configuration file

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command("rtcsend-server")
def serve_command(
    *,
    config: Annotated[
        str | None, typer.Option(metavar="FILE", help="Settings in TOML; options win over it.")
    ] = None,
    check_config: Annotated[
        bool, typer.Option("--check-config", help="Check settings and files, and end.")
    ] = False,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; all interfaces by default.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on, 8765 by default; 0 takes a free one.")
    ] = None,
    tls_cert: Annotated[
        str | None, typer.Option(metavar="FILE", help="Certificate chain (PEM): clients use wss.")
    ] = None,
    tls_key: Annotated[
        str | None, typer.Option(metavar="FILE", help="Its private key (PEM).")
    ] = None,
    tls_self_signed: Annotated[
        bool | None,
        typer.Option("--tls-self-signed", help="Make and keep a certificate for clients to pin."),
    ] = None,
    state_dir: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where the self-signed certificate is kept.")
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CIDR", help="Reverse proxies whose X-Forwarded-For counts (repeatable)."
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where mailboxes are kept: memory, or redis://HOST."),
    ] = None,
    ice: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="STUN or TURN server to hand to clients (repeatable): stun:HOST:PORT, "
            "turn:USER:PASSWORD@HOST:PORT?transport=udp|tcp, or turns:…",
        ),
    ] = None,
    turn: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="TURN server with the shared secret (repeatable): turn:HOST:PORT?transport=…",
        ),
    ] = None,
    turn_secret_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="The secret shared with the TURN servers.")
    ] = None,
    turn_lifetime: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="For which a credential works; 3600.")
    ] = None,
    motd: Annotated[
        str | None, typer.Option(help="A line that clients show to their users.")
    ] = None,
    min_client: Annotated[
        str | None, typer.Option(metavar="VERSION", help="The oldest rtcsend that may come.")
    ] = None,
    auth_token: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="Only who has it gets codes (see the file).")
    ] = None,
    auth_token_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Such tokens, one a line.")
    ] = None,
    metrics_listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where /metrics is, if not here.")
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="text or json.")] = None,
    log_addresses: Annotated[
        bool | None, typer.Option("--log-addresses", help="Log where clients come from.")
    ] = None,
    drain_seconds: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="For pairings to finish at the end; 30.")
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="One of the limits in docs/operations.md."),
    ] = None,
    verbose: Annotated[
        bool | None, typer.Option("--verbose", "-v", help="Log what every socket does.")
    ] = None,
) -> None:
    """Run the rendezvous server: it introduces two sides, and never sees what they send."""
    given = from_options(
        {
            "host": host,
            "port": port,
            "store": store,
            "tls_cert": tls_cert,
            "tls_key": tls_key,
            "tls_self_signed": tls_self_signed,
            "state_dir": state_dir,
            "trusted_proxy": tuple(trusted_proxy or ()),
            "ice": tuple(ice or ()),
            "turn": tuple(turn or ()),
            "turn_secret_file": turn_secret_file,
            "turn_lifetime": turn_lifetime,
            "motd": motd,
            "min_client": min_client,
            "auth_token": auth_token,
            "auth_token_file": auth_token_file,
            "metrics_listen": metrics_listen,
            "log_format": log_format,
            "log_addresses": log_addresses,
            "verbose": verbose,
            "drain_seconds": drain_seconds,
        },
        limit or (),
    )
    layers = (_from_file(config), from_environment(os.environ), given)
    settings = build_config(*layers)
    if check_config:
        check_keys(settings)
        check_store(settings.store)
        print("rtcsend-server: the configuration works.")  # noqa: T201 - the command's output
        return
    set_up_logging(
        log_format=settings.log_format,
        addresses=settings.log_addresses,
        verbose=ChainMap(*reversed(layers)).get("verbose", False) is True,
    )
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(settings))


def run() -> None:
    """Run the command line of ``rtcsend-server``, and exit the process."""
    try:
        app()
    except RtcsendError as exc:
        print(f"{exc.message}\n{exc.hint}", file=sys.stderr)  # noqa: T201 - the command's output
        sys.exit(exc.exit_code)


def _from_file(option: str | None) -> Values:
    """Return the settings of the file that the option or the environment names.

    Raises:
        UsageError: It cannot be read, or not be understood.
    """
    name = option or os.environ.get(CONFIG_VARIABLE)
    if not name:
        return {}
    try:
        with Path(name).open(encoding="utf-8") as file:
            text = file.read(MAX_CONFIG)
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no UTF-8"
        raise UsageError(
            f"The configuration {name} cannot be read: {reason}.",
            hint=f"Check --config, or {CONFIG_VARIABLE}.",
        ) from exc
    return from_toml(text, source=name)


async def _serve(config: ServerConfig) -> None:
    """Serve until a signal comes; a second one ends without draining.

    Raises:
        UsageError: The host or the port cannot be had, or a file cannot be used.
    """
    few = raise_descriptor_limit(config.limits.max_sockets)
    server = RendezvousServer(config)
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(server)
        except StoreUnavailable as exc:
            raise UsageError(
                f"The store cannot be used: {exc}.",
                hint="Check --store (redis://USER:PASSWORD@HOST:PORT/DATABASE), and Redis there.",
            ) from exc
        except OSError as exc:
            where = f"{config.host or 'all interfaces'}, port {config.port}"
            hint = _LISTEN_HINTS.get(exc.errno or 0, "Check --host and --port.")
            raise UsageError(
                f"Cannot listen on {where}: {exc.strerror or exc}.", hint=hint
            ) from exc
        if few is not None:
            log(logging.WARNING, "few file descriptors", allowed=few)
        stop, stop_now = asyncio.Event(), asyncio.Event()
        _on_signals(server, stop, stop_now)
        print(_listening(server, config), flush=True)  # noqa: T201 - scripts wait for it
        await stop.wait()
        draining = asyncio.create_task(server.drain())
        hurrying = asyncio.create_task(stop_now.wait())
        try:
            await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            draining.cancel()
            hurrying.cancel()
            await asyncio.gather(draining, hurrying, return_exceptions=True)


def _listening(server: RendezvousServer, config: ServerConfig) -> str:
    """Return the line that says where the server is, and what clients need."""
    name = config.host or "::"
    if name in _ANY_ADDRESS:  # which no client can call
        name = socket.gethostname()
    host = f"[{name}]" if ":" in name else name
    where = ", ".join(server.addresses)
    scheme = "wss" if config.has_tls else "ws"
    pin = f"#sha256={server.fingerprint}" if server.fingerprint else ""
    url = f"{scheme}://{host}:{server.port}{pin}"
    return f"rtcsend-server listening on {where}, for clients: --server {url}"


def _on_signals(server: RendezvousServer, stop: asyncio.Event, stop_now: asyncio.Event) -> None:
    """SIGTERM drains, as does SIGINT, and a second one hurries; SIGHUP reads files again.

    Unless SIGHUP says that the terminal is gone, from which it was started.
    """
    loop = asyncio.get_running_loop()
    watched = sys.platform != "win32" and _has_terminal() and not _ignores_hangup()

    def on_stop() -> None:
        (stop_now if stop.is_set() else stop).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, on_stop)
        except NotImplementedError:  # Windows has no such method
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(on_stop))

    def on_hangup() -> None:
        if watched and not _has_terminal():
            on_stop()
        else:
            server.reload()

    if sys.platform != "win32":
        loop.add_signal_handler(signal.SIGHUP, on_hangup)


def _has_terminal() -> bool:
    """Return whether there is a terminal that can hang up."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _ignores_hangup() -> bool:
    """Return whether it was started with nohup."""
    return signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
