"""Bytes inside JSON: base64url (RFC 4648 §5) without padding, in its one canonical form."""

import base64


def encode_base64url(data: bytes | bytearray) -> str:
    """Return the text of some bytes."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url_untrusted(text: str) -> bytes | None:
    """Return the bytes of a text; None when it is not what :func:`encode_base64url` returns."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:  # binascii.Error, or not ASCII
        return None
    # The decoder reads over what is no digit, and over bits that are left: this does not.
    return data if encode_base64url(data) == text else None
