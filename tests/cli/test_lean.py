"""What is left out of an import does not come in unasked, and comes in when it is asked for."""

import subprocess
import sys

import pytest

from rtcsend.cli.lean import LATE

pytestmark = pytest.mark.no_cover  # what measures coverage imports modules of its own

LEAN = "import sys; from rtcsend.cli.lean import import_less; import_less(); "


def run(code: str) -> str:
    """Run code in a process of its own, where nothing is imported yet; return what it prints."""
    options = {"capture_output": True, "text": True, "timeout": 60}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return str(done.stdout).strip()


def test_a_connection_needs_no_media() -> None:
    names = ("av.frame", "aiortc.codecs", "aiortc.rtcpeerconnection", "multiprocessing")
    code = f"import rtcsend.connecting; print([n for n in {names} if n in sys.modules])"
    assert run(LEAN + code) == "[]"


@pytest.mark.parametrize("first", ["", "import rtcsend.connecting; "])
def test_who_asks_for_all_of_aiortc_has_all_of_it(first: str) -> None:
    code = (
        "from aiortc import RTCDtlsTransport, RTCPeerConnection, VideoStreamTrack, codecs; "
        "import aiortc, av, aiortc.contrib.media; from aiortc.rtcdtlstransport import "
        "RTCDtlsTransport as same; print(av.VideoFrame(16, 16).width, same is RTCDtlsTransport, "
        "aiortc.__version__, codecs.__name__)"
    )
    assert run(LEAN + first + code) == run("import sys; " + code)


def test_a_name_that_it_does_not_have_is_an_error_as_ever() -> None:
    code = (
        "import aiortc\n"
        "try: aiortc.nothing\n"
        "except AttributeError as exc: print(exc)\n"
        "try: from aiortc import nothing\n"
        "except ImportError: print('not there')\n"
    )
    assert run(LEAN + code).splitlines()[-1] == "not there"
    assert run(LEAN + code) == run(code)


def test_what_is_imported_already_stays_as_it_is() -> None:
    code = "import aiortc; before = aiortc.RTCPeerConnection; " + LEAN
    assert run(code + "print(sys.modules['aiortc'].RTCPeerConnection is before)") == "True"


def test_warnings_of_aiortc_are_not_for_the_terminal() -> None:
    code = "import logging; logging.getLogger('aiortc.x').warning('!'); print(len(sys.modules) > 0)"
    done = subprocess.run(
        [sys.executable, "-c", LEAN + code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""


def test_what_runs_late_runs_when_it_is_used() -> None:
    # A question for a name of mDNS, as browsers have them; a proxy, as websockets looks for one.
    code = (
        "import os; from aioice import mdns; import dns.message, websockets.asyncio.client\n"
        "asked = dns.message.make_query('a.local', 'A')\n"
        "mdns.MDnsProtocol().datagram_received(asked.to_wire(), ('192.0.2.1', 5353))\n"
        "os.environ['HTTPS_PROXY'] = 'http://proxy.example'\n"
        "from websockets.proxy import get_proxy\n"
        "from websockets.uri import parse_uri\n"
        "print(get_proxy(parse_uri('wss://host.example')), asked.question[0])"
    )
    assert run(LEAN + code) == run(code) == "http://proxy.example a.local. IN A"


def test_what_runs_late_has_not_run_before() -> None:
    code = (
        "import rtcsend.connecting, websockets.asyncio.client; from types import ModuleType; "
        "from rtcsend.cli.lean import LATE; "
        "print(*sorted(name for name in LATE if type(sys.modules[name]) is not ModuleType))"
    )
    # dns.rdataclass, which is needed at once, imports these.
    used = {"dns.exception"}
    assert set(run(LEAN + code).split()) >= set(LATE) - used
