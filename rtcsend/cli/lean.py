"""What is not needed of a package is not imported: of aiortc a third of its time, and 18 MB.

``import aiortc`` imports all of aiortc, codecs and PyAV's libraries included. We use its ICE
and DTLS transports, whose modules need nothing of that but one name, for an annotation. So the
package is put into :data:`sys.modules` without running its ``__init__``, which runs when somebody
asks the package itself for something; and PyAV is stood in for until then.

Other modules are imported by packages for what a transfer seldom does. They are in their place at
once, and run when somebody asks them for something (:class:`importlib.util.LazyLoader`).

Only for processes of our own, and before anything has imported these packages.
"""

import logging
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader, find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_WEBRTC: Final = "aiortc"
_MEDIA: Final = "av"
LATE: Final = frozenset(
    {
        "importlib.metadata",  # websockets, of versions that were not released; imports email
        "urllib.request",  # websockets, for proxies, which we see to ourselves; imports http.client
        # aioice, to ask for mDNS names, which browsers offer
        *("dns.exception", "dns.flags", "dns.message", "dns.name", "dns.rdata", "dns.rdataset"),
        *("dns.rdatatype", "dns.zone"),
    }
)
"""Modules that run when somebody uses them. Importing one a second time is using it."""


def import_less() -> None:
    """Import from now on only what is needed of aiortc, and of other packages."""
    if not any(isinstance(finder, _LateFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LateFinder())
    _leave_out_media()


class _LateFinder(MetaPathFinder):
    """Finds the modules that are to run late."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in LATE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def _leave_out_media() -> None:
    """Have aiortc's modules imported one by one, as far as they are needed."""
    if _WEBRTC in sys.modules or _MEDIA in sys.modules:
        return
    spec = find_spec(_WEBRTC)
    if spec is None or not spec.submodule_search_locations:
        return  # whoever imports it will be told why
    sys.modules[_WEBRTC] = _LatePackage(spec)
    sys.modules[_MEDIA] = _NoMedia(_MEDIA)
    # As its __init__ does: a library's warnings are not for the terminal.
    logging.getLogger(_WEBRTC).addHandler(logging.NullHandler())


class _LatePackage(ModuleType):
    """A package whose ``__init__`` runs when something of it is asked for that is no module."""

    def __init__(self, spec: ModuleSpec) -> None:
        super().__init__(spec.name)
        self.__spec__ = spec
        self.__loader__ = spec.loader
        self.__file__ = spec.origin
        self.__path__ = list(spec.submodule_search_locations or ())

    def __getattr__(self, name: str) -> Any:
        is_module = any(Path(folder, f"{name}.py").exists() for folder in self.__path__)
        if is_module or name.startswith("__"):
            raise AttributeError(name)  # ``from aiortc import rtp`` imports it then
        self.__class__ = ModuleType  # type: ignore[assignment]  # an ordinary module from now on
        if isinstance(sys.modules.get(_MEDIA), _NoMedia):
            del sys.modules[_MEDIA]
        spec = self.__spec__
        assert spec is not None, "made with one"
        assert spec.loader is not None, "found as a package with a file"
        spec.loader.exec_module(self)
        return getattr(self, name)


class _NoMedia(ModuleType):
    """In the place of PyAV: has the names of classes, which nobody calls."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})
