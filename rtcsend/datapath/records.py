"""DTLS a batch at a time: packets to records and back, by aiortc's own OpenSSL connection.

A shell over the memory BIOs of pyOpenSSL's ``SSL.Connection``, after aiortc has made the
handshake and has checked the fingerprint. A memory BIO is a stream of bytes: many packets
sealed one after another come out of it joined, which is just what segmented UDP sends with
one call; and whole records written to it are read back one by one.

pyOpenSSL's methods cost more than OpenSSL's work on a packet of 1,200 bytes (2.2 µs of 3.1),
so the same functions are called without them; :mod:`~rtcsend.datapath.choice` sees whether the
names are there. What is left out are conversions and translated errors, of which only "closed"
matters.
"""

from typing import Any, Final

from OpenSSL import SSL

MAX_RECORD: Final = 16_384  # bytes; RFC 9147 §4.1: a record's plaintext is 2**14 at most
BIO_BATCH: Final = 16_000  # bytes written at once; OpenSSL reads a record buffer's worth at a time
MAX_INPUT: Final = 65_536  # bytes opened at once; what UDP hands out at most
INPUT_SIZE: Final = MAX_INPUT + MAX_RECORD  # bytes; the last record has room as well
OUTPUT_SIZE: Final = 1 << 17  # bytes; more than a batch is, sealed, and that is one call's

# Private, see above. None where they moved: then nobody comes here.
_lib: Final[Any] = getattr(SSL, "_lib", None)
_ffi: Final[Any] = getattr(SSL, "_ffi", None)


Part = tuple[bytes, int, int]
"""Packets of one size, joined; where those meant begin, and where they end, in bytes."""


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
        self._packets: Any = _ffi.new("char[]", INPUT_SIZE)
        self._plaintext = memoryview(_ffi.buffer(self._packets))
        self._output: Any = _ffi.new("char[]", OUTPUT_SIZE)
        self._sealed = memoryview(_ffi.buffer(self._output))
        self.closed = False
        """Whether the other side has sent its close-notify alert."""

    def seal(self, parts: list[Part], size: int) -> bytes | memoryview:
        """Return the records of packets of one size, joined; empty when the connection is closed.

        They are valid until the next call.

        Args:
            parts: OUTPUT_SIZE bytes at most, sealed.
            size: Bytes of a packet.
        """
        write, ssl = _lib.SSL_write, self._ssl
        for data, start, stop in parts:
            pointer = _ffi.from_buffer(data)
            for at in range(start, stop, size):
                if write(ssl, pointer + at, size) <= 0:
                    return b""
        return self.pending()

    def pending(self) -> bytes | memoryview:
        """Return what waits to be sent: records, and what OpenSSL itself has to say.

        It is valid until the next call.
        """
        size = _lib.BIO_read(self._from, self._output, OUTPUT_SIZE)
        if size < OUTPUT_SIZE:
            return self._sealed[: max(size, 0)]
        return bytes(self._sealed) + bytes(self.pending())

    def open(self, datagrams: memoryview, size: int) -> list[tuple[memoryview, int]]:
        """Return the packets in datagrams of ``size`` bytes each, the last perhaps shorter.

        Forged and broken records are dropped by OpenSSL without a word (RFC 9147 §4.5.2).

        Args:
            datagrams: MAX_INPUT bytes at most.
            size: Bytes of a datagram.

        Returns:
            Packets of one size, joined, and their size, in order; valid until the next call.
        """
        assert len(datagrams) <= MAX_INPUT, "plaintext is shorter, so there is room for it"
        runs: list[tuple[memoryview, int]] = []
        step = max(1, BIO_BATCH // size) * size
        read, ssl, packets, plaintext = _lib.SSL_read, self._ssl, self._packets, self._plaintext
        begun = end = each = 0
        for start in range(0, len(datagrams), step):
            batch = datagrams[start : start + step]
            _lib.BIO_write(self._into, _ffi.from_buffer(batch), len(batch))
            while (length := read(ssl, packets + end, MAX_RECORD)) > 0:
                if length != each:
                    if end > begun:
                        runs.append((plaintext[begun:end], each))
                    begun, each = end, length
                end += length
            if _lib.SSL_get_shutdown(ssl) & _lib.SSL_RECEIVED_SHUTDOWN:
                self.closed = True
        if end > begun:
            runs.append((plaintext[begun:end], each))
        _lib.ERR_clear_error()
        return runs
