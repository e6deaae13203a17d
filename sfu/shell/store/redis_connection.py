"""One connection to Redis, for one Trio task: commands go out in batches, replies come back in order.

redis-py does the protocol (docs/decisions/redis-in-its-own-loop.md). Every failure is raised as
`RedisConnectionFailed`, and then the connection is over. Nothing is tried again here: only the caller knows
whether that is safe.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
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
from sfu.shell.config.timeouts import Timeouts
from sfu.state.scripts import Command

MAX_BATCH: Final = 50
"""Sessions that one batch of commands is about. Making it takes 3 ms of this process, and packets wait
meanwhile."""

CLIENT_NAME: Final = "trio-sfu"
"""How `CLIENT LIST` shows the server."""

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
"""The kind of each error in logs and metrics. The first match counts; without one it is ``protocol``."""

_ENDING: Final = frozenset({"auth", "readonly", "script"})
"""Error replies that end the connection. A new one may reach another Redis, and loads the scripts again."""


class RedisConnectionFailed(Exception):
    """The connection is over, or never opened. Redis may or may not have executed the last commands."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        """One of the names in `_KINDS`."""
        self.detail = detail
        """The reason in words; it never contains the password."""


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """A command that Redis refused. The connection goes on."""

    kind: str
    detail: str

    @property
    def is_about_type(self) -> bool:
        """Whether Redis refused because the key has a value of another type."""
        return self.detail.startswith("WRONGTYPE")


class RedisConnection:
    """A connection to Redis. Only one task may use it. Made by `connect`."""

    loop: Loop
    """The event loop that it lives in."""

    def __init__(self, address: RedisAddress, timeouts: Timeouts) -> None:
        self._connection = _redis_py_connection(address)
        self._timeouts = timeouts
        self._failure: RedisConnectionFailed | None = None
        self._asking = trio.CancelScope()

    async def open(self) -> None:
        """Connect and log in. Raises `RedisConnectionFailed`."""
        await self._run(self._timeouts.redis_connect, self._connection.connect)

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands and return their replies: bytes, integers, lists, None, or an `ErrorReply`.

        Raises:
            RedisConnectionFailed: the connection is over. Redis may have executed all, some or none of the
            commands.
        """
        replies = await self._run(self._timeouts.redis_reply, self._exchange, commands)
        for reply in replies:
            if isinstance(reply, ErrorReply) and reply.kind in _ENDING:
                raise RedisConnectionFailed(reply.kind, reply.detail)
        return replies

    def fail(self, error: BaseException) -> None:
        """Take note that a callback or a forgotten task of the loop has failed. That ends a present `ask`."""
        self._failure = RedisConnectionFailed("loop", repr(error))
        self._asking.cancel("the event loop failed")

    async def close(self) -> None:
        """Close the connection. If this is cancelled, the garbage collector does it."""
        with suppress(Exception):
            await self.loop.run(self._connection.disconnect)

    async def _run(
        self,
        seconds: float,
        function: Callable[Arguments, Coroutine[Any, Any, Result]],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Run a function in the loop for at most `seconds`. Raises `RedisConnectionFailed`."""
        if self._failure is None:
            with trio.move_on_after(seconds) as self._asking:
                try:
                    return await self.loop.run(function, *args, **kwargs)
                except Exception as error:
                    # Any exception: redis-py raises many kinds when the other side does not speak its protocol.
                    self._failure = _failure(error)
        if self._failure is None:
            self._failure = RedisConnectionFailed("timeout", f"no answer within {seconds:g} s")
        raise self._failure

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
        RedisConnectionFailed: it is not. Redis refused the command, or the other side is not a Redis.
    """
    if isinstance(reply, ErrorReply):
        raise RedisConnectionFailed(reply.kind, reply.detail)
    if not isinstance(reply, kind):
        raise RedisConnectionFailed("protocol", f"a reply is a {type(reply).__name__}, not a {kind.__name__}")
    return reply


@asynccontextmanager
async def connect(address: RedisAddress, timeouts: Timeouts) -> AsyncIterator[RedisConnection]:
    """Open a connection for the block, in an event loop of its own.

    Raises:
        RedisConnectionFailed: the connection did not open, or it ended within the block.
    """
    failure = None
    connection = RedisConnection(address, timeouts)
    async with open_loop(connection.fail) as connection.loop:
        try:
            await connection.open()
            yield connection
        except RedisConnectionFailed as error:
            failure = error  # raised below: the nurseries of the loop would wrap it in a group
        finally:
            with trio.move_on_after(timeouts.redis_close, shield=True):
                await connection.close()
    if failure is not None:
        raise failure


def _redis_py_connection(address: RedisAddress) -> AbstractConnection:
    options: dict[str, Any] = {
        "db": address.db,
        "username": address.username,
        "password": address.password,
        "protocol": 2,
        "socket_timeout": None,  # Trio bounds all waiting
        "socket_connect_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "client_name": CLIENT_NAME,
    }
    if address.scheme == "unix":
        return UnixDomainSocketConnection(path=address.path, **options)
    kind = SSLConnection if address.scheme == "rediss" else Connection
    return kind(host=address.host, port=address.port, **options)


def _failure(error: BaseException) -> RedisConnectionFailed:
    """Return what an exception means for the connection. If it wraps another one, that one counts."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return RedisConnectionFailed(_kind(error), str(error) or repr(error))


def _kind(error: BaseException) -> str:
    return next((name for kind, name in _KINDS.items() if isinstance(error, kind)), "protocol")
