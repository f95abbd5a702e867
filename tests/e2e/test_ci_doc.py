"""docs/ci.md is true: its examples run, against a server of the test's own."""

import asyncio
import os
import re
import shlex
import stat
import sys
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from rtcsend.known.store import Store
from tests.e2e.processes import ROOT, STEP_TIMEOUT, Machine
from tests.known.pairs import acquaint

pytestmark = pytest.mark.e2e

PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
WORDS = "guitar-velvet-canyon-orbit"
VALUES = {"github.run_number": "7", "secrets.RTCSEND_WORDS": WORDS, "secrets.RTCSEND_TOKEN": ""}


def blocks(section: str, language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", SECTIONS[section], re.M | re.S)
    assert found
    return found


class Runner:
    """A machine of a CI system: a folder of its own, rtcsend, and a pip that has nothing to do."""

    def __init__(self, machine: Machine, name: str, server: str) -> None:
        self.folder = machine.folder / name
        self.folder.mkdir()
        tools = machine.folder / f"{name}-tools"
        tools.mkdir()
        programs = {
            "pip": "exit 0",
            "ssh": 'shift; exec "$@"',
            "rtcsend": f'exec "{sys.executable}" -m rtcsend "$@"',
        }
        for program, line in programs.items():
            path = tools / program
            path.write_text(f"#!/bin/sh\n{line}\n")
            path.chmod(stat.S_IRWXU)
        self._env = {
            **machine.env,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "RTCSEND_SERVER": server,
        }

    async def run(self, *command: str, env: dict[str, str] | None = None) -> None:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env={**self._env, **(env or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(STEP_TIMEOUT):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, (command, out, err)
        assert b"rtcsend: " not in err

    async def shell(self, script: str, env: dict[str, str] | None = None) -> None:
        await self.run("bash", "-euo", "pipefail", "-c", script, env=env)


def filled(text: str) -> str:
    return re.sub(r"\$\{\{ (\S+) \}\}", lambda match: VALUES[match[1]], text)


async def job(runner: Runner, job: dict[str, Any]) -> None:
    env = {name: filled(value) for name, value in job["env"].items() if name != "RTCSEND_SERVER"}
    for step in job["steps"]:
        await runner.shell(step["run"], env)


async def test_github_actions(machine: Machine, rendezvous: str) -> None:
    (text,) = blocks("GitHub Actions", "yaml")
    jobs = yaml.safe_load(text)["jobs"]
    runners = {name: Runner(machine, name, rendezvous) for name in jobs}
    await asyncio.gather(*(job(runners[name], jobs[name]) for name in jobs))
    assert (runners["test"].folder / "dist" / "built").read_bytes()


async def test_gitlab_ci(machine: Machine, rendezvous: str) -> None:
    (text,) = blocks("GitLab CI", "yaml")
    page = yaml.safe_load(text)
    assert page.pop("variables") == {"RTCSEND_SERVER": "wss://rendezvous.example"}
    env = {"CI_PIPELINE_IID": "12", "RTCSEND_WORDS": WORDS}
    runners = {name: Runner(machine, name, rendezvous) for name in page}
    await asyncio.gather(
        *(runners[name].shell("\n".join(page[name]["script"]), env) for name in page)
    )


def prepared(machine: Machine, name: str, server: str) -> Runner:
    runner = Runner(machine, name, server)
    (runner.folder / "code.txt").write_text(f"7-{WORDS}\n")
    (runner.folder / "documents").mkdir()
    (runner.folder / "documents" / "letter").write_text("Dear Ada")
    (runner.folder / "app.log").write_text("all is well\n")
    return runner


async def test_cron(machine: Machine, rendezvous: str) -> None:
    sends, receives = blocks("cron", "sh")
    here, there = (prepared(machine, name, rendezvous) for name in ("here", "there"))
    await asyncio.gather(here.shell(sends), there.shell(receives))
    (backup,) = there.folder.glob("backup-*.tar.gz")
    assert (there.folder / "received.txt").read_text() == f"{backup.name}\n"
    await there.run("tar", "-xzf", backup.name, "-O", "documents/letter")
    assert (
        backup.with_name(backup.name.replace(".tar.gz", ".b3"))
        .read_text()
        .endswith(f"  {backup.name}\n")
    )


async def test_makefile(machine: Machine, rendezvous: str) -> None:
    (text,) = blocks("A Makefile", "make")
    here, there = (prepared(machine, name, rendezvous) for name in ("here", "there"))
    (there.folder / "Makefile").write_text(text)
    await asyncio.gather(
        here.shell("rtcsend send -q --code-file code.txt app.log"),
        there.run("make", "artifact.tar"),
    )
    assert (there.folder / "artifact.tar").read_text() == "all is well\n"


async def test_pipe(machine: Machine, rendezvous: str) -> None:
    sends, receives = blocks("A pipe", "bash")
    here, there = (prepared(machine, name, rendezvous) for name in ("here", "there"))
    (there.folder / "documents" / "letter").unlink()
    await asyncio.gather(here.shell(sends), there.shell(receives))
    assert (there.folder / "documents" / "letter").read_text() == "Dear Ada"


async def test_ssh(machine: Machine, rendezvous: str) -> None:
    (text,) = blocks("ssh without a port", "sh")
    there = prepared(machine, "there", rendezvous)
    script = text.replace(" app.log", f" {there.folder}/app.log").replace("set -eu\n", "")
    (there.folder / "inbox").mkdir()
    await there.shell(f"cd inbox\n{script}")
    assert (there.folder / "inbox" / "app.log").read_text() == "all is well\n"


async def test_known_machines(machine: Machine, rendezvous: str) -> None:
    page = SECTIONS["A machine that the deploy target knows"]
    lines = [shlex.split(line) for line in re.findall(r"^    rtcsend (.*)$", page, re.M)]
    (_, target, *_), (_, ci, *_), listens, sends = lines
    stores = {name: Store(machine.folder / name / "rtcsend") for name in (ci, target)}
    secret = os.urandom(32)
    acquaint(stores[ci], target, stores[target], secret=secret)
    acquaint(stores[target], ci, stores[ci], secret=secret)
    site, incoming = machine.folder / sends[-1], machine.folder / "incoming"
    site.write_text("the site")
    incoming.mkdir()
    listens[listens.index("--into") + 1] = str(incoming)
    server = ("--server", rendezvous)
    env = {name: {"XDG_DATA_HOME": str(machine.folder / name)} for name in stores}
    async with machine.run(*listens, *server, env=env[target]) as listener:
        await listener.event("waiting")
        async with machine.run(*sends[:-1], str(site), *server, env=env[ci]) as sender:
            assert await sender.exit() == 0, sender.stderr
        assert (await listener.event("done"))["paths"] == [str(incoming / site.name)]
    assert (incoming / site.name).read_text() == "the site"


def test_every_example_has_a_test() -> None:
    tested = {
        "GitHub Actions",
        "GitLab CI",
        "A machine that the deploy target knows",
        "cron",
        "A Makefile",
        "A pipe",
        "ssh without a port",
    }
    assert set(SECTIONS) == tested
