"""Which data path is taken, and that a private name which moved is noticed before it is used."""

import ast
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import aioice
import pytest
from aioice.turn import TurnClientMixin, TurnTransport
from aiortc import RTCDtlsTransport
from OpenSSL import SSL

from rtcsend.datapath import choice
from rtcsend.datapath.choice import BATCHED_VERSION, local_version, missing_names, new_identity
from rtcsend.datapath.stock import StockPath

if TYPE_CHECKING:
    from rtcsend.peer.ice import IceConnection

FOLDER = Path(choice.__file__).parent
CHECKING = ("choice.py", "guarded.py")  # where the names are that are checked at the start
INITIALISED = [
    (RTCDtlsTransport, "aiortc's DTLS connection"),
    (aioice.Connection, "aioice's selected pair"),
    (TurnTransport, "aioice's relay"),
    (TurnClientMixin, "aioice's TURN channels"),
    (SSL.Connection, "pyOpenSSL's connection"),
]


@pytest.fixture(autouse=True)
def _own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RTCSEND_DATAPATH", raising=False)


def test_what_is_installed_has_all_names() -> None:
    assert missing_names() == []
    assert local_version() == BATCHED_VERSION
    assert new_identity() is not None


def test_the_variable_says_stock(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RTCSEND_DATAPATH", "stock")
    assert local_version() == 0
    assert new_identity() is None
    assert not caplog.messages


@pytest.mark.parametrize(("owner", "what"), INITIALISED)
def test_an_attribute_that_is_gone_is_named(
    owner: type, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "__init__", lambda _self: None)
    assert what in missing_names()


@pytest.mark.parametrize(
    ("part", "name"),
    [("_lib", name) for name in choice._LIB_NAMES] + [("_ffi", name) for name in choice._FFI_NAMES],
)
def test_a_function_that_is_gone_is_named(
    part: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {*choice._LIB_NAMES, *choice._FFI_NAMES} - {name}
    monkeypatch.setattr(SSL, part, SimpleNamespace(**dict.fromkeys(names)))
    assert missing_names() == [f"pyOpenSSL's {name}"]


async def test_the_plain_path_is_taken_instead_with_a_word(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(RTCDtlsTransport, "_register_data_receiver")
    with caplog.at_level(logging.WARNING):
        identity = new_identity()
    assert caplog.messages == ["! plain data path, since aiortc's register of receivers moved"]
    monkeypatch.undo()
    made = choice.path_maker(BATCHED_VERSION, identity)
    transport = SimpleNamespace(state="new", transport=SimpleNamespace(role="controlling"))
    path = made(cast("RTCDtlsTransport", transport), cast("IceConnection", None))
    assert isinstance(path, StockPath)


@pytest.mark.parametrize("part", ["_lib", "_ffi"])
def test_nothing_fails_before_the_check(part: str) -> None:
    """The modules of our own path are imported in any case."""
    program = (
        f"from OpenSSL import SSL; del SSL.{part}\n"
        "from rtcsend.datapath.choice import local_version; print(local_version())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout == "0\n"
    assert done.stderr.startswith("! plain data path, since ")


def test_no_other_private_name_is_touched() -> None:
    """What is read of others, and starts with an underscore, is in the check."""
    checked = "".join(
        ast.dump(ast.parse((FOLDER / name).read_text(encoding="utf-8"))) for name in CHECKING
    )
    for path in FOLDER.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = {
            node.attr if isinstance(node, ast.Attribute) else node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            or (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute):
                continue
            of_pyopenssl = isinstance(node.value, ast.Name) and node.value.id in ("_lib", "_ffi")
            if of_pyopenssl or (node.attr.startswith("_") and not node.attr.startswith("__")):
                assert node.attr in own or f"'{node.attr}'" in checked, (path.name, node.attr)
