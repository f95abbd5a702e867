"""The man page, made from the commands themselves: ``rtcsend manual`` prints it.

docs/rtcsend.1 is its output, and a test holds it to that. The form is that of man(7), with nothing
but its oldest macros. Place in the flow: beside the commands; for packagers.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import typer

from rtcsend import __version__

_HIDDEN: Final = frozenset({"help", "install_completion", "show_completion"})
_FILES: Final = (
    ("$XDG_CONFIG_HOME/rtcsend/config.toml", "Defaults; see rtcsend config."),
    ("$XDG_DATA_HOME/rtcsend/", "Keys of this machine and of those that it knows."),
    ("$XDG_RUNTIME_DIR/rtcsend/", "Word for receivers of the same machine."),
)
_VARIABLES: Final = (
    ("RTCSEND_SERVER", "What --server is when it is not given."),
    ("RTCSEND_TOKEN", "The token that some servers ask of those who send."),
    ("RTCSEND_CODE", "The code when it is given nowhere else."),
    ("RTCSEND_DISCOVERY", "local: only on this machine, not in the LAN."),
    ("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY", "An HTTP proxy."),
    ("NO_COLOR", "If set: no colours."),
    ("TERM", "dumb: nothing moves, every state is a line of its own."),
)
_EXITS: Final = (
    "0 verified and saved; 1 bug; 2 usage; 10 rendezvous unreachable; 11 refused by it; "
    "12 no such code; 13 the other side never came; 20 wrong code or key; 21 incompatible peer; "
    "30 no route; 31 connection lost; 40 declined; 41 stopped by the other side; 42 digest "
    "mismatch; 43 protocol broken; 50 cannot read; 51 cannot write; 52 unsafe path; 53 exists; "
    "130 Ctrl-C; 143 SIGTERM."
)


def manual(ctx: typer.Context) -> None:
    """Print the man page."""
    print(man_page(ctx.find_root()), end="")


def man_page(ctx: Any) -> str:
    """Return the page of a group of commands, for man(1).

    Args:
        ctx: Context of the group, typer's or click's; they share no type.
    """
    group = ctx.command
    lines = [
        f'.TH RTCSEND 1 "" "rtcsend {__version__}"',
        ".SH NAME",
        f"rtcsend \\- {_text(_lower(group.help)).removesuffix('.')}",
        ".SH SYNOPSIS",
        ".B rtcsend",
        ".I COMMAND",
        "[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]",
        ".SH COMMANDS",
    ]
    for name, command in group.commands.items():
        lines += _command(f"rtcsend {name}", command, ctx)
    lines += [".SH EXIT STATUS", _text(_EXITS), ".SH ENVIRONMENT", *_pairs(_VARIABLES)]
    lines += [".SH FILES", *_pairs(_FILES)]
    return "\n".join(lines) + "\n"


def _command(name: str, command: Any, parent: Any) -> Iterator[str]:
    if command.hidden:
        return
    ctx = parent.__class__(command, parent=parent, info_name=name)
    subcommands = getattr(command, "commands", None)
    if subcommands is not None:
        for sub, each in subcommands.items():
            yield from _command(f"{name} {sub}", each, ctx)
        return
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    shown = " ".join(_argument(each) for each in arguments)
    yield f'.SS "{name}{" " if shown else ""}{_text(shown)}"'
    yield _text(" ".join((command.help or "").split()))
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name not in _HIDDEN:
            yield from _option(parameter, ctx)


def _argument(argument: Any) -> str:
    name = str(argument.metavar or argument.name.upper()).strip("{}[].")
    name += "..." if argument.nargs == -1 else ""
    return name if argument.required else f"[{name}]"


def _option(option: Any, ctx: Any) -> Iterator[str]:
    record = option.get_help_record(ctx)
    if record is not None:
        names, text = record
        yield from (".TP", f".B {_text(names)}", _text(" ".join(text.split())))


def _pairs(pairs: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for name, text in pairs:
        yield from (".TP", f".B {_text(name)}", _text(text))


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _text(text: str) -> str:
    """Return plain text as roff: hyphens that can be typed, and nothing taken for a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    escaped = re.sub(r"[^\x00-\x7f]", lambda match: f"\\[u{ord(match[0]):04X}]", escaped)
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped
