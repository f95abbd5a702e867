"""What the doctor says: one event for each thing that was checked, one at the end.

Addresses are what it is for, so they are in it. Credentials are not: a server is named by
:attr:`rtcsend.doctor.servers.Server.name`, never by the URL that the user gave.

Pure. Place in the flow: made by the checks, drawn by :mod:`rtcsend.cli.doctor_report`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from rtcsend.events import Event

Area = Literal["machine", "rendezvous", "stun", "nat", "turn", "path"]
Status = Literal["ok", "note", "failed", "skipped"]
Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Event):
    """One thing that was checked."""

    name: ClassVar[str] = "check"
    area: Area
    check: str
    """What was checked, in one word: ``dns``, ``binding``, ``allocation`` …"""
    target: str
    """The server, the interface or the address family; empty where there is none to tell."""
    status: Status
    """``note``: no fault, but good to know."""
    ms: float | None
    """How long it took, in milliseconds; null where that says nothing."""
    text: str
    """What came out: a sentence where it failed. May hold words of a server: escape them."""
    values: Mapping[str, Value] = field(default_factory=dict)
    """The same as figures, for programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion(Event):
    """What it means, and what would help."""

    name: ClassVar[str] = "conclusion"
    exit: int
    """What the process exits with: 0, 10 or 30."""
    meaning: str
    help: str
    rendezvous: str
    """``works``, ``failed`` or ``not-named``."""
    udp: str
    """``works``, ``blocked``, ``silent`` (nobody answers, by TCP neither) or ``not-asked``."""
    mapping: str
    """Of the NAT, in the words of RFC 4787; ``none``: there is no NAT."""
    filtering: str
    relay: str
    """``works``, ``failed`` or ``not-named``."""
