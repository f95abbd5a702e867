"""Packets to records and back, over a real DTLS connection in memory."""

import contextlib

import pytest
from aiortc import RTCCertificate
from OpenSSL import SSL

from rtcsend.datapath.records import OUTPUT_SIZE, Records

PACKET = 15_900  # bytes
READ = 65_536  # bytes


def _connection(context: SSL.Context, *, is_server: bool) -> SSL.Connection:
    connection = SSL.Connection(context)
    if is_server:
        connection.set_accept_state()
    else:
        connection.set_connect_state()
    return connection


@pytest.fixture(scope="module")
def certificate() -> RTCCertificate:
    return RTCCertificate.generateCertificate()


@pytest.fixture
def ends(certificate: RTCCertificate) -> tuple[Records, Records]:
    """Two ends of a connection after its handshake."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.use_certificate(certificate._cert)
    context.use_privatekey(certificate._key)
    pair = [_connection(context, is_server=flag) for flag in (True, False)]
    done = [False, False]
    while not all(done):
        for index, connection in enumerate(pair):
            try:
                connection.do_handshake()
                done[index] = True
            except SSL.WantReadError:
                pass
            with contextlib.suppress(SSL.WantReadError):
                pair[1 - index].bio_write(connection.bio_read(READ))
    return Records(pair[0]), Records(pair[1])


def test_what_is_sealed_is_opened(ends: tuple[Records, Records]) -> None:
    one, other = ends
    packets = [bytes([number]) * 1_160 for number in range(40)]
    sealed = one.seal(packets)
    size = len(sealed) // len(packets)
    assert size > 1_160
    assert list(other.open(memoryview(sealed), size)) == packets


def test_more_than_one_output_buffer_is_sealed_whole(ends: tuple[Records, Records]) -> None:
    one, other = ends
    packets = [bytes([number]) * PACKET for number in range(3 * OUTPUT_SIZE // PACKET)]
    sealed = one.seal(packets)
    assert len(sealed) > 2 * OUTPUT_SIZE
    size = len(sealed) // len(packets)
    assert size * len(packets) == len(sealed)
    assert list(other.open(memoryview(sealed), size)) == packets
    assert one.pending() == b""


def test_a_forged_record_costs_itself(ends: tuple[Records, Records]) -> None:
    one, other = ends
    packets = [bytes([number]) * 1_160 for number in range(5)]
    sealed = bytearray(one.seal(packets))
    size = len(sealed) // len(packets)
    sealed[2 * size + 100] ^= 1
    assert list(other.open(memoryview(sealed), size)) == packets[:2] + packets[3:]
    assert not other.closed
