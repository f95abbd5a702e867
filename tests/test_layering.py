"""The order of the stages, and which files may do I/O, held by the imports themselves.

docs/architecture.md says why. A stage knows the stages before it, and of these only what is
pure; protocol logic has no clock, socket, thread, randomness or event loop inside. Imports for
types alone count as well: they are dependencies of the reader.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
STAGES = (
    *("code", "proxy", "rendezvous", "pairing", "known", "peer", "datapath"),
    *("manifest", "transfer", "files", "doctor"),
)

WIRING = {
    *("sending.py", "receiving.py", "listening.py", "session.py"),
    *("connecting.py", "reconnecting.py", "farewell.py"),
    *("sources.py", "tree_sources.py", "target.py", "tree_decision.py", "api.py", "blocking.py"),
}
"""The files beside the stages that may know several of them; the others know none."""

WIRING_FOLDERS = ("meeting", "serving")
"""The folders that may, in their order: ``sending.py`` and who is beside it know them."""

SHELLS = {
    "rtcsend/api.py",
    "rtcsend/blocking.py",
    "rtcsend/meeting/by_keys.py",
    "rtcsend/meeting/by_words.py",
    "rtcsend/connecting.py",
    "rtcsend/farewell.py",
    "rtcsend/meeting/introducing.py",
    "rtcsend/meeting/known_receiving.py",
    "rtcsend/meeting/known_sending.py",
    "rtcsend/serving/listening.py",
    "rtcsend/meeting/again.py",
    "rtcsend/reconnecting.py",
    "rtcsend/resolving.py",
    "rtcsend/receiving.py",
    "rtcsend/sending.py",
    "rtcsend/session.py",
    "rtcsend/serving/one_by_one.py",
    "rtcsend/serving/several.py",
    "rtcsend/sources.py",
    "rtcsend/standstill.py",
    "rtcsend/target.py",
    "rtcsend/tasks.py",
    "rtcsend/tree_decision.py",
    "rtcsend/tree_sources.py",
    "rtcsend/proxy/tunnel.py",
    "rtcsend/rendezvous/arrivals.py",
    "rtcsend/rendezvous/client.py",
    "rtcsend/rendezvous/discovery.py",
    "rtcsend/rendezvous/embedded.py",
    "rtcsend/rendezvous/keeper.py",
    "rtcsend/rendezvous/lan.py",
    "rtcsend/rendezvous/lan_notes.py",
    "rtcsend/rendezvous/local.py",
    "rtcsend/rendezvous/pinning.py",
    "rtcsend/rendezvous/redial.py",
    "rtcsend/rendezvous/websocket.py",
    "rtcsend/known/door_lock.py",
    "rtcsend/known/private_files.py",
    "rtcsend/known/store.py",
    "rtcsend/peer/allocation.py",
    "rtcsend/peer/checking.py",
    "rtcsend/peer/connection.py",
    "rtcsend/peer/consent.py",
    "rtcsend/peer/gathering.py",
    "rtcsend/peer/ice.py",
    "rtcsend/peer/interfaces.py",
    "rtcsend/peer/lanes.py",
    "rtcsend/peer/negotiation.py",
    "rtcsend/peer/path_watch.py",
    "rtcsend/peer/private_names.py",
    "rtcsend/peer/relays.py",
    "rtcsend/peer/repeating.py",
    "rtcsend/peer/transaction.py",
    "rtcsend/peer/turn_client.py",
    "rtcsend/datapath/batched.py",
    "rtcsend/datapath/carrier.py",
    "rtcsend/datapath/channel.py",
    "rtcsend/datapath/choice.py",
    "rtcsend/datapath/guarded.py",
    "rtcsend/datapath/loop.py",
    "rtcsend/datapath/records.py",
    "rtcsend/datapath/relay.py",
    "rtcsend/datapath/stock.py",
    "rtcsend/datapath/udp.py",
    "rtcsend/datapath/udp_reader.py",
    "rtcsend/datapath/udp_socket.py",
    "rtcsend/transfer/exchange.py",
    "rtcsend/transfer/receiving.py",
    "rtcsend/transfer/sending.py",
    "rtcsend/files/arrival.py",
    "rtcsend/files/checkpoints.py",
    "rtcsend/files/disk_thread.py",
    "rtcsend/files/file_system.py",
    "rtcsend/files/folder.py",
    "rtcsend/files/folder_trees.py",
    "rtcsend/files/jobs.py",
    "rtcsend/files/journal_file.py",
    "rtcsend/files/leftovers.py",
    "rtcsend/files/opening.py",
    "rtcsend/files/partial.py",
    "rtcsend/files/permissions.py",
    "rtcsend/files/pipe_size.py",
    "rtcsend/files/positional.py",
    "rtcsend/files/read_ahead.py",
    "rtcsend/files/scan.py",
    "rtcsend/files/shared_source.py",
    "rtcsend/files/sink.py",
    "rtcsend/files/source.py",
    "rtcsend/files/staging.py",
    "rtcsend/files/stdout_sink.py",
    "rtcsend/files/store.py",
    "rtcsend/files/stream_sink.py",
    "rtcsend/files/stream_source.py",
    "rtcsend/files/survey.py",
    "rtcsend/files/tree_plan.py",
    "rtcsend/files/tree_publisher.py",
    "rtcsend/files/source_folders.py",
    "rtcsend/files/tree_reader.py",
    "rtcsend/files/tree_source.py",
    "rtcsend/files/tree_sink.py",
    "rtcsend/files/tree_survey.py",
    "rtcsend/files/tree_target.py",
    "rtcsend/files/tree_writer.py",
    "rtcsend/files/writer.py",
    "rtcsend/doctor/codec.py",  # no I/O, but aioice's messages
    "rtcsend/doctor/host.py",
    "rtcsend/doctor/knocking.py",
    "rtcsend/doctor/links.py",
    "rtcsend/doctor/reasons.py",  # no I/O, but the errors of sockets and TLS
    "rtcsend/doctor/relays.py",
    "rtcsend/doctor/rendezvous.py",
    "rtcsend/doctor/run.py",
    "rtcsend/doctor/stun_checks.py",
    "rtcsend/doctor/stun_family.py",
    "rtcsend/doctor/turn_checks.py",
    "signal_server/accepting.py",
    "signal_server/paced_reader.py",
    "signal_server/cli.py",
    "signal_server/due_timer.py",
    "signal_server/event_loop.py",
    "signal_server/handler.py",
    "signal_server/listeners.py",
    "signal_server/keys.py",
    "signal_server/logs.py",
    "signal_server/outgoing.py",
    "signal_server/plain_http.py",
    "signal_server/server.py",
    "signal_server/store/followed.py",
    "signal_server/store/lingering.py",
    "signal_server/store/opening.py",
    "signal_server/store/redis_connection.py",
    "signal_server/store/redis_feed.py",
    "signal_server/store/redis_link.py",
    "signal_server/store/redis_reasons.py",
    "signal_server/store/redis_rooms.py",
    "signal_server/store/redis_shared.py",
    "signal_server/store/redis_store.py",
    "signal_server/store/redis_upkeep.py",
    "signal_server/sockets.py",
    "signal_server/text_frames.py",
    "signal_server/tls.py",
    "signal_server/websocket.py",
}
"""The files that may do I/O. A file that is not named here is pure; rtcsend/cli is no stage."""

IMPURE = {
    # Loops, threads, clocks and chance.
    *("asyncio", "threading", "concurrent", "multiprocessing", "subprocess", "signal"),
    *("time", "datetime", "random", "secrets", "uuid"),
    # Sockets and files.
    *("socket", "ssl", "select", "selectors", "os", "shutil", "tempfile", "fcntl"),
    # Packages that do I/O.
    *("aiortc", "aioice", "OpenSSL", "websockets", "zeroconf", "aiofiles", "redis"),
}

ALLOWED = {
    # The sender runs the same server in its own process when no other is named.
    ("rtcsend/rendezvous/embedded.py", "signal_server.config"),
    ("rtcsend/rendezvous/embedded.py", "signal_server.server"),
    # `rtcsend serve` is the same program as rtcsend-server.
    ("rtcsend/cli/serve.py", "signal_server.cli"),
}
"""Imports of rtcsend that point out of the package to the server."""


BUILDS_ON = {
    # Whatever goes by TCP to a server goes through the proxy that is set.
    ("rtcsend/doctor/links.py", "rtcsend.proxy.tunnel"),
    ("rtcsend/doctor/rendezvous.py", "rtcsend.proxy.tunnel"),
    ("rtcsend/doctor/turn_checks.py", "rtcsend.proxy.tunnel"),
    ("rtcsend/peer/allocation.py", "rtcsend.proxy.tunnel"),
    ("rtcsend/rendezvous/websocket.py", "rtcsend.proxy.tunnel"),
    # The data path sends and receives by the sockets of the ICE agent.
    ("rtcsend/datapath/batched.py", "rtcsend.peer.ice"),
    ("rtcsend/datapath/carrier.py", "rtcsend.peer.ice"),
    ("rtcsend/datapath/choice.py", "rtcsend.peer.ice"),
    ("rtcsend/datapath/stock.py", "rtcsend.peer.ice"),
    # The doctor looks where a receiver would look, and forbids fragments as the data path does.
    ("rtcsend/doctor/links.py", "rtcsend.datapath.udp_socket"),
    ("rtcsend/doctor/relays.py", "rtcsend.rendezvous.client"),
    ("rtcsend/doctor/rendezvous.py", "rtcsend.rendezvous.pinning"),
    ("rtcsend/doctor/run.py", "rtcsend.rendezvous.lan"),
    ("rtcsend/doctor/run.py", "rtcsend.rendezvous.local"),
}
"""Where a stage knows a shell of a stage before it."""


class Import(NamedTuple):
    path: str
    """Of the importing file, from the root of the project."""
    name: str
    """What is imported, as far as it is a module: ``rtcsend.peer.signals``."""


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}: use absolute imports"
            yield from (_module(node.module or "", alias.name) for alias in node.names)


def _module(package: str, name: str) -> str:
    """Return the module that ``from package import name`` needs."""
    full = f"{package}.{name}"
    path = ROOT.joinpath(*full.split("."))
    return full if path.with_suffix(".py").exists() or (path / "__init__.py").exists() else package


def of(*folders: str) -> list[Import]:
    return sorted({Import(relative(p), name) for p in files(*folders) for name in imports(p)})


def stage_of(name: str) -> str | None:
    """Return the stage that a module of rtcsend belongs to."""
    parts = name.split(".")
    return parts[1] if parts[0] == "rtcsend" and len(parts) > 1 and parts[1] in STAGES else None


def file_of(name: str) -> str:
    path = ROOT.joinpath(*name.split("."))
    return relative(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))


def module_of(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


ALL = of("rtcsend", "signal_server")
RTCSEND = [found for found in ALL if found.path.startswith("rtcsend/")]


def test_there_is_something_to_check() -> None:
    assert len(files("rtcsend")) > 40
    assert len(files("signal_server")) > 10
    assert {stage for stage in STAGES if not (ROOT / "rtcsend" / stage).is_dir()} == set()
    assert Import("rtcsend/peer/negotiation.py", "rtcsend.peer.signals") in ALL
    assert Import("rtcsend/__main__.py", "rtcsend.cli.start") in ALL


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_knows_only_itself_and_the_stages_before_it(stage: str) -> None:
    allowed = STAGES[: STAGES.index(stage) + 1]
    upward = [
        found
        for found in RTCSEND
        if stage_of(module_of(found.path)) == stage
        and stage_of(found.name) is not None
        and stage_of(found.name) not in allowed
    ]
    assert upward == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_knows_no_shell_of_another(stage: str) -> None:
    crossing = {
        (found.path, found.name)
        for found in RTCSEND
        if stage_of(module_of(found.path)) == stage
        and stage_of(found.name) not in (None, stage)
        and file_of(found.name) in SHELLS
    }
    assert crossing <= BUILDS_ON


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_does_not_know_who_wires_it(stage: str) -> None:
    wiring = tuple(f"rtcsend.{name.removesuffix('.py')}" for name in (*WIRING, *WIRING_FOLDERS))
    backward = [
        found
        for found in RTCSEND
        if stage_of(module_of(found.path)) == stage
        and any(f"{found.name}.".startswith(f"{name}.") for name in wiring)
    ]
    assert backward == []


def test_beside_the_stages_only_the_wiring_knows_them() -> None:
    knowing = {
        found.path
        for found in RTCSEND
        if found.path.count("/") == 1 and stage_of(found.name) is not None
    }
    assert knowing <= {f"rtcsend/{name}" for name in WIRING}


@pytest.mark.parametrize("folder", WIRING_FOLDERS)
def test_how_two_meet_and_are_served_knows_nothing_of_what_follows(folder: str) -> None:
    later = {"datapath", "manifest", "transfer", "files", "doctor"}
    later |= {name.removesuffix(".py") for name in WIRING}
    later |= set(WIRING_FOLDERS[WIRING_FOLDERS.index(folder) + 1 :])
    forward = [
        found
        for found in RTCSEND
        if found.path.startswith(f"rtcsend/{folder}/")
        and found.name.startswith("rtcsend.")
        and found.name.split(".")[1] in later
    ]
    assert forward == []


@pytest.mark.parametrize("path", files("rtcsend", "signal_server"), ids=relative)
def test_a_file_is_pure_or_a_listed_shell(path: Path) -> None:
    impure = {name for name in imports(path) if name.partition(".")[0] in IMPURE}
    if relative(path) not in SHELLS and not relative(path).startswith("rtcsend/cli/"):
        assert impure == set()


@pytest.mark.parametrize("name", sorted(SHELLS))
def test_a_listed_shell_is_one(name: str) -> None:
    path = ROOT / name
    if path.exists():
        assert {found.partition(".")[0] for found in imports(path)} & IMPURE


def test_nothing_knows_the_command_line() -> None:
    knowing = {found.path for found in ALL if found.name.startswith("rtcsend.cli")}
    outside = {path for path in knowing if not path.startswith("rtcsend/cli/")}
    assert outside == {"rtcsend/__main__.py"}


def test_the_server_needs_nothing_but_the_rendezvous() -> None:
    needed = {
        found.name
        for found in ALL
        if found.path.startswith("signal_server/") and found.name.startswith("rtcsend")
    }
    allowed = {name for name in needed if stage_of(name) == "rendezvous"} | {"rtcsend.errors"}
    assert needed <= allowed
    assert {file_of(name) for name in needed} & SHELLS == set()


def test_only_who_runs_it_knows_the_server() -> None:
    knowing = {found for found in RTCSEND if found.name.startswith("signal_server")}
    assert {(found.path, found.name) for found in knowing} <= ALLOWED


# What is loaded, rather than what is written: WebRTC takes half a second, and comes late.

SLOW = {"aiortc", "aioice", "av", "dns"}


def loaded_by(module: str) -> set[str]:
    """Return the packages and modules that a fresh interpreter has after importing one."""
    script = f"import sys, {module}; print(*sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(finished.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        *("rtcsend", "rtcsend.sending", "rtcsend.receiving", "rtcsend.listening", "rtcsend.api"),
        *("rtcsend.cli.main", "signal_server.server"),
    ],
)
def test_webrtc_is_loaded_late(module: str) -> None:
    assert loaded_by(module) & SLOW == set()


def test_webrtc_is_loaded_in_the_end() -> None:
    # So that the test above can fail.
    assert {"aiortc", "aioice"} <= loaded_by("rtcsend.connecting")


def test_importing_the_package_loads_no_stage() -> None:
    ours = {name for name in loaded_by("rtcsend") if name.startswith("rtcsend")}
    assert ours == {"rtcsend"}


def test_the_server_loads_nothing_of_a_transfer() -> None:
    stages = {stage_of(name) for name in loaded_by("signal_server.server")}
    assert stages <= {None, "rendezvous"}
