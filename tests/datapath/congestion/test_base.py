"""The initial window."""

import pytest

from rtcsend.datapath.congestion.base import initial_window


@pytest.mark.parametrize(
    ("mss", "window"),
    [
        (1200, 12_000),
        (1460, 14_600),
        (2190, 14_600),  # RFC 6928's bound in bytes
        (8900, 17_800),  # two jumbo segments go anyway
        (65_000, 130_000),
    ],
)
def test_initial_window_is_that_of_rfc_6928(mss: int, window: int) -> None:
    assert initial_window(mss) == window
