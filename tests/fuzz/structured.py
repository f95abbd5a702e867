"""JSON that is valid in form and wrong in all else: types, sizes, depth, keys that come twice.

As text, since most of it could not be a value of Python: numbers of any length, duplicate keys.
"""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

_LEAVES = (
    "null", "true", "false", "0", "-0", "1", "-1", "1.5", "1e400", "-1E-400", "NaN", "Infinity",
    "-Infinity", "9007199254740991", "9007199254740992", "18446744073709551616", "9" * 5_000,
    "1" + "0" * 400 + ".0", '""', '"\\ud800"', '"\\u0000"', '"\\u202e"', '"7"', '"..\\/x"', "[]",
    "{}", "[" * 5 + "]" * 5, "[" * 2_000 + "]" * 2_000, '{"a":' * 900 + "1" + "}" * 900, "[" * 99,
    '"' + "x" * 6_000 + '"', '"' + "A" * 64_001 + '"', "[" + "0," * 5_000 + "0]", '{"":0,"":0}',
)  # fmt: skip


def json_like(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return a strategy for objects with the keys and values of the seeds, and others."""
    keys, leaves = _words_of(seeds)
    leaf = st.sampled_from([*_LEAVES, *leaves]) | st.integers().map(str) | st.text().map(json.dumps)
    key = st.sampled_from(keys) | st.text(max_size=3).map(json.dumps)
    value = st.recursive(
        leaf,
        lambda inner: st.lists(inner, max_size=4).map(_list) | _objects(key, inner),
        max_leaves=6,
    )
    tops = st.sampled_from([seed.decode(errors="replace") for seed in seeds])
    return (_objects(key, value) | st.tuples(tops, key, value).map(_with_field) | value).map(
        lambda text: text.encode(errors="surrogatepass")
    )


def _objects(key: st.SearchStrategy[str], value: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.tuples(key, value), max_size=6).map(_object)


def _object(fields: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in fields) + "}"


def _list(values: list[str]) -> str:
    return "[" + ",".join(values) + "]"


def _with_field(parts: tuple[str, str, str]) -> str:
    """Replace or add a field of a valid object; twice, when it cannot be found."""
    top, key, value = parts
    try:
        fields = json.loads(top)
    except ValueError:
        return _object([(key, value)])
    if not isinstance(fields, dict):
        return top
    fields.pop(json.loads(key), None)
    return _object([*((json.dumps(k), json.dumps(v)) for k, v in fields.items()), (key, value)])


def _words_of(seeds: Sequence[bytes]) -> tuple[list[str], list[str]]:
    keys, leaves = {'"type"'}, set[str]()
    for seed in seeds:
        try:
            _collect(json.loads(seed), keys, leaves)
        except ValueError:
            continue
    return sorted(keys), sorted(leaves)


def _collect(value: Any, keys: set[str], leaves: set[str]) -> None:
    if isinstance(value, dict):
        keys.update(map(json.dumps, value))
        for inner in value.values():
            _collect(inner, keys, leaves)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, keys, leaves)
    else:
        leaves.add(json.dumps(value))
