import functools
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spake2 import ed25519_basic as curve

from rtcsend.errors import IncompatiblePeer, InternalError, PeerProtocolError, WrongCode
from rtcsend.pairing.keys import Role
from rtcsend.pairing.machine import CONFIRMATION_SIZE, PAKE_MESSAGE_SIZE, PairingMachine, State
from tests.pairing.pair import answer_of, confirmations, machine

ROLES = pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
SIDE_BYTES = {Role.SENDER: b"A", Role.RECEIVER: b"B"}


@functools.cache
def pake_message(role: Role, words: bytes = b"guitar-velvet") -> bytes:
    return machine(role, words=words, seed=99).start()


def awaiting_pake(role: Role) -> PairingMachine:
    started = machine(role)
    started.start()
    return started


def awaiting_confirmation(role: Role) -> PairingMachine:
    started = awaiting_pake(role)
    started.receive_body_untrusted(pake_message(role.peer))
    return started


def assert_unusable(failed: PairingMachine) -> None:
    assert failed.state is State.FAILED
    with pytest.raises(InternalError):
        _ = failed.keys
    with pytest.raises(InternalError):
        failed.start()
    for body in (pake_message(Role.SENDER), pake_message(Role.RECEIVER), b"C" + bytes(32), b""):
        with pytest.raises(PeerProtocolError):
            failed.receive_body_untrusted(body)
        assert failed.state is State.FAILED


def states(*machines: PairingMachine) -> set[State]:
    return {machine.state for machine in machines}


def test_equal_words_give_equal_keys() -> None:
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
    assert states(sender, receiver) == {State.NEW}
    from_sender, from_receiver = confirmations(sender, receiver)
    assert states(sender, receiver) == {State.AWAITING_CONFIRMATION}
    assert sender.receive_body_untrusted(from_receiver) is None
    assert receiver.receive_body_untrusted(from_sender) is None
    assert states(sender, receiver) == {State.CONFIRMED}
    assert sender.keys == receiver.keys
    assert sender.keys.verification == receiver.keys.verification


def test_real_entropy_gives_other_keys_each_time() -> None:
    found = []
    for _ in range(2):
        sender, receiver = (
            PairingMachine(role, nameplate="7", password=b"a-b", entropy=os.urandom)
            for role in (Role.SENDER, Role.RECEIVER)
        )
        from_sender, from_receiver = confirmations(sender, receiver)
        sender.receive_body_untrusted(from_receiver)
        receiver.receive_body_untrusted(from_sender)
        assert sender.keys == receiver.keys
        found.append(sender.keys)
    assert found[0] != found[1]
    assert found[0].verification != found[1].verification


def test_bodies_have_the_documented_form() -> None:
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
    from_sender, from_receiver = sender.start(), receiver.start()
    assert (from_sender[:1], len(from_sender)) == (b"A", PAKE_MESSAGE_SIZE)
    assert (from_receiver[:1], len(from_receiver)) == (b"B", PAKE_MESSAGE_SIZE)
    confirmation = answer_of(sender, from_receiver)
    assert (confirmation[:1], len(confirmation)) == (b"C", CONFIRMATION_SIZE)
    assert confirmation != answer_of(receiver, from_sender)


@pytest.mark.parametrize(
    ("words", "nameplate"),
    [
        (b"guitar-velve", "7"),
        (b"guitar-velvet-", "7"),
        (b"velvet-guitar", "7"),
        (b"", "7"),
        (b"guitar-velvet", "8"),
        (b"guitar-velvet", "77"),
    ],
)
def test_unequal_words_or_nameplates_fail_on_both_sides(words: bytes, nameplate: str) -> None:
    sender = machine(Role.SENDER)
    receiver = machine(Role.RECEIVER, words=words, nameplate=nameplate)
    from_sender, from_receiver = confirmations(sender, receiver)
    for side, body in ((sender, from_receiver), (receiver, from_sender)):
        with pytest.raises(WrongCode):
            side.receive_body_untrusted(body)
        assert_unusable(side)


def test_one_in_the_middle_without_the_words_gets_neither_side() -> None:
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
    to_sender = machine(Role.RECEIVER, words=b"guess-one", seed=5)
    to_receiver = machine(Role.SENDER, words=b"guess-two", seed=6)
    _, for_sender = confirmations(sender, to_sender)
    for_receiver, _ = confirmations(to_receiver, receiver)
    for side, forged in ((sender, for_sender), (receiver, for_receiver)):
        with pytest.raises(WrongCode):
            side.receive_body_untrusted(forged)
        assert_unusable(side)


def test_a_confirmation_of_another_pairing_is_a_wrong_one() -> None:
    sender = machine(Role.SENDER)
    confirmations(sender, machine(Role.RECEIVER))
    _, of_another = confirmations(machine(Role.SENDER, seed=7), machine(Role.RECEIVER, seed=8))
    with pytest.raises(WrongCode):
        sender.receive_body_untrusted(of_another)


@ROLES
def test_a_reflected_pake_message_is_refused(role: Role) -> None:
    mine = machine(role)
    body = mine.start()
    with pytest.raises(PeerProtocolError):
        mine.receive_body_untrusted(body)
    assert_unusable(mine)


@ROLES
def test_a_reflected_point_under_the_other_side_byte_is_refused(role: Role) -> None:
    mine = machine(role)
    body = mine.start()
    with pytest.raises(PeerProtocolError):
        mine.receive_body_untrusted(SIDE_BYTES[role.peer] + body[1:])
    assert_unusable(mine)


@ROLES
def test_a_reflected_confirmation_is_a_wrong_one(role: Role) -> None:
    mine = awaiting_pake(role)
    confirmation = answer_of(mine, pake_message(role.peer))
    with pytest.raises(WrongCode):
        mine.receive_body_untrusted(confirmation)
    assert_unusable(mine)


@ROLES
@pytest.mark.parametrize("position", [1, 16, 32])
def test_one_bit_of_a_confirmation_counts(role: Role, position: int) -> None:
    mine, other = awaiting_pake(role), machine(role.peer, seed=99)
    other.start()
    mine.receive_body_untrusted(pake_message(role.peer))
    body = bytearray(answer_of(other, machine(role).start()))
    body[position] ^= 0x01
    with pytest.raises(WrongCode):
        mine.receive_body_untrusted(bytes(body))
    assert_unusable(mine)


@ROLES
@pytest.mark.parametrize(
    ("state", "body", "error"),
    [
        ("pake", b"", IncompatiblePeer),
        ("pake", b"S" + bytes(32), IncompatiblePeer),
        ("pake", b"D" + bytes(32), IncompatiblePeer),
        ("pake", b"\x00", IncompatiblePeer),
        ("pake", b"{}", IncompatiblePeer),
        ("pake", b"C" + bytes(32), PeerProtocolError),
        ("pake", b"C", PeerProtocolError),
        ("confirmation", b"", PeerProtocolError),
        ("confirmation", b"C", PeerProtocolError),
        ("confirmation", b"C" + bytes(31), PeerProtocolError),
        ("confirmation", b"C" + bytes(33), PeerProtocolError),
        ("confirmation", b"S" + bytes(32), PeerProtocolError),
        ("confirmation", b"c" + bytes(32), PeerProtocolError),
        ("confirmation", b"C" + bytes(32), WrongCode),
    ],
)
def test_wrong_bodies(role: Role, state: str, body: bytes, error: type[Exception]) -> None:
    mine = awaiting_pake(role) if state == "pake" else awaiting_confirmation(role)
    with pytest.raises(error):
        mine.receive_body_untrusted(body)
    assert_unusable(mine)


@ROLES
@pytest.mark.parametrize("size", [1, 2, 32, 34, 64, 65_536])
def test_pake_messages_of_other_sizes(role: Role, size: int) -> None:
    mine = awaiting_pake(role)
    body = (pake_message(role.peer) + bytes(65_536))[:size]
    with pytest.raises(PeerProtocolError):
        mine.receive_body_untrusted(body)
    assert_unusable(mine)


def encoded(number: int) -> bytes:
    return number.to_bytes(32, "little")


@ROLES
@pytest.mark.parametrize(
    "point",
    [
        pytest.param(encoded(1), id="the neutral element"),
        pytest.param(encoded(curve.Q - 1), id="order 2"),
        pytest.param(encoded(0), id="order 4"),
        pytest.param(encoded(1 << 255), id="order 4, the other"),
        pytest.param(encoded(2), id="off the curve"),
        pytest.param(encoded(curve.Q), id="order 4, not reduced"),
        pytest.param(
            bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
            id="order 8",
        ),
        pytest.param(bytes([0xFF]) * 32, id="all ones"),
    ],
)
def test_points_outside_the_group_are_refused(role: Role, point: bytes) -> None:
    mine = awaiting_pake(role)
    with pytest.raises(PeerProtocolError):
        mine.receive_body_untrusted(SIDE_BYTES[role.peer] + point)
    assert_unusable(mine)


@ROLES
def test_the_neutral_element_not_reduced_gains_nothing(role: Role) -> None:
    # The package takes this second spelling of the neutral element. The key still hangs on
    # the words and on our own secret scalar, so the confirmation is as far away as ever.
    mine = awaiting_pake(role)
    try:
        mine.receive_body_untrusted(SIDE_BYTES[role.peer] + encoded(curve.Q + 1))
    except PeerProtocolError:
        pass
    else:
        with pytest.raises(WrongCode):
            mine.receive_body_untrusted(b"C" + bytes(32))
    assert_unusable(mine)


@ROLES
def test_nothing_may_come_before_the_start(role: Role) -> None:
    mine = machine(role)
    with pytest.raises(PeerProtocolError):
        mine.receive_body_untrusted(pake_message(role.peer))
    assert_unusable(mine)


@ROLES
def test_a_second_pake_message_is_no_second_guess(role: Role) -> None:
    mine = awaiting_confirmation(role)
    with pytest.raises(PeerProtocolError):
        mine.receive_body_untrusted(pake_message(role.peer))
    assert_unusable(mine)


@ROLES
def test_nothing_may_come_after_the_end(role: Role) -> None:
    mine, other = awaiting_pake(role), machine(role.peer, seed=99)
    other.start()
    mine.receive_body_untrusted(pake_message(role.peer))
    body = answer_of(other, machine(role).start())
    mine.receive_body_untrusted(body)
    assert mine.state is State.CONFIRMED
    with pytest.raises(PeerProtocolError):
        mine.receive_body_untrusted(body)
    assert_unusable(mine)


@ROLES
def test_our_own_mistakes_are_internal_errors(role: Role) -> None:
    mine = machine(role)
    with pytest.raises(InternalError):
        _ = mine.keys
    mine.start()
    with pytest.raises(InternalError):
        mine.start()
    with pytest.raises(InternalError):
        _ = mine.keys
    mine.receive_body_untrusted(pake_message(role.peer))
    with pytest.raises(InternalError):
        _ = mine.keys


def test_no_secret_is_shown() -> None:
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
    from_sender, from_receiver = confirmations(sender, receiver)
    sender.receive_body_untrusted(from_receiver)
    receiver.receive_body_untrusted(from_sender)
    keys = sender.keys
    secrets = [*keys.confirmation.values(), *keys.sealing.values(), keys.reconnection]
    for shown in (repr(sender), str(sender), repr(keys), str(keys), f"{keys}"):
        assert "guitar" not in shown
        for secret in secrets:
            assert secret.hex() not in shown
            assert repr(secret) not in shown


bodies = st.binary(max_size=70) | st.builds(
    lambda kind, rest: kind + rest,
    st.sampled_from([b"A", b"B", b"C"]),
    st.binary(min_size=32, max_size=32) | st.binary(max_size=40),
)


@ROLES
@settings(max_examples=40, deadline=None)
@given(sequence=st.lists(bodies, min_size=1, max_size=3), with_pake=st.booleans())
def test_any_bytes_are_an_answer_or_a_documented_error(
    role: Role, sequence: list[bytes], with_pake: bool
) -> None:
    mine = awaiting_pake(role)
    if with_pake:
        sequence = [pake_message(role.peer), *sequence]
    for body in sequence:
        try:
            answer = mine.receive_body_untrusted(body)
        except (PeerProtocolError, IncompatiblePeer, WrongCode):
            assert_unusable(mine)
            return
        # Whatever was made up, a confirmation is not among what passes.
        assert mine.state is State.AWAITING_CONFIRMATION
        assert answer is not None
        assert len(answer) == CONFIRMATION_SIZE
