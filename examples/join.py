"""Run a server inside a Trio program, and join a room as Ada and as Bob: python examples/join.py."""

import json
from typing import Any

import trio
import trio_websocket

from sfu.shell import process
from sfu.shell.config.settings import load

ANYWHERE = {"http_addr": "127.0.0.1:0", "udp_addr": "127.0.0.1:0", "ice_tcp_addr": "off"}


async def expect(websocket: trio_websocket.WebSocketConnection, wanted: str) -> dict[str, Any]:
    """Return the data of the next message of one type."""
    while True:
        message = json.loads(await websocket.get_message())
        if message["type"] == wanted:
            data: dict[str, Any] = message["data"]
            return data
        if message["type"] == "error":
            raise RuntimeError(message["data"]["message"])


async def enter_room(url: str, name: str, task_status: trio.TaskStatus[list[str]]) -> None:
    """Join the lobby, report who else is there, and stay until cancelled."""
    address = url.replace("http://", "ws://") + "ws"
    async with trio_websocket.open_websocket_url(address) as websocket:
        data = {"roomId": "lobby", "userId": name.lower(), "name": name}
        await websocket.send_message(json.dumps({"type": "join", "data": data}))
        await expect(websocket, "join")
        state = await expect(websocket, "room-state")
        task_status.started([peer["name"] for peer in state["peers"]])
        while True:
            await websocket.get_message()


async def main() -> None:
    """Start the server on free ports, let two people join, and print what each of them finds."""
    async with trio.open_nursery() as nursery:
        url = await nursery.start(process.serve, load(ANYWHERE, {}, None))
        for name in ("Ada", "Bob"):
            others = await nursery.start(enter_room, url, name)
            print(f"{name} joins the lobby and finds {others}")
        nursery.cancel_scope.cancel("the example is over")


if __name__ == "__main__":
    trio.run(main)
