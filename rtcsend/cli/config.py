"""``rtcsend config``: shows and changes the configuration file.

Place in the flow: beside the transfers; they read the file by :mod:`rtcsend.cli.config_file`.
"""

import json
import os
import re
from typing import Annotated, Final

import typer

from rtcsend.cli.config_file import (
    SETTINGS,
    config_path,
    parse_setting,
    read_config,
    setting_of,
    write_config,
)

config = typer.Typer(
    name="config",
    help="Show or change the defaults in the configuration file.",
    add_completion=False,
    rich_markup_mode=None,
)

_PASSWORD: Final = re.compile(r"(turns?:[^:@\"]*):[^@\"]*@")

Name = Annotated[str, typer.Argument(metavar="NAME", help=f"One of {', '.join(SETTINGS)}.")]
Values = Annotated[
    list[str] | None,
    typer.Argument(metavar="[VALUE]...", help="Its value; none removes it. Several for ice."),
]


@config.command()
def show() -> None:
    """Print what is set, without passwords."""
    for name, value in read_config(config_path(os.environ)).items():
        shown = _PASSWORD.sub(r"\1:…@", json.dumps(value, ensure_ascii=False))
        print(f"{name} = {shown}")


@config.command("set")
def set_value(name: Name, values: Values = None) -> None:
    """Set a default, or remove it. Comments in the file are lost."""
    path = config_path(os.environ)
    settings = read_config(path, without=name)
    if values:
        settings[name] = parse_setting(name, values)
    else:
        setting_of(name)  # there is one of that name
    write_config(path, settings)


@config.command()
def path() -> None:
    """Print where the file is."""
    print(config_path(os.environ))
