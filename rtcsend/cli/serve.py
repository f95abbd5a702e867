"""``rtcsend serve``: the rendezvous server, the same program as ``rtcsend-server``.

Everything behind ``serve`` on the command line goes to :mod:`signal_server.cli` as it
stands, which is imported only now: the other commands do not wait for a server.
"""

import typer
from typer.main import get_command

from rtcsend.cli.memory import collect_as_usual


def serve(context: typer.Context) -> None:
    """Run the rendezvous server, the same program as rtcsend-server."""
    from signal_server.cli import app  # noqa: PLC0415 - see above

    collect_as_usual()
    status = get_command(app).main(
        list(context.args), prog_name="rtcsend serve", standalone_mode=False
    )
    if isinstance(status, int) and status:
        raise typer.Exit(status)
