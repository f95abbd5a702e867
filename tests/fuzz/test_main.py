"""The runner: repeatable, and it ends with the input that it found."""

import base64
import dataclasses

import pytest

from tests.fuzz import decoders
from tests.fuzz.__main__ import run_random
from tests.fuzz.decoders import BY_NAME, DECODERS


def test_a_run_without_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_random(0.05, seed=7, only="frame") == 0
    output = capsys.readouterr().out
    assert output.startswith("seed 7\n")
    assert "inputs, no finding" in output


def test_all_decoders_have_their_turn(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_random(0.5, seed=8, only=None) == 0
    output = capsys.readouterr().out
    assert all(f"taken  {decoder.name}\n" in output for decoder in DECODERS)


def test_a_finding_is_shown_with_its_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    def read(data: bytes) -> object:
        seen.append(data)
        return data.decode("ascii")

    careless = dataclasses.replace(BY_NAME["frame"], name="careless", read=read)
    monkeypatch.setitem(decoders.BY_NAME, "careless", careless)
    assert run_random(60.0, seed=9, only="careless") == 1
    assert base64.b64encode(seen[-1]).decode() in capsys.readouterr().out
