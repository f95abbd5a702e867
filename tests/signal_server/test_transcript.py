"""A conversation of protocol version 1, as it was recorded, against what there is today.

Whatever was added since must be ignored by whoever knows only that: every field that the old
server sent is still sent, with the same value, in the same order; and the client of today
understands every frame of the old one. (A frame may have more fields than it had.)
"""

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from rtcsend.rendezvous.frames import parse_client_message_untrusted, parse_server_message_untrusted
from signal_server.server import RendezvousServer
from signal_server.settings import build_config

PATH = Path(__file__).parents[1] / "vectors/rendezvous-v1.json"
TRANSCRIPT: dict[str, Any] = json.loads(PATH.read_text())
STEPS: list[dict[str, Any]] = TRANSCRIPT["steps"]

FOR_PEOPLE = {"message"}
"""Fields of errors whose text may change."""


class Replay:
    """The clients of the transcript, at a server of today."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._sockets: dict[str, ClientConnection] = {}
        self._tokens: dict[str, str] = {}

    async def play(self, step: dict[str, Any]) -> None:
        if "open" in step:
            url = self._url + step["open"]
            self._sockets[step["socket"]] = await connect(url, compression=None, proxy=None)
            return
        websocket = self._sockets[step["socket"]]
        if "client" in step:
            text = json.dumps(step["client"])
            for name, token in self._tokens.items():
                text = text.replace(name, token)
            await websocket.send(text)
        elif "server" in step:
            self._check(json.loads(await websocket.recv()), step["server"])
        elif "closed" in step:
            with pytest.raises(ConnectionClosed) as closed:
                await websocket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == step["closed"]
        else:
            assert step["drop"]
            websocket.transport.abort()
            await websocket.wait_closed()

    def _check(self, said: dict[str, Any], recorded: dict[str, Any]) -> None:
        for name, value in recorded.items():
            if name == "token":
                assert self._tokens.setdefault(value, said[name]) == said[name]
            elif not (recorded["type"] == "error" and name in FOR_PEOPLE):
                assert said[name] == value, name

    async def close(self) -> None:
        for websocket in self._sockets.values():
            await websocket.close()


@pytest.mark.net
async def test_the_server_still_says_what_it_said() -> None:
    ice, _, motd = (TRANSCRIPT["options"][n] for n in (1, 2, 3))
    config = build_config({"host": "127.0.0.1", "port": 0, "ice": (ice,), "motd": motd})
    async with RendezvousServer(config) as server:
        replay = Replay(f"ws://127.0.0.1:{server.port}")
        try:
            for number, step in enumerate(STEPS):
                try:
                    await replay.play(step)
                except BaseException as exc:
                    exc.add_note(f"at step {number}: {step}")
                    raise
        finally:
            await replay.close()


@pytest.mark.parametrize("step", [step for step in STEPS if "server" in step], ids=str)
def test_the_client_understands_the_old_server(step: dict[str, Any]) -> None:
    text = json.dumps(step["server"]).replace("<", "t" * 16).replace(">", "")
    parse_server_message_untrusted(text)


@pytest.mark.parametrize(
    "step", [s for s in STEPS if s.get("client", {}).get("type") not in (None, "nonsense")], ids=str
)
def test_the_parser_understands_the_old_client(step: dict[str, Any]) -> None:
    text = json.dumps(step["client"]).replace("<", "t" * 16).replace(">", "")
    parse_client_message_untrusted(text)
