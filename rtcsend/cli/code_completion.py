"""What the Tab key makes of the beginning of a code: in the shell, and at the prompt.

Numbers that wait on this machine are known at once. Only where none of them fits are the others
of the LAN asked for, by mDNS, and as briefly as somebody waits who has pressed a key. Words are
those of the list. Place in the flow: beside the commands; nothing here contacts a sender.
"""

import asyncio
from typing import Final

from rtcsend.code.code import complete
from rtcsend.rendezvous.lan import browse_lan, lan_allowed
from rtcsend.rendezvous.local import local_nameplates

LAN_TIMEOUT: Final = 0.8  # seconds; on a LAN answers come within half of one


def complete_code(incomplete: str) -> list[str]:
    """Return the codes that ``incomplete`` can be the beginning of, for a shell.

    Shells put a blank behind a single one, and a code is not finished by its number or its first
    word. So instead of one that needs more words there are all that it can become: what they
    have in common is what gets typed.
    """
    matches = complete_line(incomplete)
    if len(matches) == 1 and matches[0].endswith("-"):
        return complete(matches[0])
    return matches


def complete_line(typed: str) -> list[str]:
    """Return the same for a line at the prompt, with a dash where one more word must follow."""
    if "-" in typed:
        return complete(typed)
    return complete(typed, _waiting_numbers(typed))


def _waiting_numbers(beginning: str) -> set[str]:
    here = {number for number in local_nameplates() if number.startswith(beginning)}
    if here or not lan_allowed() or not (beginning.isdigit() or not beginning):
        return here
    return {service.nameplate for service in asyncio.run(browse_lan(timeout=LAN_TIMEOUT))}
