"""Faults, on purpose: real commands are killed, cut off, starved and lied to, and then go on.

A file for each kind of fault holds the scenarios; ``test_*.py`` runs each of them a few times,
small, and ``python -m tests.faults`` (``make faults``) as often and as large as
docs/reliability.md says, and prints its figures. After every scenario the bytes are compared, the
exit codes are what was expected, and nothing is left behind (:mod:`tests.faults.scene`).
"""
