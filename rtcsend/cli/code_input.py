"""Where a code comes from: the command line, a file, the environment, a pipe, or a person.

A command line can be read by everybody on the machine, so that there are other ways. In
order: the argument (or ``--code-file``; both are a contradiction), ``RTCSEND_CODE``,
standard input when it is no terminal, and at last a prompt with Tab completion.

Every code is checked here, before anybody is contacted: a mistyped word costs a second
look and not the code. Place in the flow: before the engine starts; blocks, on purpose.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rtcsend.cli.code_completion import complete_line
from rtcsend.cli.terminal import can_ask, escape, is_terminal, say
from rtcsend.code.code import (
    MAX_CODE_LENGTH,
    corrected_untrusted,
    parse_code_untrusted,
)
from rtcsend.errors import CannotRead, Interrupted, UsageError

ENVIRONMENT: Final = "RTCSEND_CODE"
STDIN: Final = Path("-")
_READ_LIMIT: Final = 4 * MAX_CODE_LENGTH + 1  # bytes; four a character, and one tells of more


def code_for_send(
    *, option: str | None, code_file: Path | None, environment: Mapping[str, str]
) -> str | None:
    """Return the sender's own code in its plain form; None: a new one is to be drawn.

    Raises:
        UsageError: Two sources contradict each other, or it is no code.
        CannotRead: The file cannot be read.
    """
    text = _named_code(option, "--code", code_file, environment)
    return None if text is None else str(parse_code_untrusted(text))


def code_for_receive(
    *, argument: str | None, code_file: Path | None, environment: Mapping[str, str]
) -> str:
    """Return the receiver's code in its plain form, asking for it when all else fails.

    Raises:
        UsageError: Two sources contradict each other, it is no code, or there is none and
            nobody to ask.
        CannotRead: The file cannot be read.
        Interrupted: Ctrl-C at the prompt.
    """
    text = _named_code(argument, "CODE", code_file, environment)
    if text is None and not is_terminal(sys.stdin):
        text = _read_standard_input()
    if text is not None:
        return _parsed_or_asked(text)
    if not can_ask():
        raise UsageError(
            "There is no code, and no terminal to ask for it.",
            hint=f"Give it as CODE, by --code-file, by {ENVIRONMENT}, or on standard input.",
        )
    return _ask()


def _named_code(
    given: str | None, name: str, code_file: Path | None, environment: Mapping[str, str]
) -> str | None:
    if given is not None and code_file is not None:
        raise UsageError(f"{name} and --code-file are two sources for one code.", hint=_ONE_SOURCE)
    if given is not None:
        return given
    if code_file is not None:
        return _read_standard_input() if code_file == STDIN else _read_file(code_file)
    return environment.get(ENVIRONMENT) or None


_ONE_SOURCE: Final = "Give one of them."


def _parsed_or_asked(text: str) -> str:
    """Return the plain form; where a word is mistyped and somebody is there, ask what is meant.

    Raises:
        UsageError: It is no code.
        Interrupted: Ctrl-C at the prompt.
    """
    try:
        return str(parse_code_untrusted(text))
    except UsageError as exc:
        suggestion = corrected_untrusted(text)
        if suggestion is None or not can_ask():
            raise
        say(escape(exc.message))
        return _ask(str(suggestion))


def _read_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return _decode(file.read(_READ_LIMIT))
    except OSError as exc:
        reason = escape(exc.strerror or type(exc).__name__)
        raise CannotRead(
            f"The code file {escape(str(path))} cannot be read: {reason}.",
            hint="Check the path and its permissions.",
        ) from exc


def _read_standard_input() -> str:
    """Read one line: more may be meant for somebody else."""
    line = sys.stdin.readline(_READ_LIMIT) if sys.stdin is not None else ""
    if not line.strip():
        raise UsageError(
            "There is no code on standard input.",
            hint=f"Give it as CODE, by --code-file, by {ENVIRONMENT}, or on standard input.",
        )
    return line


def _decode(data: bytes) -> str:
    return data.decode("utf-8-sig", "replace")


def _ask(suggestion: str = "") -> str:
    """Ask on the terminal until a code comes that is one.

    Args:
        suggestion: What a mistyped code most likely stands for; Enter takes it.

    Raises:
        Interrupted: Ctrl-C, or the end of input.
    """
    while True:
        line = ""
        try:
            line = _prompt(f"Code [{suggestion}]: " if suggestion else "Code: ")
            return str(parse_code_untrusted(line if line.strip() else suggestion))
        except UsageError as exc:
            corrected = corrected_untrusted(line)
            suggestion = "" if corrected is None else str(corrected)
            say(escape(exc.message) if suggestion else f"{escape(exc.message)} {escape(exc.hint)}")
        except (KeyboardInterrupt, EOFError):
            say("")
            raise Interrupted(
                "No code was given.", hint="Run the command again when you have it."
            ) from None


def _prompt(question: str) -> str:
    """Read a line with editing and completion where standard output is the terminal too."""
    if not is_terminal(sys.stdout):  # it is a script's: input() would write its prompt there
        say(question, end="")
        line = sys.stdin.readline(_READ_LIMIT)
        if not line:
            raise EOFError
        return line
    _set_up_completion()
    return input(question)


def _set_up_completion() -> None:
    """Let the Tab key complete the words, where Python has readline."""
    try:
        import readline  # noqa: PLC0415 - missing on Windows; not needed for a code in argv
    except ImportError:
        return
    readline.set_completer(_Completer())
    readline.set_completer_delims("")  # the whole line is completed, not the word alone
    readline.set_auto_history(False)
    uses_libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if uses_libedit else "tab: complete")


class _Completer:
    """What readline asks for the completions of a line, one after the other."""

    def __init__(self) -> None:
        self._matches: list[str] = []

    def __call__(self, text: str, state: int) -> str | None:
        if state == 0:
            self._matches = complete_line(text)
        return self._matches[state] if state < len(self._matches) else None
