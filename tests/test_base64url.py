"""Bytes in JSON come back, and in one form only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.base64url import decode_base64url_untrusted, encode_base64url


@given(st.binary(max_size=100))
def test_comes_back(data: bytes) -> None:
    text = encode_base64url(data)
    assert decode_base64url_untrusted(text) == data
    assert "=" not in text


@pytest.mark.parametrize(
    "text", ["A", "AA==", "AB", "+A", "/w", "A\n", " AA", "A A", "é", "AAAA=", "\ud800"]
)
def test_another_form(text: str) -> None:
    assert decode_base64url_untrusted(text) is None


@given(st.text(max_size=30))
def test_any_text(text: str) -> None:
    data = decode_base64url_untrusted(text)
    assert data is None or encode_base64url(data) == text
