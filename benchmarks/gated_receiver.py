"""A receiver that accepts when it is told to: several of them begin at the same moment.

::

    python -m benchmarks.gated_receiver CODE FOLDER

Prints an event ``ready`` when the proposal is there, accepts at a line of standard input, and
prints ``received`` with the seconds that it took from there.
"""

import asyncio
import json
import sys
import time

import rtcsend
from rtcsend.errors import NoSuchCode


async def receive(code: str, folder: str) -> None:
    """Receive once."""
    accepted_at = 0.0

    async def accept(_proposal: rtcsend.Proposal) -> bool:
        nonlocal accepted_at
        print(json.dumps({"event": "ready"}), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        accepted_at = time.monotonic()
        return True

    done = None
    while done is None:
        try:
            done = await rtcsend.receive(code, into=folder, accept=accept)
        except NoSuchCode:  # another one has just come
            await asyncio.sleep(0.2)
    seconds = time.monotonic() - accepted_at
    print(json.dumps({"event": "received", "bytes": done.bytes, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=rtcsend.new_event_loop) as runner:
        runner.run(receive(*sys.argv[1:]))
