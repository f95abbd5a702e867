"""docs/python.md is true: its programs run against each other, and are typed; its names are all."""

import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

import rtcsend
from tests.e2e.processes import ROOT, Machine, Side, listing, random_file

pytestmark = pytest.mark.e2e

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^<!-- (sends|receives) -->\n```python\n(.*?)^```", PAGE, re.M | re.S)
SENDERS = [text for kind, text in BLOCKS if kind == "sends"]
RECEIVERS = [text for kind, text in BLOCKS if kind == "receives"]

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DATA = {Path(name).name for name in PROJECT["tool"]["setuptools"]["package-data"]["rtcsend"]}
MYPY = (sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=cache")

USER = """
import asyncio
from pathlib import Path

import rtcsend
from rtcsend.events import Entry


def accept(proposal: rtcsend.Proposal) -> bool:
    first: Entry = proposal.entries[0]
    return first.kind == "file"


async def later(proposal: rtcsend.Proposal) -> bool:
    return accept(proposal)


async def main() -> rtcsend.Done:
    async with rtcsend.Sender([Path("x")], route=rtcsend.RoutePolicy.DIRECT_ONLY) as sender:
        reveal_type(sender)
        reveal_type(sender.code)
        async for event in sender:
            reveal_type(event)
        reveal_type(await sender.wait())
    return await rtcsend.receive("7-guitar-velvet", accept=later)


reveal_type(rtcsend.send_file("x", words=3, verify=lambda text: True))
reveal_type(rtcsend.receive_file("7-guitar-velvet", conflict=rtcsend.Conflict.SKIP))
reveal_type(rtcsend.errors.WrongCode("x").exit_code)
rtcsend.send_file("x", wrods=3)  # mistake
rtcsend.receive_file(7)  # mistake
rtcsend.Sender(["x"], links="keep")  # mistake
"""


@pytest.fixture
def film(machine: Machine) -> Path:
    random_file(machine.folder / "notes.md", 70_000, seed=2)
    return random_file(machine.folder / "film.iso", 1_500_000)


def module(machine: Machine, name: str, text: str) -> str:
    (machine.folder / f"{name}.py").write_text(text)
    return name


def same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


async def code_of(side: Side, *, not_in: tuple[str, ...] = ()) -> str:
    def found() -> list[str]:
        codes = (line for line in side.stdout if re.fullmatch(r"\d+(-[a-z]+){2,}", line))
        return [code for code in codes if code not in not_in]

    return await side._first(lambda: iter(found()), "a code")


def test_each_block_of_the_page_is_run() -> None:
    assert len(BLOCKS) == PAGE.count("```python")
    assert SENDERS
    assert RECEIVERS


@pytest.mark.parametrize("text", SENDERS)
async def test_a_sender(machine: Machine, film: Path, out: Path, text: str) -> None:
    wanted = re.findall(r"film\.iso|notes\.md", text)
    async with machine.run(module=module(machine, "sends", text)) as sends:
        codes: tuple[str, ...] = ()
        for _ in wanted:
            codes += (await code_of(sends, not_in=codes),)
            async with machine.run("receive", codes[-1], "-y", "-o", out) as receives:
                assert await receives.exit() == 0
        assert await sends.exit() == 0
    assert sends.stderr == ""
    assert listing(out) == sorted(wanted)
    assert same(out / film.name, film)


@pytest.mark.parametrize("text", RECEIVERS)
async def test_a_receiver(machine: Machine, film: Path, text: str) -> None:
    (machine.folder / "downloads").mkdir()
    async with machine.run(module=module(machine, "sends", SENDERS[0])) as sends:
        code = await code_of(sends)
        async with machine.run(code, module=module(machine, "receives", text)) as receives:
            assert await receives.exit() == 0
        assert await sends.exit() == 0
    assert receives.stderr == sends.stderr == ""
    assert listing(machine.folder / "downloads") == ["film.iso"]
    assert same(machine.folder / "downloads" / "film.iso", film)


def test_the_public_names_are_on_the_page_and_no_others() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", PAGE.partition("## Public names")[2], re.M)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(rtcsend.__all__)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """An interpreter that has the package as pip would install it, and nothing else."""
    folder = tmp_path / "installed"
    venv.create(folder)
    paths = sysconfig.get_paths("venv", vars={"base": str(folder), "platbase": str(folder)})
    shutil.copytree(
        ROOT / "rtcsend",
        Path(paths["purelib"]) / "rtcsend",
        ignore=lambda _folder, names: [name for name in names if not _goes_with_it(name)],
    )
    return Path(paths["scripts"]) / "python"


def _goes_with_it(name: str) -> bool:
    return "." not in name.strip("_.") or name.endswith(".py") or name in DATA


def test_a_users_program_is_typed(tmp_path: Path, installed: Path) -> None:
    for number, (_kind, text) in enumerate(BLOCKS):
        (tmp_path / f"example_{number}.py").write_text(text)
    (tmp_path / "user.py").write_text(USER)
    names = [path.name for path in tmp_path.glob("*.py")]
    finished = subprocess.run(
        [*MYPY, f"--python-executable={installed}", *names],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    lines = USER.splitlines()
    mistakes = [number for number, line in enumerate(lines, 1) if line.endswith("# mistake")]
    found = re.findall(r"^(\S+):(\d+): error", finished.stdout, re.M)
    assert found == [("user.py", str(number)) for number in mistakes], finished.stdout
    assert re.findall(r'Revealed type is "([^"]+)"', finished.stdout) == [
        "rtcsend.api.Sender",
        "str",
        "rtcsend.events.Event",
        "rtcsend.events.Done",
        "rtcsend.events.Done",
        "rtcsend.events.Done",
        "int",
    ]
