"""Messages as bytes: what is asked is well formed, what is answered is never believed unread."""

import pytest
from aioice import stun
from hypothesis import given, settings
from hypothesis import strategies as st

from rtcsend.doctor import codec

NUMBER = bytes(range(12))
CREDENTIAL = codec.credential_of("ada", "secret", realm="test", nonce=b"nonce")


def answer(kind: stun.Class, attributes: dict[str, object]) -> stun.Message:
    return stun.Message(stun.Method.ALLOCATE, kind, NUMBER, attributes)


@pytest.mark.parametrize("change", [0, codec.CHANGE_BOTH, codec.CHANGE_PORT])
def test_a_binding_request(change: int) -> None:
    message = stun.parse_message(codec.binding_request(NUMBER, change=change))
    assert message.transaction_id == NUMBER
    assert (message.message_method, message.message_class) == (1, stun.Class.REQUEST)
    assert message.attributes == ({"CHANGE-REQUEST": change} if change else {})


@pytest.mark.parametrize("size", [24, 28, 1172, 1472])
def test_padding_makes_it_as_long_as_asked(size: int) -> None:
    data = codec.binding_request(NUMBER, size=size)
    assert len(data) == size
    assert stun.parse_message(data).attributes == {}


def test_what_cannot_be_padded_is_not_cut() -> None:
    assert len(codec.binding_request(NUMBER, size=4)) == 20


@pytest.mark.parametrize(
    "data",
    [
        codec.allocate_request(NUMBER, CREDENTIAL),
        codec.bind_request(NUMBER, CREDENTIAL, channel=0x4000, peer=("192.0.2.1", 7)),
        codec.release_request(NUMBER, CREDENTIAL),
    ],
)
def test_requests_are_signed_and_hold_no_password(data: bytes) -> None:
    message = stun.parse_message(data)
    assert message.check_message_integrity(CREDENTIAL.key)
    assert message.attributes["USERNAME"] == "ada"
    assert b"secret" not in data


def test_the_first_request_is_unsigned() -> None:
    message = stun.parse_message(codec.allocate_request(NUMBER, None))
    assert set(message.attributes) == {"REQUESTED-TRANSPORT"}


def test_an_answer() -> None:
    message = answer(
        stun.Class.RESPONSE,
        {
            "XOR-MAPPED-ADDRESS": ("192.0.2.1", 1),
            "XOR-RELAYED-ADDRESS": ("2001:db8::2", 2),
            "OTHER-ADDRESS": ("192.0.2.3", 3),
            "LIFETIME": 600,
        },
    )
    message.add_message_integrity(CREDENTIAL.key)
    found = codec.maybe_answer_untrusted(bytes(message), key=CREDENTIAL.key)
    assert found == codec.Answer(
        transaction_id=NUMBER,
        mapped=("192.0.2.1", 1),
        relayed=("2001:db8::2", 2),
        other=("192.0.2.3", 3),
        lifetime=600,
        authentic=True,
    )
    strange = codec.maybe_answer_untrusted(bytes(message), key=b"another")
    assert strange is not None
    assert not strange.authentic


def test_an_error() -> None:
    message = answer(stun.Class.ERROR, {"ERROR-CODE": (401, "No"), "REALM": "test", "NONCE": b"n"})
    found = codec.maybe_answer_untrusted(bytes(message))
    assert found is not None
    assert (found.error, found.realm, found.nonce) == (401, "test", b"n")
    nameless = codec.maybe_answer_untrusted(bytes(answer(stun.Class.ERROR, {})))
    assert nameless is not None
    assert nameless.error == 0


def test_texts_that_are_too_long_are_left_out() -> None:
    message = answer(
        stun.Class.ERROR, {"ERROR-CODE": (401, ""), "REALM": "x" * 800, "NONCE": b"n" * 800}
    )
    found = codec.maybe_answer_untrusted(bytes(message))
    assert found is not None
    assert found.realm is None
    assert found.nonce is None


@pytest.mark.parametrize("address", [("0.0.0.0", 5), ("224.0.0.9", 5), ("192.0.2.1", 0)])
def test_addresses_that_nobody_can_have_are_left_out(address: tuple[str, int]) -> None:
    message = answer(stun.Class.RESPONSE, {"XOR-MAPPED-ADDRESS": address})
    found = codec.maybe_answer_untrusted(bytes(message))
    assert found is not None
    assert found.mapped is None


@settings(max_examples=500)
@given(st.binary(max_size=120), st.sampled_from([0x0101, 0x0111, 0x0103, 0x0113, 0x0001]))
def test_no_bytes_raise(body: bytes, kind: int) -> None:
    codec.maybe_answer_untrusted(body)
    body = body[: len(body) // 4 * 4]
    head = kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + NUMBER
    codec.maybe_answer_untrusted(head + body, key=b"key")


@settings(max_examples=500)
@given(st.sampled_from(sorted(stun.ATTRIBUTES_BY_TYPE)), st.binary(max_size=24))
def test_no_value_of_an_attribute_raises(kind: int, value: bytes) -> None:
    attribute = kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
    attribute += bytes(-len(value) % 4)
    for method in (0x0101, 0x0111, 0x0113):
        head = method.to_bytes(2, "big") + len(attribute).to_bytes(2, "big")
        codec.maybe_answer_untrusted(head + b"\x21\x12\xa4\x42" + NUMBER + attribute)
