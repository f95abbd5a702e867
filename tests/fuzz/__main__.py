"""Fuzz all decoders for a while: ``python -m tests.fuzz --minutes 5``.

With the package atheris, guided by the code that an input reaches; it is no dependency, and
where it is not installed the inputs are drawn at random, from a seed that is printed. The first
finding ends the run with its input, and exit code 1 (77 from atheris).
"""

import argparse
import base64
import importlib
import importlib.util
import random
import secrets
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

SECONDS_PER_INPUT = 5.0  # of processor time: a decoder that takes longer is a finding
_MAX_SIZE = 70_000  # bytes
_MAX_MEMORY = 2_048  # MiB that atheris allows


def main() -> None:
    """Run the one or the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=None, help="of a run that is to be repeated")
    parser.add_argument("--only", metavar="NAME", help="one decoder of the table")
    parser.add_argument("--random", action="store_true", help="without atheris, if it is there")
    options = parser.parse_args()
    seconds = options.minutes * 60
    if options.random or options.seed is not None or not importlib.util.find_spec("atheris"):
        seed = secrets.randbits(32) if options.seed is None else options.seed
        sys.exit(run_random(seconds, seed=seed, only=options.only))
    run_guided(seconds, only=options.only)


def run_random(seconds: float, *, seed: int, only: str | None) -> int:
    """Draw inputs until the time is over; return the exit code."""
    from tests.fuzz.decoders import BY_NAME, DECODERS, check
    from tests.fuzz.mutations import drawn

    print(f"seed {seed}")
    rng = random.Random(seed)
    decoders = DECODERS if only is None else (BY_NAME[only],)
    # Each gets its share of the time, not of the inputs: some are a thousand times slower.
    spent = dict.fromkeys((decoder.name for decoder in decoders), 0.0)
    tried, taken = Counter[str](), Counter[str]()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        decoder = min(decoders, key=lambda decoder: spent[decoder.name])
        for _ in range(1 if decoder.is_slow else 20):
            data = drawn(rng, decoder.seeds)
            before = time.thread_time()
            try:
                taken[decoder.name] += check(decoder, data)
            except Exception:
                traceback.print_exc()
                return _found(decoder.name, data)
            tried[decoder.name] += 1
            took = time.thread_time() - before
            spent[decoder.name] += took
            if took > SECONDS_PER_INPUT:
                print(f"took {took:.1f} s")
                return _found(decoder.name, data)
    for decoder in decoders:
        print(f"{tried[decoder.name]:>10,} {taken[decoder.name]:>10,} taken  {decoder.name}")
    print(f"{tried.total():>10,} inputs, no finding")
    return 0


def _found(name: str, data: bytes) -> int:
    print(f"FOUND by {name!r}, base64 of the input:\n{base64.b64encode(data).decode()}")
    return 1


def run_guided(seconds: float, *, only: str | None) -> None:
    """Let atheris look for inputs; it ends the process."""
    atheris = importlib.import_module("atheris")  # not installed where types are checked
    with atheris.instrument_imports(include=["rtcsend", "signal_server"]):
        from tests.fuzz.decoders import BY_NAME, DECODERS, check
    from tests.fuzz.mutations import TOKENS

    decoders = DECODERS if only is None else (BY_NAME[only],)

    def one_input(data: bytes) -> None:
        """The first byte chooses the decoder."""
        if data:
            check(decoders[data[0] % len(decoders)], data[1:])

    corpus = Path(tempfile.mkdtemp(prefix="rtcsend-fuzz-"))
    for number, decoder in enumerate(decoders):
        for index, seed in enumerate(decoder.seeds):
            (corpus / f"{number}-{index}").write_bytes(bytes([number]) + seed)
    words = corpus.with_suffix(".dict")
    words.write_text("".join(f'"{_escaped(token)}"\n' for token in TOKENS), encoding="ascii")
    arguments = (
        *(f"-max_total_time={int(seconds)}", f"-max_len={_MAX_SIZE}", f"-dict={words}"),
        *(f"-timeout={int(SECONDS_PER_INPUT)}", f"-rss_limit_mb={_MAX_MEMORY}"),
        *("-print_final_stats=1", f"-artifact_prefix={corpus.name}-", str(corpus)),
    )
    atheris.Setup([sys.argv[0], *arguments], one_input)
    atheris.Fuzz()


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token[:64])


if __name__ == "__main__":
    main()
