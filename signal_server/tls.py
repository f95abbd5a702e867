"""TLS of the server: a certificate of the operator's, or one that it makes itself.

Shell: reads and writes files. A certificate that was renewed is taken over by
:meth:`ServerTls.reload`; sockets that are open keep theirs, and lose nothing.

A certificate of one's own proves nothing to a stranger, so that clients are given its
fingerprint beside the address. It is kept, since else every restart would have another one.
Source: docs/self-hosting.md; RFC 5280; docs/rendezvous-protocol.md, "Addresses".
"""

import datetime
import errno
import hashlib
import os
import ssl
from pathlib import Path

from rtcsend.errors import UsageError
from signal_server.config import ServerConfig

CERTIFICATE_NAME = "self-signed.pem"  # key and certificate in one file: never one without the other
CERTIFICATE_DAYS = 3_650  # pinned, so that its end protects nobody, and would lock everybody out
COMMON_NAME = "rtcsend-server"


class ServerTls:
    """The TLS of one server.

    Attributes:
        context: For listening sockets.
        fingerprint: SHA-256 of a self-signed certificate, for clients to pin; None otherwise.

    Raises:
        UsageError: The certificate or its key cannot be used (on construction).
    """

    def __init__(self, config: ServerConfig) -> None:
        self.fingerprint: str | None = None
        if config.tls_self_signed:
            self._cert, self._key = _own_certificate(config), None
            self.fingerprint = fingerprint_of(self._cert.read_text(encoding="ascii"))
        else:
            assert config.tls_cert is not None, "the configuration has TLS"
            self._cert, self._key = config.tls_cert, config.tls_key
        self.context = _new_context()
        self._load(self.context)

    def reload(self) -> None:
        """Read certificate and key again, for the connections that come from now on.

        Raises:
            UsageError: They cannot be used; what was there before goes on.
        """
        self._load(_new_context())  # tried apart: a key that does not fit would stay behind
        self._load(self.context)

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._cert, self._key, password=_refuse_password)
        except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
            files = f"{self._cert}" if self._key is None else f"{self._cert} with {self._key}"
            raise UsageError(
                f"The certificate {files} cannot be used: {_reason(exc)}.",
                hint="--tls-cert takes a PEM chain and --tls-key its PEM key without a password; "
                "both must be readable.",
            ) from exc


def makes_certificate(config: ServerConfig) -> bool:
    """Return whether a server would begin by making a certificate; it is not made.

    Raises:
        UsageError: There is no place for it.
    """
    path = _own_path(config)
    if not config.tls_self_signed or path.exists():
        return False
    there = next(folder for folder in path.parents if folder.exists())
    if not there.is_dir():
        raise _no_place(path, os.strerror(errno.ENOTDIR))
    if not os.access(there, os.W_OK | os.X_OK):
        raise _no_place(path, os.strerror(errno.EACCES))
    return True


def fingerprint_of(pem: str) -> str:
    """Return the SHA-256 of the first certificate in ``pem``, as 64 hexadecimal digits."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    body = pem[pem.index(begin) : pem.index(end) + len(end)]
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(body)).hexdigest()


def _new_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])  # WebSockets; RFC 6455
    return context


def _own_certificate(config: ServerConfig) -> Path:
    """Return the file of the server's own certificate, made at the first time.

    Raises:
        UsageError: There is no place for it.
    """
    path = _own_path(config)
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_new(path, _make_certificate())
    except FileExistsError:
        pass  # another process was first, and both use that one
    except OSError as exc:
        raise _no_place(path, exc.strerror or str(exc)) from exc
    return path


def _own_path(config: ServerConfig) -> Path:
    return (config.state_dir or _state_dir()) / CERTIFICATE_NAME


def _no_place(path: Path, reason: str) -> UsageError:
    return UsageError(
        f"There is no place for a self-signed certificate: {path}: {reason}.",
        hint="Give a folder that can be written by --state-dir, or a certificate by "
        "--tls-cert and --tls-key.",
    )


def _state_dir() -> Path:
    """Return systemd's folder for it, else the XDG one."""
    systemd = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if systemd:
        return Path(systemd)
    xdg = os.environ.get("XDG_STATE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".local" / "state") / "rtcsend-server"


def _write_new(path: Path, pem: bytes) -> None:
    """Write a whole file that only its owner can read, or none."""
    part = path.with_suffix(f".{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        os.link(part, path)  # unlike a rename, it replaces no other one
    finally:
        part.unlink(missing_ok=True)


def _make_certificate() -> bytes:
    from cryptography import x509  # noqa: PLC0415 - takes 100 ms, once in a server's life
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, COMMON_NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # a clock may be late
        .not_valid_after(now + datetime.timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)


def _refuse_password() -> str:
    """Answer for a key that wants a password: OpenSSL would ask the terminal."""
    raise ValueError("the key has a password")


def _reason(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLError):
        if not exc.reason:
            return "there is no PEM of a certificate and its key in it"
        return exc.reason.lower().replace("_", " ")
    if isinstance(exc, OSError):
        return exc.strerror or "it cannot be read"
    return str(exc)
