"""Two pairing machines and the bodies between them."""

import itertools
from collections.abc import Callable

from rtcsend.pairing.keys import Role
from rtcsend.pairing.machine import PairingMachine

WORDS = b"guitar-velvet"


def counting_entropy(seed: int) -> Callable[[int], bytes]:
    """Return a source of bytes that is the same in every run."""
    numbers = itertools.count(seed)
    return lambda size: bytes(next(numbers) % 256 for _ in range(size))


def machine(
    role: Role, *, words: bytes = WORDS, nameplate: str = "7", seed: int | None = None
) -> PairingMachine:
    entropy = counting_entropy({Role.SENDER: 1, Role.RECEIVER: 2}[role] if seed is None else seed)
    return PairingMachine(role, nameplate=nameplate, password=words, entropy=entropy)


def answer_of(machine: PairingMachine, body: bytes) -> bytes:
    answer = machine.receive_body_untrusted(body)
    assert answer is not None
    return answer


def confirmations(sender: PairingMachine, receiver: PairingMachine) -> tuple[bytes, bytes]:
    """Start both and exchange the SPAKE2 messages; return the confirmation of each."""
    from_sender, from_receiver = sender.start(), receiver.start()
    return answer_of(sender, from_receiver), answer_of(receiver, from_sender)
