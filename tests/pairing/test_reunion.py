import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcsend.errors import InternalError, PeerProtocolError
from rtcsend.pairing.keys import Role
from rtcsend.pairing.reunion import (
    CONFIRMATION_SIZE,
    MAX_FAREWELL,
    NONCE_BODY_SIZE,
    ReunionMachine,
    State,
    mailbox_name,
    seal_farewell,
)
from rtcsend.rendezvous.messages import is_mailbox
from tests.pairing.pair import counting_entropy

SECRET = bytes(range(32))
OTHER_SECRET = bytes(range(1, 33))
ROLES = pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
NONCE_KIND = {Role.SENDER: b"D", Role.RECEIVER: b"E"}

_seeds = itertools.count(7)


def machine(role: Role, *, secret: bytes = SECRET) -> ReunionMachine:
    """Return a new machine, with a nonce that no other one has."""
    return ReunionMachine(role, reconnection=secret, entropy=counting_entropy(next(_seeds)))


def answer_of(machine: ReunionMachine, body: bytes) -> bytes:
    answer = machine.receive_body_untrusted(body)
    assert answer is not None
    return answer


def meeting(*, secrets: tuple[bytes, bytes] = (SECRET, SECRET)) -> dict[Role, list[bytes]]:
    """Let two sides exchange nonces; return the bodies of each, nonce and confirmation."""
    sides = dict(zip(Role, map(lambda r, s: machine(r, secret=s), Role, secrets), strict=True))
    nonces = {role: sides[role].start() for role in Role}
    return {role: [nonces[role], answer_of(sides[role], nonces[role.peer])] for role in Role}


def awaiting_confirmation(role: Role) -> ReunionMachine:
    started = machine(role)
    started.start()
    started.receive_body_untrusted(machine(role.peer).start())
    return started


def farewell(role: Role, text: bytes = b"{}", *, secret: bytes = SECRET) -> bytes:
    return seal_farewell(text, reconnection=secret, role=role, entropy=counting_entropy(3))


def assert_failed(failed: ReunionMachine) -> None:
    assert failed.state is State.FAILED
    with pytest.raises(InternalError):
        _ = failed.keys
    with pytest.raises(InternalError):
        failed.start()
    with pytest.raises(PeerProtocolError):
        failed.receive_body_untrusted(b"F" + bytes(32))


def meet(sender: ReunionMachine, receiver: ReunionMachine) -> None:
    from_sender, from_receiver = sender.start(), receiver.start()
    of_sender = answer_of(sender, from_receiver)
    of_receiver = answer_of(receiver, from_sender)
    assert sender.receive_body_untrusted(of_receiver) is None
    assert receiver.receive_body_untrusted(of_sender) is None


def test_two_sides_with_the_secret_have_the_same_keys() -> None:
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
    meet(sender, receiver)
    assert (sender.state, receiver.state) == (State.CONFIRMED, State.CONFIRMED)
    assert sender.keys == receiver.keys
    keys = [*sender.keys.sealing.values(), *sender.keys.confirmation.values()]
    assert len({len(key) for key in keys}) == 1
    assert len(set(keys)) == 4


def test_each_meeting_has_new_keys() -> None:
    seen: set[bytes] = set()
    for _ in range(3):
        sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
        meet(sender, receiver)
        seen |= {*sender.keys.sealing.values(), *sender.keys.confirmation.values()}
    assert len(seen) == 12


def test_sizes_of_the_bodies() -> None:
    for role, (nonce, confirmation) in meeting().items():
        assert nonce[:1] == NONCE_KIND[role]
        assert (len(nonce), len(confirmation)) == (NONCE_BODY_SIZE, CONFIRMATION_SIZE)


def test_the_mailbox_follows_from_the_secret_alone() -> None:
    assert is_mailbox(mailbox_name(SECRET))
    assert mailbox_name(SECRET) == mailbox_name(SECRET)
    assert mailbox_name(SECRET) != mailbox_name(OTHER_SECRET)


@ROLES
def test_somebody_without_the_secret(role: Role) -> None:
    honest, stranger = machine(role), machine(role.peer, secret=OTHER_SECRET)
    nonces = honest.start(), stranger.start()
    honest.receive_body_untrusted(nonces[1])
    forged = answer_of(stranger, nonces[0])
    with pytest.raises(PeerProtocolError, match="Somebody else"):
        honest.receive_body_untrusted(forged)
    assert_failed(honest)


@ROLES
def test_bodies_of_an_earlier_meeting(role: Role) -> None:
    replayed = meeting()[role.peer]
    honest = machine(role)
    honest.start()
    honest.receive_body_untrusted(replayed[0])
    with pytest.raises(PeerProtocolError):
        honest.receive_body_untrusted(replayed[1])
    assert_failed(honest)


@ROLES
def test_own_bodies_reflected(role: Role) -> None:
    honest = machine(role)
    own = honest.start()
    with pytest.raises(PeerProtocolError):
        honest.receive_body_untrusted(own)
    assert_failed(honest)
    honest = machine(role)
    honest.start()
    confirmation = answer_of(honest, machine(role.peer).start())
    with pytest.raises(PeerProtocolError):
        honest.receive_body_untrusted(confirmation)
    assert_failed(honest)


@ROLES
def test_the_confirmation_before_the_nonce(role: Role) -> None:
    honest = machine(role)
    honest.start()
    with pytest.raises(PeerProtocolError):
        honest.receive_body_untrusted(meeting()[role.peer][1])
    assert_failed(honest)


@ROLES
def test_a_second_nonce(role: Role) -> None:
    honest = awaiting_confirmation(role)
    with pytest.raises(PeerProtocolError):
        honest.receive_body_untrusted(machine(role.peer).start())
    assert_failed(honest)


@ROLES
def test_anything_after_the_confirmation(role: Role) -> None:
    sides = {each: machine(each) for each in Role}
    meet(sides[Role.SENDER], sides[Role.RECEIVER])
    with pytest.raises(PeerProtocolError):
        sides[role].receive_body_untrusted(meeting()[role.peer][1])
    assert_failed(sides[role])


def test_a_changed_nonce_fails_on_both_sides() -> None:
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
    from_sender, from_receiver = sender.start(), receiver.start()
    changed = from_sender[:-1] + bytes([from_sender[-1] ^ 1])
    of_sender, of_receiver = answer_of(sender, from_receiver), answer_of(receiver, changed)
    for side, body in ((sender, of_receiver), (receiver, of_sender)):
        with pytest.raises(PeerProtocolError):
            side.receive_body_untrusted(body)
        assert_failed(side)


@ROLES
@given(body=st.binary(max_size=80))
def test_garbage_instead_of_the_nonce(role: Role, body: bytes) -> None:
    honest = machine(role)
    honest.start()
    if body[:1] == NONCE_KIND[role.peer] and len(body) == NONCE_BODY_SIZE:
        return
    with pytest.raises(PeerProtocolError):
        honest.receive_body_untrusted(body)
    assert_failed(honest)


@ROLES
@given(
    body=st.one_of(st.binary(max_size=80), st.binary(min_size=32, max_size=32).map(b"F".__add__))
)
def test_garbage_instead_of_the_confirmation(role: Role, body: bytes) -> None:
    honest = awaiting_confirmation(role)
    with pytest.raises(PeerProtocolError):
        honest.receive_body_untrusted(body)
    assert_failed(honest)


# Farewells


@ROLES
@pytest.mark.parametrize("after_the_nonce", [False, True])
def test_a_farewell(role: Role, *, after_the_nonce: bool) -> None:
    waiting = awaiting_confirmation(role) if after_the_nonce else machine(role)
    if not after_the_nonce:
        waiting.start()
    assert waiting.receive_body_untrusted(farewell(role.peer, b'{"type":"abort"}')) is None
    assert waiting.state is State.ENDED
    assert waiting.farewell == b'{"type":"abort"}'


def _changed(body: bytes, at: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


@pytest.mark.parametrize(
    "body",
    [
        farewell(Role.SENDER),  # reflected
        farewell(Role.RECEIVER, secret=OTHER_SECRET),
        farewell(Role.RECEIVER)[:-1],
        farewell(Role.RECEIVER) + b"\0",
        _changed(farewell(Role.RECEIVER), 1),
        _changed(farewell(Role.RECEIVER), -2),
        b"G",
        b"G" + bytes(28),
        b"G" + bytes(MAX_FAREWELL + 29),
    ],
)
def test_a_false_farewell(body: bytes) -> None:
    waiting = machine(Role.SENDER)
    waiting.start()
    with pytest.raises(PeerProtocolError):
        waiting.receive_body_untrusted(body)
    assert_failed(waiting)


def test_a_farewell_has_a_bound() -> None:
    farewell(Role.SENDER, bytes(MAX_FAREWELL))
    with pytest.raises(ValueError, match="too large"):
        farewell(Role.SENDER, bytes(MAX_FAREWELL + 1))


def test_secrets_are_not_shown() -> None:
    sender, receiver = machine(Role.SENDER), machine(Role.RECEIVER)
    meet(sender, receiver)
    assert repr(sender.keys) == "ReunionKeys()"
