"""``rtcsend peers``: the machines that this one knows, and their keys.

Place in the flow: beside the transfers. What is kept is :mod:`rtcsend.known.store`'s.
Contract: docs/cli.md.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from rtcsend.cli.known_names import complete_names, open_store
from rtcsend.cli.terminal import escape, say
from rtcsend.errors import CannotRead
from rtcsend.events import Event

if TYPE_CHECKING:
    from rtcsend.known.record import Machine

peers = typer.Typer(
    name="peers",
    help="List, remove or rename the machines that this one knows.",
    add_completion=False,
    rich_markup_mode=None,
    invoke_without_command=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer(Event):
    """A machine that this one knows."""

    name: ClassVar[str] = "peer"
    machine: str
    """What this one calls it."""
    fingerprint: str
    """Of its key: 32 hexadecimal digits in fours."""
    paired: str
    """When, as RFC 3339 has it, in UTC."""
    last_used: str | None
    """When the two last met; None: never."""


AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON line for each.")]


Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="What this machine calls it.", autocompletion=complete_names
    ),
]
New = Annotated[str, typer.Argument(metavar="NEW", help="What to call it from now on.")]


@peers.callback()
def overview(ctx: typer.Context, *, json: AsJson = False) -> None:
    """List the machines that this one knows."""
    if ctx.invoked_subcommand is None:
        _list(json=json)


@peers.command("list")
def list_all(*, json: AsJson = False) -> None:
    """Print name, fingerprint, when they were paired, and when they last met."""
    _list(json=json)


@peers.command()
def remove(name: Name) -> None:
    """Know a machine no more: it is refused from now on, and told so."""
    open_store().remove(name)
    say(f"{name} is known no more.")


@peers.command()
def rename(name: Name, new: New) -> None:
    """Give a machine another name."""
    machine = open_store().rename(name, new)
    say(f"{name} is called {machine.name} from now on.")


@peers.command("show-key")
def show_key() -> None:
    """Print the fingerprint of this machine's own key."""
    from rtcsend.pairing.introduction import fingerprint  # noqa: PLC0415 - loads cryptography

    print(fingerprint(open_store().identity().public_key().public_bytes_raw()))


def _list(*, json: bool) -> None:
    store = open_store()
    _show(store.machines(), json=json)
    damaged = [escape(name) for name in store.damaged()]
    if damaged:
        raise CannotRead(
            f"What is kept of {', '.join(damaged)} is damaged.",
            hint=f"Remove it with “rtcsend peers remove {damaged[0]}”, and pair again.",
        )


def _show(machines: "tuple[Machine, ...]", *, json: bool) -> None:
    if json:
        for machine in machines:
            print(_as_event(machine).to_json())
        return
    if not machines:
        say("No machine is known yet. “rtcsend pair NAME” makes one known.")
        return
    width = max(len("NAME"), *(len(machine.name) for machine in machines))
    if sum((width, 39, 10, 10)) + 6 > _COLUMNS:  # too wide: the key on a line of its own
        for machine in machines:
            print(f"{machine.name}\n  {machine.fingerprint}")
            print(f"  paired {_date(machine.paired)}, last used {_date(machine.used)}")
        return
    print(f"{'NAME':{width}}  {'FINGERPRINT':39}  {'PAIRED':10}  LAST USED")
    for machine in machines:
        paired, used = _date(machine.paired), _date(machine.used)
        print(f"{machine.name:{width}}  {machine.fingerprint}  {paired}  {used}")


_COLUMNS = 80


def _as_event(machine: "Machine") -> Peer:
    return Peer(
        machine=machine.name,
        fingerprint=machine.fingerprint,
        paired=_time(machine.paired),
        last_used=None if machine.used is None else _time(machine.used),
    )


def _time(seconds: int) -> str:
    """Return a time as RFC 3339 has it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _date(seconds: int | None) -> str:
    """Return a day as people here have it; “never” for none."""
    if seconds is None:
        return "never"
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d")
