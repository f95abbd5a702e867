"""What is given to operators: each file parses, and holds what docs/self-hosting.md promises.

There is no container engine here, nor a registry: what only those show was tried by hand, and the
tests hold what came out of it.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from importlib.metadata import requires
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILE = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
SECRETS = ("turn-secret", "turnserver.conf")


def instructions(name: str) -> list[str]:
    return [line.removeprefix(f"{name} ") for line in DOCKERFILE if line.startswith(f"{name} ")]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The folder of an operator, set up."""
    folder = tmp_path / "deploy"
    shutil.copytree(DEPLOY, folder, ignore=shutil.ignore_patterns("secrets", ".env"))
    subprocess.run(
        ["sh", "setup.sh", "send.example.org", "192.0.2.1/10.0.0.1"],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder


def test_every_image_has_a_version() -> None:
    images = [line.split()[0] for line in instructions("FROM")]
    images += [service["image"] for service in COMPOSE["services"].values()]
    for image in images:
        _, _, tag = image.partition(":")
        assert tag, image
        assert tag != "latest", image


def test_the_image_is_built_in_stages_and_runs_as_nobody_special() -> None:
    assert len(instructions("FROM")) == 2
    assert instructions("USER") == ["10001:10001"]
    assert DOCKERFILE.index("USER 10001:10001") > len(DOCKERFILE) - 12  # for all that follows
    assert instructions("ENTRYPOINT") == ['["rtcsend-server"]']
    assert not [line for line in DOCKERFILE if line.startswith("ADD ")]
    check = json.loads(instructions("HEALTHCHECK")[0].partition("CMD ")[2])
    assert check[0] == "python"
    assert f"deploy/{Path(check[-1]).name} {Path(check[-1]).parent}/" in instructions("COPY")


def test_what_is_copied_is_there() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    for line in instructions("COPY"):
        if not line.startswith("--from"):
            for source in line.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source not in ignored, source
    assert "deploy/secrets" in ignored


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_each_service_can_do_no_more_than_it_must(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert not service.get("privileged")


def test_only_caddy_and_coturn_can_be_reached() -> None:
    services = COMPOSE["services"]
    assert {name for name, service in services.items() if "ports" in service} == {"caddy"}
    hosts = {name for name, service in services.items() if service.get("network_mode") == "host"}
    assert hosts == {"coturn"}


def test_the_settings_of_the_container_are_settings(installed: Path) -> None:
    """The server itself checks them; names that it does not know would be errors."""
    environment = COMPOSE["services"]["rendezvous"]["environment"]
    settings = {
        key: str(value).replace("${DOMAIN}", "x.example") for key, value in environment.items()
    }
    settings["RTCSEND_SERVER_TURN_SECRET_FILE"] = str(installed / "secrets" / "turn-secret")
    finished = subprocess.run(
        [sys.executable, "-m", "signal_server", "--check-config"],
        env={**os.environ, **settings, "RTCSEND_SERVER_LOG_FORMAT": "json"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, ""), finished.stderr


def test_caddy_may_say_where_clients_come_from() -> None:
    caddy = COMPOSE["services"]["caddy"]["networks"]["inside"]["ipv4_address"]
    trusted = COMPOSE["services"]["rendezvous"]["environment"]["RTCSEND_SERVER_TRUSTED_PROXY"]
    assert trusted == f"{caddy}/32"
    assert "versions ipv4" in (DEPLOY / "caddy" / "Caddyfile").read_text()  # so by that address


def test_who_comes_by_ipv6_is_not_taken_for_the_gateway() -> None:
    """Where the network has no IPv6, Docker's proxy passes on such connections as its own."""
    assert COMPOSE["networks"]["inside"]["enable_ipv6"] is True


def test_nobody_else_can_have_caddys_address() -> None:
    """Docker gives the first free one of the range to whoever starts first."""
    config, _ = COMPOSE["networks"]["inside"]["ipam"]["config"]
    caddy = ip_address(COMPOSE["services"]["caddy"]["networks"]["inside"]["ipv4_address"])
    assert caddy in ip_network(config["subnet"])
    assert caddy not in ip_network(config["ip_range"])
    assert ip_address(config["gateway"]) not in ip_network(config["ip_range"])


def test_no_service_is_started_without_what_its_image_needs() -> None:
    """Read in the Dockerfiles and entry points of those images, and seen with a Docker engine."""
    services = COMPOSE["services"]
    # Their programs have cap_net_bind_service=+ep: without it, execve() is not permitted.
    assert services["caddy"]["cap_add"] == ["NET_BIND_SERVICE"]
    assert services["coturn"]["cap_add"] == ["NET_BIND_SERVICE"]
    # As root, without CAP_DAC_OVERRIDE, its entry point fails as soon as there are files.
    assert services["redis"]["user"] == "redis"
    # Compose recreates what depends on a service that it recreates.
    assert "depends_on" not in services["caddy"]


def test_the_caddyfile_is_balanced() -> None:
    text = re.sub(r"#.*", "", (DEPLOY / "caddy" / "Caddyfile").read_text())
    assert text.count("{") == text.count("}")
    assert "reverse_proxy" in text
    assert "/metrics" in text


def test_the_servers_packages_are_all_of_what_it_loads() -> None:
    """Those of requirements.txt, and what they need; and the versions are the project's."""
    wanted = {
        requirement.name: requirement
        for line in (DEPLOY / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
        for requirement in (Requirement(line),)
    }
    declared = [Requirement(line) for line in requires("rtcsend") or ()]
    for requirement in declared:
        if requirement.name in wanted:
            assert requirement.specifier == wanted[requirement.name].specifier, requirement.name
    modules = ("cli", "server", "exposition", "tls", "store.redis_store")
    script = "import sys\n" + "".join(f"import signal_server.{name}\n" for name in modules)
    script += "print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    forbidden = {"aiortc", "aioice", "av", "OpenSSL", "zeroconf", "blake3", "spake2", "rich"}
    assert set(loaded.stdout.split()) & forbidden == set()


def test_setting_up_makes_secrets_that_fit_together(installed: Path) -> None:
    secret = (installed / "secrets" / "turn-secret").read_text()
    assert re.fullmatch(r"[0-9a-f]{64}", secret)
    conf = (installed / "secrets" / "turnserver.conf").read_text()
    assert f"static-auth-secret={secret}\n" in conf
    assert "realm=send.example.org\n" in conf
    assert "external-ip=192.0.2.1/10.0.0.1\n" in conf
    assert "@" not in re.sub(r"#.*", "", conf)
    assert (installed / ".env").read_text() == "DOMAIN=send.example.org\n"
    assert stat.S_IMODE((installed / "secrets").stat().st_mode) == 0o700


def test_setting_up_again_keeps_the_secret(installed: Path) -> None:
    before = (installed / "secrets" / "turn-secret").read_text()
    with (installed / ".env").open("a") as file:
        file.write("SERVERS=3\n")
    subprocess.run(
        ["sh", "setup.sh", "other.example.org"],
        cwd=installed,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert (installed / "secrets" / "turn-secret").read_text() == before
    conf = (installed / "secrets" / "turnserver.conf").read_text()
    assert "realm=other.example.org\n" in conf
    assert "\nexternal-ip" not in conf
    assert (installed / ".env").read_text() == "DOMAIN=other.example.org\nSERVERS=3\n"


@pytest.mark.parametrize("arguments", [(), ("a b",), ("x|y",), ("example.org", "1.2.3.4|e")])
def test_setting_up_refuses_what_is_no_domain(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    script = shutil.copy(DEPLOY / "setup.sh", tmp_path)
    finished = subprocess.run(
        ["sh", script, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2
    assert finished.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["setup.sh"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_unit_is_a_unit_and_closed(tmp_path: Path) -> None:
    unit = DEPLOY / "systemd" / "rtcsend-server.service"
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace("/opt/rtcsend/bin/rtcsend-server", "/bin/true"))
    verified = subprocess.run(
        ["systemd-analyze", "verify", here], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    finished = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", here],
        capture_output=True,
        text=True,
        check=True,
    )
    level = re.search(r"exposure level for \S+: ([0-9.]+)", finished.stdout)
    assert level is not None
    assert float(level[1]) < 2.0  # 0 is closed, 10 is open; a plain service has 9.6
