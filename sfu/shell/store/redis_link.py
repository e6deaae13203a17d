"""One connection to Redis, for one Trio task: commands go out together, replies come back in order.

redis-py does the talking (docs/decisions/redis-in-its-own-loop.md). Whatever goes wrong ends as `LinkFailed`,
and then the connection is over; nothing is tried again here, since only the caller knows what that would
mean.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import trio
from redis import exceptions
from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sfu.shell.aio import Arguments, Loop, LoopError, Result, open_loop
from sfu.shell.config.redis_url import RedisAddress
from sfu.state.scripts import Command

CONNECT_TIMEOUT: Final = 3.0
"""Seconds for connection, TLS and log-in."""

REPLY_TIMEOUT: Final = 5.0
"""Seconds until all replies to what was sent together are there: ten times what a very slow Redis takes."""

CLOSE_TIMEOUT: Final = 1.0
"""Seconds for closing; the collector of garbage closes what takes longer."""

CLIENT_NAME: Final = "trio-sfu"
"""What `CLIENT LIST` shows."""

_KINDS: Final[Mapping[type[BaseException], str]] = {
    exceptions.AuthenticationError: "auth",
    exceptions.AuthorizationError: "auth",
    exceptions.NoPermissionError: "auth",
    exceptions.BusyLoadingError: "loading",
    exceptions.ReadOnlyError: "readonly",
    exceptions.OutOfMemoryError: "full",
    exceptions.NoScriptError: "script",
    exceptions.InvalidResponse: "protocol",
    exceptions.ResponseError: "reply",
    exceptions.TimeoutError: "timeout",
    exceptions.ConnectionError: "connection",
    OSError: "connection",
    LoopError: "loop",
}
"""What errors are called in logs and metrics; the first that fits counts, and ``protocol`` if none does."""

_ENDING: Final = frozenset({"auth", "readonly", "script"})
"""Replies after which another connection may do better: elsewhere by now, or with the scripts loaded anew."""


class LinkFailed(Exception):
    """The connection is over, or never was; what was asked last may or may not have been done."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        """One of the names in `_KINDS`."""
        self.detail = detail
        """For a person; never holds the password."""


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """A command that Redis refused, while the connection goes on."""

    kind: str
    detail: str

    @property
    def is_about_type(self) -> bool:
        """Whether the key has a value, of another type; else it says nothing about the key."""
        return self.detail.startswith("WRONGTYPE")


class Link:
    """An open connection. Only one task may use it."""

    def __init__(self, loop: Loop, connection: AbstractConnection) -> None:
        self._loop = loop
        self._connection = connection
        self._failure: LinkFailed | None = None
        self._asking = trio.CancelScope()

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands and return their replies: bytes, integers, lists, None, or an `ErrorReply`.

        Raises:
            LinkFailed: the connection is over. Some, all or none of the commands may have been done.
        """
        replies = await self.run(REPLY_TIMEOUT, self._exchange, commands)
        for reply in replies:
            if isinstance(reply, ErrorReply) and reply.kind in _ENDING:
                raise LinkFailed(reply.kind, reply.detail)
        return replies

    async def run(
        self,
        seconds: float,
        function: Callable[Arguments, Coroutine[Any, Any, Result]],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Run something of the connection's in its loop for at most `seconds`. Raises `LinkFailed`."""
        if self._failure is None:
            with trio.move_on_after(seconds) as self._asking:
                try:
                    return await self._loop.run(function, *args, **kwargs)
                except Exception as error:
                    # Whatever it is: what is no Redis reply makes redis-py raise a lot of things.
                    self._failure = _failure(error)
        if self._failure is None:
            self._failure = LinkFailed("timeout", f"no answer within {seconds:g} s")
        raise self._failure

    def fail(self, error: BaseException) -> None:
        """Take note that something in the loop failed that nobody waited for; what is being asked ends."""
        self._failure = LinkFailed("loop", repr(error))
        self._asking.cancel("the event loop failed")

    async def close(self) -> None:
        """Close the connection. With TLS that waits for the other side."""
        with suppress(Exception):
            await self._loop.run(self._connection.disconnect)

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        # In asyncio.
        await self._connection.send_packed_command(self._connection.pack_commands(commands))
        return [await self._reply() for _ in commands]

    async def _reply(self) -> Any:
        # In asyncio.
        try:
            return await self._connection.read_response()
        except exceptions.ResponseError as error:
            return ErrorReply(_kind(error), str(error))


def expect(reply: Any, kind: type[Result]) -> Result:
    """Return a reply that must be a `kind`.

    Raises:
        LinkFailed: it is not; what talks there is no Redis, or refuses.
    """
    if isinstance(reply, ErrorReply):
        raise LinkFailed(reply.kind, reply.detail)
    if not isinstance(reply, kind):
        raise LinkFailed("protocol", f"a reply is a {type(reply).__name__}, not a {kind.__name__}")
    return reply


async def converse(address: RedisAddress, talk: Callable[[Link], Awaitable[None]]) -> None:
    """Connect, and run `talk` with the connection until it returns.

    Raises:
        LinkFailed: there is no connection, or it ended.
    """
    failure = None
    connection = _connection(address)
    async with open_loop(lambda error: link.fail(error)) as loop:
        link = Link(loop, connection)
        try:
            await link.run(CONNECT_TIMEOUT, connection.connect)
            await talk(link)
        except LinkFailed as error:
            failure = error  # raised below: the loop's nurseries would make a group of it
        finally:
            with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await link.close()
    if failure is not None:
        raise failure


def _connection(address: RedisAddress) -> AbstractConnection:
    options: dict[str, Any] = {
        "db": address.db,
        "username": address.username,
        "password": address.password,
        "protocol": 2,
        "socket_timeout": None,  # Trio's clock bounds everything
        "socket_connect_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "client_name": CLIENT_NAME,
    }
    if address.scheme == "unix":
        return UnixDomainSocketConnection(path=address.path, **options)
    kind = SSLConnection if address.scheme == "rediss" else Connection
    return kind(host=address.host, port=address.port, **options)


def _failure(error: BaseException) -> LinkFailed:
    """Return what an exception means for the link; where one is wrapped in another, the inner one counts."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return LinkFailed(_kind(error), str(error) or repr(error))


def _kind(error: BaseException) -> str:
    return next((name for kind, name in _KINDS.items() if isinstance(error, kind)), "protocol")
