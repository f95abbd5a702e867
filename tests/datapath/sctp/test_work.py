"""How much Python a packet costs, counted in calls: a guard of speed that no load disturbs."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from rtcsend.datapath.sctp.inbound import Message
from rtcsend.datapath.sctp.outbound import MAX_BURST
from tests.fakes.sctp_link import Conditions, Pair
from tests.fakes.wide_open import WideOpen

# Measured: 3.0 received, 1.1 sent, 40 a SACK that acknowledges 250 packets in order; and room.
MAX_CALLS_A_RECEIVED_PACKET = 4.5
MAX_CALLS_A_SENT_PACKET = 1.5
MAX_CALLS_A_SACKED_PACKET = 2.0


def python_calls(action: Callable[[], Any]) -> tuple[int, Any]:
    """Return how many Python functions were entered, and what the action returned."""
    count = 0

    def note(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        result = action()
    finally:
        sys.setprofile(before)
    return count, result


def test_calls_a_packet() -> None:
    pair = Pair(1, Conditions(delay=0.0005, rate=1e9, mtu=1_500), controller=WideOpen)
    sender, receiver = (end.association for end in pair.ends)
    pair.run(5.0)
    now = pair.now
    for _ in range(20):
        sender.send(1, 53, bytes(65_536))
    calls, packets = python_calls(lambda: sender.packets_to_send(now=now))
    assert len(packets) >= MAX_BURST
    assert calls / len(packets) <= MAX_CALLS_A_SENT_PACKET

    calls, _ = python_calls(lambda: receiver.receive_packets_untrusted(packets, now=now))
    assert calls / len(packets) <= MAX_CALLS_A_RECEIVED_PACKET
    assert isinstance(receiver.next_event(), Message)

    sacks = receiver.packets_to_send(now=now)
    calls, _ = python_calls(lambda: sender.receive_packets_untrusted(sacks, now=now + 0.001))
    assert not sender._outbound.outstanding.flight_size
    assert calls / len(packets) <= MAX_CALLS_A_SACKED_PACKET
