"""Whole servers on real ports over a real Redis: several at a time, or one that is started again.

async with redis_backed_server(redis.address) as first, first.client("alice") as alice:
    ...
    first.kill()
async with redis_backed_server(redis.address) as second:       # the same server, started again
    ...
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import trio
from support.log_capture import LogEntry
from support.media import KEY_FRAME
from support.real_server import HOST, PortClient, RealServer
from support.redis import RedisServer
from support.waiting import PATIENCE, becomes

from sfu.shell.config.redis_url import RedisAddress
from sfu.shell.config.settings import Settings
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.config.values import HostPort
from sfu.shell.media.tcp import IceTcp
from sfu.shell.media.udp import MediaSocket
from sfu.shell.ops.admin import Admin
from sfu.shell.server import Server
from sfu.shell.store.redis import RedisStore

REFRESH = 0.3
"""Seconds between two extensions of a session's lease in tests."""

SHORT = replace(DEFAULT_TIMEOUTS, lease_refresh=REFRESH, redis_heartbeat=0.05, redis_retry_max=0.2)
"""The server looks at Redis more often than in operation, so that tests need not wait."""

RARE_REFRESH = replace(SHORT, lease_refresh=DEFAULT_TIMEOUTS.lease_refresh)
"""The same, but no lease is extended within a test."""

ROOM = "call"
"""The room of `RealServer.call`."""


class RedisBackedServer(RealServer):
    """A server and its admin port, until it is stopped or killed."""

    def __init__(
        self,
        sfu: Server,
        store: RedisStore,
        media: MediaSocket,
        ice_tcp: IceTcp,
        log: list[LogEntry],
        *,
        url: str,
        operators: str,
        running: trio.CancelScope,
    ) -> None:
        """`url` and `operators` are its two HTTP ports; `running` holds `Server.run`."""
        super().__init__(sfu, media, ice_tcp, url, log)
        self.store = store
        self._operators = operators
        self._running = running

    def kill(self) -> None:
        """Stop at once: nothing more is written to Redis, and no client is told."""
        self._running.cancel("killed")

    async def readiness(self) -> str:
        """Return what ``/readyz`` says."""
        return (await _get(self.http.port, "/readyz")).split('"')[3]

    async def becomes_ready(self, status: str) -> None:
        """Wait until ``/readyz`` says `status`."""
        with trio.fail_after(PATIENCE):
            while await self.readiness() != status:  # noqa: ASYNC110 - it is asked over the network
                await trio.sleep(0.01)

    async def metrics(self) -> str:
        """Return what Prometheus would read."""
        return await _get(int(self._operators.rstrip("/").rpartition(":")[2]), "/metrics")

    def users(self) -> list[str]:
        """Return the users of all peers, suspended ones too, in alphabetical order."""
        rooms = self.sfu.conference.rooms.values()
        return sorted(peer.user_id for room in rooms for peer in room.peers.values())

    async def written(self) -> None:
        """Wait until all changes are written to Redis."""
        with trio.fail_after(PATIENCE):
            await self.store.flush()


@asynccontextmanager
async def redis_backed_server(
    address: RedisAddress,
    server_id: str = "one",
    log: list[LogEntry] | None = None,
    timeouts: Timeouts = SHORT,
    **settings: Any,
) -> AsyncIterator[RedisBackedServer]:
    """Run a server whose Redis is at `address`; at the end of the block it is stopped, if it was not killed."""
    everything: dict[str, Any] = {
        "session_ttl_sec": 30,
        "http_addr": HostPort(HOST, 0),
        "admin_addr": HostPort(HOST, 0),
        "announced_ips": (HOST,),
        "room_ttl_sec": 0,
        "drain_sec": 0,
        **settings,
    }
    chosen = Settings(**everything)
    store = RedisStore(address, server_id, os.urandom, room_ttl=chosen.room_ttl_sec, timeouts=timeouts)
    with (
        IceTcp.open(HostPort(HOST, 0), max_connections=100, timeouts=timeouts) as ice_tcp,
        MediaSocket.open(HOST, 0, sink=ice_tcp) as media,
    ):
        sfu = Server(chosen, media, store, ice_tcp, timeouts=timeouts)
        async with trio.open_nursery() as nursery:
            operators = await nursery.start(Admin(chosen, sfu, media).serve)
            async with trio.open_nursery() as serving:
                url, running = await serving.start(_run_server, sfu)
                yield RedisBackedServer(
                    sfu,
                    store,
                    media,
                    ice_tcp,
                    [] if log is None else log,
                    url=url,
                    operators=operators,
                    running=running,
                )
                sfu.stop()
            nursery.cancel_scope.cancel("the server has ended")


async def _run_server(sfu: Server, *, task_status: trio.TaskStatus[tuple[str, trio.CancelScope]]) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            url = await nursery.start(sfu.run)
            task_status.started((url, scope))


async def leave(client: PortClient) -> None:
    """End the session with `leave`."""
    await client.say("leave")
    await client.until(lambda: client.closed)


def sessions(redis: RedisServer) -> set[str]:
    """Return the ids of the sessions that Redis has."""
    return {name.removeprefix("session:") for name in redis.names() if name.startswith("session:")}


def session(client: PortClient) -> str:
    """Return the id of a client's session."""
    return str(client.heard("join")[-1]["sessionId"])


def own_tracks(client: PortClient) -> dict[str, str]:
    """Return the ids of the tracks that a client publishes, by kind."""
    return {each["kind"]: each["trackId"] for each in client.heard("track-published") if "mid" in each}


async def publishes(client: PortClient, *kinds: str) -> None:
    """Publish, and wait until the server has given the tracks their ids."""
    known = len(own_tracks(client))
    await client.publish(*kinds)
    await client.until(lambda: len(own_tracks(client)) >= max(known, len(kinds)))


async def flows(sender: PortClient, receiver: PortClient) -> None:
    """Send video until the receiver has some of it."""
    video = next(each for each in sender.browser.transceivers if each.kind == "video")

    def arrives() -> bool:
        sender.send(video, KEY_FRAME)
        return bool(receiver.arrived)

    await becomes(arrives, True)


async def took(what: Awaitable[object]) -> float:
    """Await something; return how many seconds it took."""
    begin = trio.current_time()
    await what
    return trio.current_time() - begin


async def found(what: Callable[[], set[str]]) -> set[str]:
    """Wait until Redis holds something; return it."""
    await becomes(lambda: bool(what()), True)
    return what()


async def _get(port: int, path: str) -> str:
    async with await trio.open_tcp_stream(HOST, port) as stream:
        with trio.fail_after(PATIENCE):
            await stream.send_all(
                f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n".encode()
            )
            answer = b"".join([bytes(part) async for part in stream]).decode()
    return answer.partition("\r\n\r\n")[2]
