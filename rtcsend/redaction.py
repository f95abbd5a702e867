"""Texts without the addresses of machines, for what people pass on: logs and traces.

Who logs or traces leaves addresses out. An error's text of somebody else's may have one in it all
the same, and this finds it. Pure.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Final

_IPV4: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_IPV6: Final = re.compile(r"[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f]*")  # or a time of day


def replace_addresses(text: str, replacement: Callable[[str], str]) -> str:
    """Return a text in which every IPv4 and IPv6 address is replaced.

    Args:
        text: Anything.
        replacement: Returns what stands for an address.
    """

    def replaced(match: re.Match[str]) -> str:
        found = match[0]
        for address in (found, found.removesuffix(":")):  # a colon may be the sentence's
            try:
                ipaddress.ip_address(address)
            except ValueError:
                continue
            return replacement(address) + found[len(address) :]
        return found

    return _IPV6.sub(replaced, _IPV4.sub(replaced, text))
