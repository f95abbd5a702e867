"""The states of BBR, and how fast and how full each of them sends.

A table and two enumerations; ``bbr``, ``bbr_probe`` and ``bbr_probe_rtt`` move between them.

Source: draft-ietf-ccwg-bbr-06 §5.1.1, §5.3.3.9 and §5.6.1.
"""

import enum

STARTUP_PACING_GAIN = 2.77  # 4 ln 2; BBR.StartupPacingGain, draft §2.4
PROBE_RTT_CWND_GAIN = 0.5  # BBR.ProbeRTTCwndGain, draft §2.14


class State(enum.Enum):
    """Where the search for the path's limits stands."""

    STARTUP = enum.auto()
    DRAIN = enum.auto()
    PROBE_BW_DOWN = enum.auto()
    PROBE_BW_CRUISE = enum.auto()
    PROBE_BW_REFILL = enum.auto()
    PROBE_BW_UP = enum.auto()
    PROBE_RTT = enum.auto()


class AckPhase(enum.Enum):
    """Which part of a probe the acknowledgements that come in belong to."""

    INIT = enum.auto()
    PROBE_STARTING = enum.auto()
    PROBE_FEEDBACK = enum.auto()
    PROBE_STOPPING = enum.auto()
    REFILLING = enum.auto()


# Pacing gain and cwnd gain; draft §5.6.1.
GAINS: dict[State, tuple[float, float]] = {
    State.STARTUP: (STARTUP_PACING_GAIN, 2.0),
    State.DRAIN: (0.5, 2.0),
    State.PROBE_BW_DOWN: (0.9, 2.0),
    State.PROBE_BW_CRUISE: (1.0, 2.0),
    State.PROBE_BW_REFILL: (1.0, 2.0),
    State.PROBE_BW_UP: (1.25, 2.25),
    State.PROBE_RTT: (1.0, PROBE_RTT_CWND_GAIN),
}
PROBE_BW_STATES = frozenset(
    {State.PROBE_BW_DOWN, State.PROBE_BW_CRUISE, State.PROBE_BW_REFILL, State.PROBE_BW_UP}
)
PROBING_STATES = frozenset({State.STARTUP, State.PROBE_BW_REFILL, State.PROBE_BW_UP})
