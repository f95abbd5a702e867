"""DTLS a batch at a time: packets to records and back, by aiortc's own OpenSSL connection.

A shell over the memory BIOs of pyOpenSSL's ``SSL.Connection``, after aiortc has made the
handshake and has checked the fingerprint. A memory BIO is a stream of bytes: many packets
sealed one after another come out of it joined, which is just what segmented UDP sends with
one call; and whole records written to it are read back one by one.

pyOpenSSL's methods cost more than OpenSSL's work on a packet of 1,200 bytes (2.2 µs of 3.1),
so the same functions are called without them; tests/datapath/test_private_names.py holds the
names. What is left out are conversions and translated errors, of which only "closed" matters.
"""

from typing import Any, Final

from OpenSSL import SSL

MAX_RECORD: Final = 16_384  # bytes; RFC 9147 §4.1: a record's plaintext is 2**14 at most
BIO_BATCH: Final = 16_000  # bytes written at once; OpenSSL reads a record buffer's worth at a time
OUTPUT_SIZE: Final = 1 << 19  # bytes; more than a burst of the association is, sealed

_lib: Final[Any] = SSL._lib  # type: ignore[attr-defined]  # private, see above
_ffi: Final[Any] = SSL._ffi  # type: ignore[attr-defined]


class Records:
    """Seals and opens the records of one connection.

    Args:
        connection: After the handshake.
    """

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection = connection  # owns what the others point to
        self._ssl: Any = connection._ssl
        self._into: Any = connection._into_ssl
        self._from: Any = connection._from_ssl
        self._record: Any = _ffi.new("char[]", MAX_RECORD)
        self._plaintext: Any = _ffi.buffer(self._record)  # one view for all: each slice is a packet
        self._output: Any = _ffi.new("char[]", OUTPUT_SIZE)
        self.closed = False
        """Whether the other side has sent its close-notify alert."""

    def seal(self, packets: list[bytes]) -> bytes:
        """Return the records of some packets, joined; empty when the connection is closed.

        Args:
            packets: OUTPUT_SIZE bytes at most, sealed.
        """
        write, ssl = _lib.SSL_write, self._ssl
        for packet in packets:
            if write(ssl, packet, len(packet)) <= 0:
                return b""
        return self.pending()

    def pending(self) -> bytes:
        """Return what waits to be sent: records, and what OpenSSL itself has to say."""
        size = _lib.BIO_read(self._from, self._output, OUTPUT_SIZE)
        output = _ffi.buffer(self._output, size)[:] if size > 0 else b""
        return output if size < OUTPUT_SIZE else output + self.pending()

    def open(self, datagrams: memoryview, size: int) -> list[bytes]:
        """Return the packets in datagrams of ``size`` bytes each, the last perhaps shorter.

        Forged and broken records are dropped by OpenSSL without a word (RFC 9147 §4.5.2).
        """
        packets: list[bytes] = []
        step = max(1, BIO_BATCH // size) * size
        read, ssl, record, plaintext = _lib.SSL_read, self._ssl, self._record, self._plaintext
        for start in range(0, len(datagrams), step):
            batch = datagrams[start : start + step]
            _lib.BIO_write(self._into, _ffi.from_buffer(batch), len(batch))
            while (length := read(ssl, record, MAX_RECORD)) > 0:
                packets.append(plaintext[:length])
            if _lib.SSL_get_shutdown(ssl) & _lib.SSL_RECEIVED_SHUTDOWN:
                self.closed = True
        _lib.ERR_clear_error()
        return packets
