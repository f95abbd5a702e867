"""coturn on the laboratory's server, reached by UDP, TCP and TLS, and servers that are dead.

It listens at two addresses and, for UDP, at two ports of each (3478 and 3479), so that a client
can find out what kind of NAT it is behind (RFC 5780). TLS has a certificate of a CA of its own,
which nobody else trusts.
"""

import datetime
import ipaddress
import secrets
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakes.coturn import common_options, ice_url

PORT: Final = 3478  # RFC 8656 §6: UDP and TCP
TLS_PORT: Final = 5349
WEB_PORT: Final = 443  # TCP and TLS, which strict firewalls let out
DEAD: Final = "203.0.113.99"  # an address in the server's network which nobody has
VALID: Final = datetime.timedelta(days=2)
Way = Literal["udp", "tcp", "tls", "tcp-443", "tls-443"]


class Turn:
    """A server that is to be, with its files in a folder.

    Args:
        folder: For its files.
        address: Where clients find it, and where relayed addresses are.
        second: Another address, for STUN only.
        ipv6: An address to listen and relay at besides, if any.

    Attributes:
        environment: What a client needs to trust it.
    """

    def __init__(self, folder: Path, address: str, second: str, *, ipv6: str | None = None) -> None:
        self._ipv6 = ipv6
        self._folder, self._address, self._second = folder, address, second
        self._secret = secrets.token_hex(16)
        self.environment = {"SSL_CERT_FILE": str(_certificate(folder, address))}

    def command(self, *options: str) -> tuple[str, ...]:
        """Return what starts it."""
        return (
            "turnserver",
            *common_options(self._folder, self._secret),
            f"--listening-ip={self._address}",
            f"--listening-ip={self._second}",
            f"--listening-port={PORT}",
            f"--tls-listening-port={TLS_PORT}",
            f"--aux-server={self._address}:{WEB_PORT}",
            f"--relay-ip={self._address}",
            *self._ipv6_options(),
            f"--cert={self._folder / 'server.pem'}",
            f"--pkey={self._folder / 'server.key'}",
            *options,
        )

    def _ipv6_options(self) -> tuple[str, ...]:
        if self._ipv6 is None:
            return ()
        return (
            f"--listening-ip={self._ipv6}",
            f"--aux-server=[{self._ipv6}]:{WEB_PORT}",
            f"--relay-ip={self._ipv6}",
        )

    def ice_url(self, way: Way = "udp", *, host: str | None = None) -> str:
        """Return it as ``--ice`` takes it, with a credential that is good for ten minutes.

        Args:
            way: To it.
            host: A name instead of its address.
        """
        transport, _, port = way.partition("-")
        tls = transport == "tls"
        return ice_url(
            self._secret,
            host=host or self._address,
            port=int(port or (TLS_PORT if tls else PORT)),
            transport="udp" if way == "udp" else "tcp",
            scheme="turns" if tls else "turn",
        )

    def stun_url(self, *, second: bool = False, host: str | None = None) -> str:
        """Return it as a STUN server, at one of its two addresses, or by name."""
        return f"stun:{host or (self._second if second else self._address)}:{PORT}"

    def dead_urls(self) -> tuple[str, str]:
        """Return a STUN and a TURN server that never answer."""
        return f"stun:{DEAD}:{PORT}", ice_url(self._secret, host=DEAD, port=PORT)


def _certificate(folder: Path, address: str) -> Path:
    """Write a server's certificate and key; return the certificate of the CA that signed it."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _signed("lab CA", ca_key.public_key(), issuer="lab CA", by=ca_key, address=None)
    server = _signed("lab server", key.public_key(), issuer="lab CA", by=ca_key, address=address)
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for name, text in (
        ("ca.pem", ca.public_bytes(encoding)),
        ("server.pem", server.public_bytes(encoding)),
        ("server.key", private),
    ):
        (folder / name).write_bytes(text)
    return folder / "ca.pem"


def _signed(
    subject: str,
    key: ec.EllipticCurvePublicKey,
    *,
    issuer: str,
    by: ec.EllipticCurvePrivateKey,
    address: str | None,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID)
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=address is None, path_length=None), critical=True)
    )
    if address is not None:
        names = (x509.IPAddress(ipaddress.ip_address(address)), x509.DNSName("turn.lab.test"))
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(by, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
