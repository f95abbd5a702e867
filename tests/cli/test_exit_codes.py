"""Every exit code is reached by a test, in a process of its own or in the program's main.

The table names one of them for each; that it is there, and says so, is looked up in its text.
"""

import ast
from typing import NamedTuple

import pytest

from rtcsend import errors
from rtcsend.errors import RtcsendError
from tests.cli.pty_process import ROOT
from tests.test_errors import CLASSES


class Reached(NamedTuple):
    file: str
    test: str
    said_in: str = ""
    """Where the code is expected, if the test takes it from there."""


REACHED: dict[type[RtcsendError], Reached] = {
    errors.InternalError: Reached("cli/test_main.py", "test_a_bug_has_a_traceback_with_v"),
    errors.UsageError: Reached("e2e/test_errors_codes.py", "test_what_cannot_be_meant"),
    errors.RendezvousUnreachable: Reached(
        "e2e/test_errors_codes.py", "test_no_sender_anywhere_says_what_to_run"
    ),
    errors.Refused: Reached(
        "e2e/test_errors_codes.py", "test_a_taken_number_is_refused_to_a_second_sender"
    ),
    errors.NoSuchCode: Reached("e2e/test_errors_codes.py", "test_a_code_works_once"),
    errors.PeerNeverCame: Reached(
        "e2e/test_errors_rendezvous.py", "test_the_other_side_never_comes"
    ),
    errors.WrongCode: Reached(
        "e2e/test_errors_codes.py", "test_wrong_words_end_both_and_burn_the_code"
    ),
    errors.IncompatiblePeer: Reached("e2e/test_server.py", "test_clients_of_today_and_tomorrow"),
    errors.NoRoute: Reached("e2e/test_routes.py", "test_no_route"),
    errors.ConnectionLost: Reached("e2e/test_reconnection.py", "test_killed_for_good"),
    errors.Declined: Reached("e2e/test_errors_files.py", "test_what_is_not_wanted"),
    errors.PeerAborted: Reached("e2e/test_errors_rendezvous.py", "test_the_receiver_never_answers"),
    errors.DigestMismatch: Reached(
        "e2e/test_hostile_trees.py", "test_trick", "e2e/hostile/tree_tricks.py"
    ),
    errors.PeerProtocolError: Reached(
        "e2e/test_hostile_trees.py", "test_trick", "e2e/hostile/trick.py"
    ),
    errors.CannotRead: Reached("e2e/test_errors_files.py", "test_what_cannot_be_read"),
    errors.CannotWrite: Reached("e2e/test_errors_files.py", "test_a_folder_that_cannot_be_written"),
    errors.UnsafePath: Reached("e2e/test_errors_names.py", "test_refused"),
    errors.TargetExists: Reached(
        "e2e/test_errors_files.py", "test_a_target_that_exists_without_a_terminal"
    ),
    errors.Interrupted: Reached("e2e/test_reconnection.py", "test_stopped_while_nothing_works"),
    errors.Terminated: Reached(
        "e2e/test_signals.py", "test_waiting_at_a_server_gives_the_number_back"
    ),
}


def test_the_table_has_all_of_them() -> None:
    assert set(REACHED) == set(CLASSES)


@pytest.mark.parametrize("error", REACHED, ids=lambda error: error.__name__)
def test_a_test_reaches_it(error: type[RtcsendError]) -> None:
    reached = REACHED[error]
    text = (ROOT / "tests" / reached.file).read_text(encoding="utf-8")
    functions = [
        ast.get_source_segment(text, node) or ""
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == reached.test
    ]
    assert len(functions) == 1, reached
    if reached.said_in:
        text = (ROOT / "tests" / reached.said_in).read_text(encoding="utf-8")
    else:
        (text,) = functions
    assert f'"{error.slug}"' in text or f"== {error.exit_code}\n" in text, reached
