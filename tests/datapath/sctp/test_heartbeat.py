"""Heartbeats: their bytes, their answers, and when nobody is there any more."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.datapath.sctp.heartbeat import (
    FAILURE_TIMEOUT,
    HEARTBEAT_INTERVAL,
    HEARTBEAT_RETRY,
    Echo,
    Heartbeats,
    parse_ack_untrusted,
    probe,
)
from rtcsend.datapath.sctp.wire import HEADER_SIZE, ChunkType, chunks_untrusted


def test_the_answer_says_how_far_it_is() -> None:
    (chunk,) = chunks_untrusted(bytes(HEADER_SIZE) + Heartbeats(now=1.0).heartbeat(now=1.0))
    assert chunk.type == ChunkType.HEARTBEAT
    assert parse_ack_untrusted(chunk.value, now=1.25) == Echo(0, 1.0, 0.25)


@pytest.mark.parametrize("size", [1_240, 1_400, 15_900])
def test_a_probe_is_as_large_as_it_says(size: int) -> None:
    packet = bytes(HEADER_SIZE) + probe(size, now=1.0)
    assert len(packet) == size
    heartbeat, padding = chunks_untrusted(packet)
    assert padding.type == ChunkType.PAD
    assert parse_ack_untrusted(heartbeat.value, now=2.0) == Echo(size, 1.0, 1.0)


@pytest.mark.parametrize("sent_at", [math.nan, math.inf, -math.inf, 100.5, 100.0 - FAILURE_TIMEOUT])
def test_times_that_cannot_be_ours_are_no_sample(sent_at: float) -> None:
    value = struct.pack("!HHLd", 1, 16, 0, sent_at)
    echo = parse_ack_untrusted(value, now=100.0)
    assert echo is not None
    assert echo.rtt is None


@given(st.binary(max_size=40))
def test_any_bytes_raise_nothing(value: bytes) -> None:
    parse_ack_untrusted(value, now=1.0)


def test_a_word_while_data_is_timed_out_is_followed_by_a_question() -> None:
    heartbeats = Heartbeats(now=0.0)
    heartbeats.on_heard(is_backed_off=True, now=2.0)
    assert heartbeats.is_due(now=2.0)
    heartbeats.heartbeat(now=2.0)
    heartbeats.on_heard(is_backed_off=True, now=2.1)
    assert heartbeats.get_timer() == 2.0 + HEARTBEAT_RETRY
    heartbeats.on_heard(is_backed_off=True, now=2.9)
    assert heartbeats.get_timer() == 2.0 + HEARTBEAT_RETRY
    heartbeats.on_heard(now=3.5)
    assert heartbeats.get_timer() == 3.5 + HEARTBEAT_INTERVAL


def test_silence_is_asked_about_and_ends_it() -> None:
    heartbeats = Heartbeats(now=0.0)
    heartbeats.on_heard(now=1.0)
    assert not heartbeats.is_due(now=1.0 + HEARTBEAT_INTERVAL - 0.1)
    now = 1.0 + HEARTBEAT_INTERVAL
    assert heartbeats.is_due(now=now)
    assert not heartbeats.is_dead(is_waiting=False, now=now)
    heartbeats.heartbeat(now=now)
    assert heartbeats.get_timer() == now + HEARTBEAT_RETRY
    assert not heartbeats.is_dead(is_waiting=False, now=0.9 + FAILURE_TIMEOUT)
    assert heartbeats.is_dead(is_waiting=False, now=1.0 + FAILURE_TIMEOUT)
    heartbeats.on_heard(now=now)
    assert not heartbeats.is_dead(is_waiting=False, now=100.0)
    assert heartbeats.is_dead(is_waiting=True, now=100.0)


def test_time_in_which_nobody_was_run_is_no_silence() -> None:
    """A laptop that slept asks first, and gives up when nobody answers that."""
    heartbeats = Heartbeats(now=0.0)
    heartbeats.on_heard(now=0.0)
    woken = 3_600.0
    assert heartbeats.is_due(now=woken)
    heartbeats.heartbeat(now=woken)
    assert not heartbeats.is_dead(is_waiting=True, now=woken)
    now = woken
    while not heartbeats.is_dead(is_waiting=False, now=now):
        now = heartbeats.get_timer()
        assert heartbeats.is_due(now=now)
        heartbeats.heartbeat(now=now)
    assert now == woken + FAILURE_TIMEOUT - HEARTBEAT_INTERVAL


def test_what_waits_for_an_acknowledgement_is_waiting_too() -> None:
    heartbeats = Heartbeats(now=0.0)
    heartbeats.on_heard(now=0.0)
    assert not heartbeats.is_dead(is_waiting=True, now=FAILURE_TIMEOUT - 0.1)
    assert heartbeats.is_dead(is_waiting=True, now=FAILURE_TIMEOUT)
    assert not heartbeats.is_dead(is_waiting=False, now=FAILURE_TIMEOUT), "nothing was asked"
