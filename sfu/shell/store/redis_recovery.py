"""Recovery: a server that starts takes back the sessions that it held before, when Redis first answers.

It finds them by its index and claims them one by one. A client that has gone to another server meanwhile stays
there. Of two processes with the same server id, the one that started later gets the sessions.
"""

import dataclasses

from sfu.shell.store.redis_connection import (
    MAX_BATCH,
    ErrorReply,
    RedisConnection,
    RedisConnectionFailed,
    expect,
)
from sfu.shell.store.redis_values import ValueReader
from sfu.state.backlog import Backlog
from sfu.state.codec import Stored
from sfu.state.scripts import DONE, Commands


async def recover_sessions(
    connection: RedisConnection, commands: Commands, reader: ValueReader, held: Backlog
) -> list[tuple[Stored, float]]:
    """Claim the sessions whose owner is this server; return them, suspended, with the seconds left to resume
    each.

    Skips those in `held`, which this process already holds. After a failure, call it again to go on: sessions
    that were claimed already still have the same owner.

    Raises:
        RedisConnectionFailed: the connection is over, or Redis refuses to answer or to write.
    """
    ids = await _read_index(connection, commands)
    recovered = []
    for start in range(0, len(ids), MAX_BATCH):
        batch = [session_id for session_id in ids[start : start + MAX_BATCH] if session_id not in held]
        recovered += await _claim(connection, commands, await _load(connection, commands, reader, batch))
    return recovered


async def _read_index(connection: RedisConnection, commands: Commands) -> list[str]:
    key = commands.keys.server_sessions(commands.owner)
    ids: set[str] = set()
    cursor: bytes | int = 0
    while True:
        (reply,) = await connection.ask([("ZSCAN", key, cursor, "COUNT", MAX_BATCH)])
        cursor, members = (*expect(reply, list), None, None)[:2]
        names = expect(members, list)[::2]  # every second one is a score
        ids.update(expect(name, bytes).decode("utf-8", "replace") for name in names)
        if expect(cursor, bytes) == b"0":
            return sorted(ids)


async def _load(
    connection: RedisConnection, commands: Commands, reader: ValueReader, ids: list[str]
) -> list[tuple[bytes, Stored, float]]:
    """Return value, content and remaining seconds of the sessions that exist and that this server owns."""
    if not ids:
        return []
    keys = [commands.keys.session(session_id) for session_id in ids]
    replies = await connection.ask([(verb, key) for key in keys for verb in ("GET", "PTTL")])
    sessions = []
    for session_id, value, left in zip(ids, replies[::2], replies[1::2], strict=True):
        if isinstance(value, ErrorReply) and not value.is_about_type:
            raise RedisConnectionFailed(value.kind, value.detail)
        found = reader.read(session_id, value)
        if found is None or found.owner != commands.owner:
            continue
        # A lease is longer than the grace period. The grace period of all begins now that they can come back.
        ttl = min(expect(left, int) / 1000, found.grace)
        if ttl > 0:
            sessions.append((value, found, ttl))
    return sessions


async def _claim(
    connection: RedisConnection, commands: Commands, sessions: list[tuple[bytes, Stored, float]]
) -> list[tuple[Stored, float]]:
    """Claim sessions for this instance; return those that no other server claimed first."""
    if not sessions:
        return []
    own = [
        dataclasses.replace(
            found, record=dataclasses.replace(found.record, suspended=True), instance=commands.instance
        )
        for _, found, _ in sessions
    ]
    replies = await connection.ask(
        [
            commands.claim(value, commands.owner, mine, ttl)
            for (value, _, ttl), mine in zip(sessions, own, strict=True)
        ]
    )
    return [
        (mine, ttl)
        for mine, (_, _, ttl), reply in zip(own, sessions, replies, strict=True)
        if expect(reply, int) == DONE
    ]
