"""Asks the server of this container for /healthz: exit code 0, or 1 and a sentence.

Run every few seconds for as long as the container lives, so it loads next to nothing: without
urllib and site it takes 60 ms of CPU time, and with them 290. The port is that of
RTCSEND_SERVER_PORT; whether the server speaks TLS is found out, and its certificate is not
looked at.
"""

import os
import socket
import sys

PORT = int(os.environ.get("RTCSEND_SERVER_PORT", "8765"))
TIMEOUT = 2  # seconds, for each step
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
HEALTHY = b"HTTP/1.1 200 "


def answer(*, tls: bool) -> bytes:
    """Return how the server's answer begins; nothing, if it hangs up.

    Raises:
        OSError: Nobody is there, or it takes too long.
    """
    with socket.create_connection(("127.0.0.1", PORT), TIMEOUT) as connection:
        if not tls:
            return ask(connection)
        import ssl  # noqa: PLC0415 - it takes longer than all the rest

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with context.wrap_socket(connection) as secured:
            return ask(secured)


def ask(connection: socket.socket) -> bytes:
    """Return the first bytes of the answer; nothing, if the other side hangs up."""
    try:
        connection.sendall(REQUEST)
        return connection.recv(len(HEALTHY))
    except ConnectionError:
        return b""


if __name__ == "__main__":
    try:
        healthy = any(answer(tls=tls) == HEALTHY for tls in (False, True))
    except OSError as exc:
        sys.exit(f"Port {PORT}: {exc}.")
    if not healthy:
        sys.exit(f"Port {PORT} does not answer as a healthy server does.")
