"""What the figures were measured on: figures without it mean nothing."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine and its software."""

    cpu: str
    cores: int
    memory_gb: float | None
    virtual: bool | None
    """Whether it is a guest of a hypervisor; None where the system does not tell."""
    system: str
    python: str
    packages: dict[str, str]

    def __str__(self) -> str:
        packages = ", ".join(f"{name} {number}" for name, number in self.packages.items())
        memory = "" if self.memory_gb is None else f", {self.memory_gb:g} GB"
        virtual = ", a virtual machine" if self.virtual else ""
        return (
            f"{self.cpu}, {self.cores} cores{memory}{virtual}\n"
            f"{self.system}, Python {self.python}, {packages}"
        )


def this_machine() -> Machine:
    """Return this one."""
    cpuinfo = _cpuinfo()
    return Machine(
        cpu=cpuinfo.get("model name") or platform.processor() or platform.machine(),
        cores=os.cpu_count() or 1,
        memory_gb=_memory_gb(),
        virtual="hypervisor" in cpuinfo["flags"].split() if "flags" in cpuinfo else None,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages={name: version(name) for name in ("rtcsend", "aiortc", "aioice", "cryptography")},
    )


def _cpuinfo() -> dict[str, str]:
    """Return what Linux says of its first processor; nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
