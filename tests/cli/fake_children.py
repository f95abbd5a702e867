"""What the demo starts, in its tests: prints the lines of a transfer, and copies the file.

``DEMO_MODE`` says how it goes; ``DEMO_LOG`` names a file that keeps what was started how.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

MODE = os.environ["DEMO_MODE"]


def show(name: str, **fields: object) -> None:
    print(json.dumps({"v": 1, "event": name, **fields}), flush=True)


def fail(code: str, exit_code: int) -> None:
    show("error", code=code, exit=exit_code, message=f"It ended: {code}.", hint="Do it again.")
    sys.exit(exit_code)


def meeting_point() -> Path:
    return Path(os.environ["XDG_RUNTIME_DIR"]) / "path"


def send(path: Path) -> None:
    if MODE == "no-code":
        fail("refused", 11)
    meeting_point().write_text(str(path))
    show("code", code="7-guitar-velvet", server="ws://127.0.0.1:1/v1", embedded=True)
    if MODE == "hang":
        signal.pause()
    if MODE == "wrong-code":
        fail("aborted", 41)
    if MODE == "left-alone":
        signal.pause()
    show("connected", route="direct")
    show("progress", bytes=path.stat().st_size, total=path.stat().st_size, bytes_per_s=9)
    show("done", files=1, bytes=path.stat().st_size, seconds=0.5, blake3="believed by nobody")


def receive(folder: Path) -> None:
    assert os.environ["RTCSEND_CODE"] == "7-guitar-velvet"
    assert "RTCSEND_SERVER" not in os.environ
    assert os.environ["RTCSEND_DISCOVERY"] == "local"
    if MODE == "hang":
        show("progress", bytes=1, total=2, bytes_per_s=1)
        signal.pause()
    if MODE == "wrong-code":
        fail("wrong-code", 20)
    if MODE == "left-alone":
        fail("no-such-code", 12)
    if MODE == "crash":
        print("no line of JSON", flush=True)
        sys.exit("out of luck")
    source = Path(meeting_point().read_text())
    copy = folder / source.name
    shutil.copyfile(source, copy)
    if MODE == "corrupt":
        content = bytearray(copy.read_bytes())
        content[0] ^= 1
        copy.write_bytes(content)
    show("progress", bytes=0, total=source.stat().st_size, bytes_per_s=0)
    show("progress", bytes=source.stat().st_size, total=source.stat().st_size, bytes_per_s=9)
    show("done", files=1, bytes=source.stat().st_size, seconds=0.5, blake3="believed by nobody")


if __name__ == "__main__":
    with Path(os.environ["DEMO_LOG"]).open("a") as log:
        print(os.getpid(), *sys.argv[1:], file=log)
    if sys.argv[1] == "send":
        send(Path(sys.argv[-1]))
    else:
        receive(Path(sys.argv[-1]))
