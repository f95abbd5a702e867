"""Congestion control for the SCTP association: how much may be in flight, and how fast.

Pure classes; time comes in as ``now``, in seconds. ``base`` holds the interface, ``cubic``
and ``bbr`` implement it, ``pacer`` spreads packets at the rate that they choose, and ``rtt``
holds the round-trip estimators that the association feeds them from.
"""
