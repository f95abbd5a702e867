"""How two sides come to trust each other: by the words of a code, by keys, and once more.

Wiring: it joins the rendezvous with pairing. What comes out is a :class:`~rtcsend.meeting.met.Met`,
from which all the rest goes on; how they then connect is not known here.
"""
