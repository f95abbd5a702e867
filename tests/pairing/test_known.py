"""Two machines that know each other's keys: in pairs, and against everybody in between."""

import contextlib
import functools
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import (
    IncompatiblePeer,
    InternalError,
    PeerProtocolError,
    RtcsendError,
    WrongCode,
)
from rtcsend.pairing.keys import Role
from rtcsend.pairing.known import FIRST_SIZE, SECOND_SIZE, KnownMachine, SameRole, State
from tests.pairing.known_vectors import computed
from tests.pairing.pair import counting_entropy

SECRET = bytes(range(32))
OWN = {
    Role.SENDER: Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32),
    Role.RECEIVER: Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32),
}
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes([3]) * 32)


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def machine(
    role: Role,
    *,
    own: Ed25519PrivateKey | None = None,
    peer: bytes | None = None,
    secret: bytes = SECRET,
    refuses: bool = False,
    seed: int | None = None,
) -> KnownMachine:
    return KnownMachine(
        role,
        own=own or OWN[role],
        peer=peer or public(OWN[role.peer]),
        secret=secret,
        refuses=refuses,
        entropy=counting_entropy(
            {Role.SENDER: 10, Role.RECEIVER: 77}[role] if seed is None else seed
        ),
    )


def answer(to: KnownMachine, body: bytes) -> bytes:
    found = to.receive_body_untrusted(body)
    assert found is not None
    return found


def signatures(sender: KnownMachine, receiver: KnownMachine) -> tuple[bytes, bytes]:
    """Exchange the ephemeral keys; return the second body of each."""
    first, second = sender.start(), receiver.start()
    return answer(sender, second), answer(receiver, first)


def test_two_who_know_each_other_have_the_same_keys() -> None:
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
    of_sender, of_receiver = signatures(sender, receiver)
    assert sender.receive_body_untrusted(of_receiver) is None
    assert receiver.receive_body_untrusted(of_sender) is None
    assert sender.state is receiver.state is State.CONFIRMED
    assert sender.keys == receiver.keys
    assert len(of_sender) == len(of_receiver) == SECOND_SIZE


def test_keys_are_new_each_time() -> None:
    keys = []
    for seed in (1, 100):
        sender, receiver = machine(Role.SENDER, seed=seed), machine(Role.RECEIVER)
        of_sender, of_receiver = signatures(sender, receiver)
        sender.receive_body_untrusted(of_receiver)
        receiver.receive_body_untrusted(of_sender)
        keys.append(sender.keys)
    assert keys[0].reconnection != keys[1].reconnection
    assert keys[0].sealing != keys[1].sealing


def test_there_are_no_keys_before_the_signature_was_seen() -> None:
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
    signatures(sender, receiver)
    with pytest.raises(InternalError):
        _ = sender.keys


@pytest.mark.parametrize("liar", list(Role))
def test_another_key_is_noticed_by_both(liar: Role) -> None:
    # The secret of the pair is right: only the signing key is another one.
    sides = {role: machine(role, own=STRANGER if role is liar else None) for role in Role}
    of_sender, of_receiver = signatures(sides[Role.SENDER], sides[Role.RECEIVER])
    for role, body in ((Role.SENDER, of_receiver), (Role.RECEIVER, of_sender)):
        with pytest.raises(WrongCode) as caught:
            sides[role].receive_body_untrusted(body)
        assert not caught.value.told_by_peer
        assert sides[role].state is State.FAILED


def test_who_has_the_secret_and_both_public_keys_cannot_sign() -> None:
    # The liar says that it is the receiver, and derives all keys rightly.
    sender = machine(Role.SENDER)
    liar = machine(Role.RECEIVER, own=STRANGER)
    liar._own, key = OWN[Role.RECEIVER], liar._own  # the transcript names the honest one
    first = sender.start()
    answer(sender, liar.start())
    liar._receive_ephemeral(first)
    liar._own = key
    forged = liar._cipher(Role.RECEIVER).encrypt(
        bytes(12), b"\0" + key.sign(liar._signed_by(Role.RECEIVER, 0)), b"M"
    )
    with pytest.raises(WrongCode):
        sender.receive_body_untrusted(b"M" + forged)


def test_another_secret_is_noticed() -> None:
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER, secret=bytes(32))
    of_sender, of_receiver = signatures(sender, receiver)
    with pytest.raises(WrongCode):
        sender.receive_body_untrusted(of_receiver)
    with pytest.raises(WrongCode):
        receiver.receive_body_untrusted(of_sender)


def test_a_machine_that_was_removed_is_told_so() -> None:
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER, refuses=True)
    of_sender, of_receiver = signatures(sender, receiver)
    with pytest.raises(WrongCode) as caught:
        sender.receive_body_untrusted(of_receiver)
    assert caught.value.told_by_peer
    receiver.receive_body_untrusted(of_sender)
    assert receiver.state is State.REFUSED
    with pytest.raises(InternalError):
        _ = receiver.keys


def test_nobody_else_can_refuse() -> None:
    sender, server = machine(Role.SENDER), machine(Role.RECEIVER, secret=bytes(32), refuses=True)
    _, of_server = signatures(sender, server)
    with pytest.raises(WrongCode) as caught:
        sender.receive_body_untrusted(of_server)
    assert not caught.value.told_by_peer


def test_nothing_can_be_reflected() -> None:
    sender = machine(Role.SENDER)
    with pytest.raises(SameRole):
        sender.receive_body_untrusted(sender.start())
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
    of_sender, _ = signatures(sender, receiver)
    with pytest.raises(WrongCode):
        sender.receive_body_untrusted(of_sender)


def test_nothing_of_an_earlier_meeting_can_be_replayed() -> None:
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
    old_first = receiver._sent
    _, old_second = signatures(sender, receiver)
    later = machine(Role.SENDER, seed=5)
    later.start()
    answer(later, old_first)
    with pytest.raises(WrongCode):
        later.receive_body_untrusted(old_second)


def test_a_server_that_puts_its_own_keys_in_the_middle_gets_nothing() -> None:
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
    sender.start(), receiver.start()
    middle = X25519PrivateKey.generate().public_key().public_bytes_raw()
    of_sender = answer(sender, b"L" + middle)
    of_receiver = answer(receiver, b"K" + middle)
    for side, body in ((sender, of_receiver), (receiver, of_sender)):
        with pytest.raises(WrongCode):
            side.receive_body_untrusted(body)


@pytest.mark.parametrize("small", [bytes(32), (1).to_bytes(32, "little")], ids=["zero", "one"])
def test_points_of_small_order_are_refused(small: bytes) -> None:
    sender = machine(Role.SENDER)
    sender.start()
    with pytest.raises(PeerProtocolError):
        sender.receive_body_untrusted(b"L" + small)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", IncompatiblePeer),
        (b"A" + bytes(32), IncompatiblePeer),
        (b"L" + bytes(31), PeerProtocolError),
        (b"L" + bytes(33), PeerProtocolError),
        (b"M" + bytes(81), PeerProtocolError),
    ],
)
def test_malformed_first_bodies(body: bytes, error: type[RtcsendError]) -> None:
    sender = machine(Role.SENDER)
    sender.start()
    with pytest.raises(error):
        sender.receive_body_untrusted(body)
    with pytest.raises(PeerProtocolError):  # and it is over
        sender.receive_body_untrusted(machine(Role.RECEIVER).start())


def test_nothing_is_taken_before_the_start_and_after_the_end() -> None:
    fresh = machine(Role.SENDER)
    with pytest.raises(PeerProtocolError):
        fresh.receive_body_untrusted(machine(Role.RECEIVER).start())
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
    _, of_receiver = signatures(sender, receiver)
    sender.receive_body_untrusted(of_receiver)
    with pytest.raises(PeerProtocolError):
        sender.receive_body_untrusted(of_receiver)
    with pytest.raises(InternalError):
        sender.start()


@given(st.binary(max_size=2 * SECOND_SIZE), st.binary(max_size=2 * SECOND_SIZE))
def test_any_bytes_end_in_a_documented_error(first: bytes, second: bytes) -> None:
    side = machine(Role.RECEIVER)
    side.start()
    documented = (PeerProtocolError, WrongCode, IncompatiblePeer)
    for body in (first, b"K" + second[:32], second):
        with contextlib.suppress(*documented):
            side.receive_body_untrusted(body)
    assert side.state is not State.CONFIRMED


@given(at=st.integers(0, SECOND_SIZE - 1), bit=st.integers(0, 7))
def test_no_bit_of_the_second_body_can_be_changed(at: int, bit: int) -> None:
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
    _, body = signatures(sender, receiver)
    changed = bytearray(body)
    changed[at] ^= 1 << bit
    with pytest.raises((WrongCode, PeerProtocolError)):
        sender.receive_body_untrusted(bytes(changed))


@given(at=st.integers(1, FIRST_SIZE - 1), bit=st.integers(0, 6))
def test_no_bit_of_the_first_body_can_be_changed(at: int, bit: int) -> None:
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
    first = sender.start()
    changed = bytearray(receiver.start())
    changed[at] ^= 1 << bit
    answer(sender, bytes(changed))
    with pytest.raises(WrongCode):
        sender.receive_body_untrusted(answer(receiver, first))


def test_the_known_answers() -> None:
    path = Path(__file__).parents[1] / "vectors" / "known.json"
    assert json.loads(path.read_text("utf-8")) == json.loads(json.dumps(computed()))


def test_the_secret_is_in_no_representation() -> None:
    shown = repr(functools.partial(machine, Role.SENDER)())
    assert SECRET.hex() not in shown
