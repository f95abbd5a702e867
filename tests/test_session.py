"""What is refused before anybody is asked for anything."""

from pathlib import Path

import pytest

from rtcsend.cli.questions import ScriptQuestions
from rtcsend.errors import UsageError
from rtcsend.listening import listen
from rtcsend.options import (
    DATAPATH_VARIABLE,
    DISCOVERY_VARIABLE,
    LOCAL_ONLY,
    ReceiveOptions,
    SendOptions,
)
from rtcsend.receiving import receive
from rtcsend.rendezvous.lan import lan_allowed
from rtcsend.sending import send
from rtcsend.session import check_environment

SENTENCE = f"{DATAPATH_VARIABLE} names no data path that there is."


@pytest.mark.parametrize("value", ["Stock", "plain", " stock", "0"])
def test_a_data_path_that_there_is_not(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip of the pen would otherwise run on another one than was asked for."""
    monkeypatch.setenv(DATAPATH_VARIABLE, value)
    with pytest.raises(UsageError, match=SENTENCE):
        check_environment()


@pytest.mark.parametrize("value", [None, "", "stock"])
def test_both_data_paths(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv(DATAPATH_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(DATAPATH_VARIABLE, value)
    check_environment()


@pytest.mark.parametrize("value", ["Local", "lan", "0"])
def test_a_discovery_that_there_is_not(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who means this machine only must not be announced on the LAN for a slip of the pen."""
    monkeypatch.setenv(DISCOVERY_VARIABLE, value)
    with pytest.raises(UsageError, match="does not say where to look"):
        check_environment()
    assert not lan_allowed()


@pytest.mark.parametrize("value", ["", LOCAL_ONLY])
def test_both_discoveries(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DISCOVERY_VARIABLE, value)
    check_environment()
    assert lan_allowed() is (value == "")


async def test_every_way_in_asks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DATAPATH_VARIABLE, "Stock")
    questions, told = ScriptQuestions(tell=print), list[object]()
    film = tmp_path / "film.iso"
    film.touch()
    with pytest.raises(UsageError, match=SENTENCE):
        await send(SendOptions(paths=(film,)), questions=questions, emit=told.append)
    options = ReceiveOptions(code="7-guitar-velvet", output=tmp_path)
    with pytest.raises(UsageError, match=SENTENCE):
        await receive(options, questions=questions, emit=told.append)
    with pytest.raises(UsageError, match=SENTENCE):
        await listen(options, questions=questions, emit=told.append)
    assert told == []
