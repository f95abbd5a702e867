"""The commands by their names, each imported when it is asked for.

``rtcsend send`` needs nothing of ``rtcsend doctor``; ``rtcsend --help``, which says what each
does, and a shell that completes their names need them all. Click calls such a group lazy
(its documentation, "Lazily Loading Subcommands").

Place in the flow: between the program and the modules of the commands.
"""

from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

COMMANDS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        # What --help of all says of each has one line; the first sentence of some takes more.
        "send": {"short_help": "Send files, folders, a pipe or a text."},
        "receive": {"short_help": "Receive them, with the code that the sender shows."},
        "pair": {"short_help": "Get to know another machine, for transfers without codes."},
        "serve": {
            "context_settings": {
                "allow_extra_args": True,
                "ignore_unknown_options": True,
                "help_option_names": [],  # the server's own help is shown
            }
        },
        "clean": {},
        "doctor": {"short_help": "Say what this network allows, and what would help."},
        "demo": {"short_help": "Try a transfer between two processes on this machine."},
        "bench": {},
        "manual": {"hidden": True},
        "peers": {},
        "config": {},
    }
)
"""What typer is told of each. It is what its module, ``rtcsend.cli.NAME``, has under its name: a
function, or a group of commands. In the order of ``--help``."""


class LateGroup(TyperGroup):
    """The group of all of them; those that typer knows of do not count."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands(dict.fromkeys(COMMANDS))


class _Commands(UserDict[str, Any]):
    """A command by its name, imported when it is asked for, once."""

    def __getitem__(self, name: str) -> Any:
        if super().__getitem__(name) is None:
            self[name] = _load(name)
        return super().__getitem__(name)


def _load(name: str) -> Any:
    found = getattr(import_module(f"rtcsend.cli.{name}"), name)
    if isinstance(found, typer.Typer):
        return get_command(found)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(**COMMANDS[name])(found)
    return get_command(alone)
