"""Many who come, beside each other: the receivers of one code, the visits of known machines.

Wiring: how one of them is served, :mod:`rtcsend.sending` or :mod:`rtcsend.receiving` hands in.
"""
