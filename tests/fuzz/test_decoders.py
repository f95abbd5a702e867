"""Any bytes give a value or the one documented error, at a cost that grows with their size.

``python -m tests.fuzz`` does the same for minutes or hours.
"""

import ast
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.cost import lines_run, peak_memory
from tests.fuzz.decoders import BY_NAME, DECODERS, Decoder, check
from tests.fuzz.mutations import KINDS, MAX_SIZE, Edit, drawn, mutated
from tests.fuzz.structured import json_like

ROOT = Path(__file__).parents[2]
LINES_PER_BYTE = 20  # three times what the worst of them runs
FIXED_LINES = 250_000  # twice what a word takes that resembles others
MEMORY_PER_BYTE = 64  # an empty list of JSON takes 56 bytes, and three in the text
FIXED_MEMORY = 2 << 20
SIZES = (32_768, 66_000)  # bytes; the second is more than most of them take

every_decoder = pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
EXAMPLES = {True: 10, False: 80}  # by is_slow; the runner tries millions
DRAWN = 200  # by the runner's own way of drawing


def edits(decoder: Decoder) -> st.SearchStrategy[list[Edit]]:
    edit = st.builds(
        Edit,
        st.integers(0, len(KINDS) - 1),
        st.floats(0, 1),
        st.integers(0, 2**16 - 1),
        st.sampled_from(decoder.seeds),
    )
    return st.lists(edit, min_size=1, max_size=6)


def inputs(decoder: Decoder) -> st.SearchStrategy[bytes]:
    """Noise, valid input that is mutated, and JSON that is wrong in all but its form."""
    mutants = st.builds(mutated, st.sampled_from(decoder.seeds), edits(decoder))
    noise = st.binary() | st.text(st.characters(exclude_categories=())).map(
        lambda text: text.encode(errors="surrogatepass")
    )
    return st.one_of(mutants, noise, json_like(decoder.seeds))


@every_decoder
def test_any_bytes_give_a_value_or_the_documented_error(decoder: Decoder) -> None:
    @settings(
        max_examples=EXAMPLES[decoder.is_slow],
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(inputs(decoder))
    def holds(data: bytes) -> None:
        check(decoder, data)

    holds()


@every_decoder
def test_seeds_reach_the_inside_of_a_decoder(decoder: Decoder) -> None:
    """So that mutated input is nearly valid, and not refused by the first check."""
    assert any(check(decoder, seed) for seed in decoder.seeds)
    if decoder.errors:
        rng = random.Random(1)
        outcomes = [check(decoder, drawn(rng, decoder.seeds)) for _ in range(DRAWN)]
        assert not all(outcomes)


def blown_up(decoder: Decoder, size: int) -> list[bytes]:
    """Inputs of a size that are known to be dear to somebody."""
    repeated = [
        b"\\",
        b'"',
        b"[",
        b"{",
        b'{"a":',
        b"9",
        b"a",
        b"A-",
        b"a/",
        b"~1",
        b"\xff",
        b"\x00",
    ]
    repeated += [
        b"\n",
        b".",
        b" ",
        b"e\xcc\x81",
        b'["',
        b"[],",
        b"{},",
        b'"a":1,',
        b"a=b\r\n",
        b"%",
    ]
    inputs = [part * (size // len(part)) for part in repeated]
    inputs += [b"[" + b"[]," * (size // 3) + b"1]", b'"' + b"\\u0041" * (size // 6) + b'"']
    inputs += [seed + seed[-1:] * (size - len(seed)) for seed in decoder.seeds[:4] if seed]
    inputs += [
        seed[: len(seed) // 2] * (size // (len(seed) // 2 + 1))
        for seed in decoder.seeds[:8]
        if seed
    ]
    return inputs


@every_decoder
@pytest.mark.parametrize("size", SIZES)
def test_the_time_is_bounded_by_the_size(decoder: Decoder, size: int) -> None:
    for data in blown_up(decoder, size):
        lines = lines_run(lambda data=data: check(decoder, data))  # type: ignore[misc]  # of mypy
        assert lines <= LINES_PER_BYTE * len(data) + FIXED_LINES, data[:40]


@every_decoder
def test_the_memory_is_bounded_by_the_size(decoder: Decoder) -> None:
    for data in blown_up(decoder, SIZES[-1]):
        peak = peak_memory(lambda data=data: check(decoder, data))  # type: ignore[misc]  # of mypy
        assert peak <= MEMORY_PER_BYTE * len(data) + FIXED_MEMORY, data[:40]


@pytest.mark.parametrize(
    "decoder", [decoder for decoder in DECODERS if decoder.errors], ids=lambda decoder: decoder.name
)
@pytest.mark.parametrize("part", [b"9", b"A", b"\xff"])
def test_what_is_far_too_large_is_refused_at_once(decoder: Decoder, part: bytes) -> None:
    """A million digits become no number, and base64 of them no bytes."""
    check(decoder, b"")  # what is made once is no matter of the size
    data = part * 1_000_000
    assert lines_run(lambda: check(decoder, data)) < 5_000
    assert peak_memory(lambda: check(decoder, data)) < MEMORY_PER_BYTE // 2 * len(data)


def test_no_parser_is_forgotten() -> None:
    covered = {name for decoder in DECODERS for name in decoder.covers}
    parsers = {
        node.name
        for package in ("rtcsend", "signal_server")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        if node.name.endswith("_untrusted") and "parse_" in node.name
        if not node.name.startswith("_")
    }
    assert len(parsers) > 8
    assert parsers - covered == set()


def test_names_are_told_apart() -> None:
    assert len(BY_NAME) == len(DECODERS)


def test_an_error_that_is_not_documented_is_found() -> None:
    def read(data: bytes) -> object:
        return data.decode("ascii")

    careless = Decoder(name="careless", read=read, errors=(IndexError,), seeds=(b"a",))
    assert check(careless, b"a")
    with pytest.raises(UnicodeDecodeError):
        check(careless, b"\xff")


def test_a_cost_that_grows_with_the_square_is_found() -> None:
    def slow() -> object:
        return [[column for column in range(300)] for _ in range(300)]  # noqa: C416  lines count

    assert lines_run(slow) > 60_000
    assert lines_run(lambda: None) < 10
    assert peak_memory(lambda: bytes(1 << 20)) >= 1 << 20


@given(st.binary(max_size=200), st.data())
def test_every_edit_can_be_made_anywhere(data: bytes, draw: st.DataObject) -> None:
    for kind in range(len(KINDS)):
        edit = Edit(kind, draw.draw(st.floats(0, 1)), draw.draw(st.integers(0, 2**16)), b"other")
        assert len(mutated(data, [edit])) <= MAX_SIZE
