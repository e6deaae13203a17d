"""Bringing back the sessions of a server's last life, when Redis answers for the first time.

They are found by the server's index and claimed one by one, so that a client who has come to another server
meanwhile stays there. Of two processes with the same id the later one has them.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Final

from sfu.shell.store.redis_link import ErrorReply, Link, LinkFailed, expect
from sfu.state.backlog import Backlog
from sfu.state.codec import Stored
from sfu.state.scripts import DONE, Commands

CHUNK: Final = 50
"""Sessions that are read, or claimed, together; packets wait while such a batch is made."""

Read = Callable[[str, Any], Stored | None]
"""Returns what a session's value holds, or None if that is nothing or cannot be read."""


async def adopt(link: Link, commands: Commands, read: Read, held: Backlog) -> list[tuple[Stored, float]]:
    """Claim the sessions whose owner is this server; return them, suspended, with the seconds they have left.

    Those in `held` are of this life. Called again after a failure it goes on where it was: what is claimed
    already still has the same owner.

    Raises:
        LinkFailed: the connection is over, or Redis refuses to answer or to write.
    """
    ids = await _index(link, commands)
    adopted = []
    for start in range(0, len(ids), CHUNK):
        found = await _load(
            link, commands, read, [name for name in ids[start : start + CHUNK] if name not in held]
        )
        adopted += await _claim(link, commands, found)
    return adopted


async def _index(link: Link, commands: Commands) -> list[str]:
    key = commands.keys.server_sessions(commands.owner)
    ids: set[str] = set()
    cursor: bytes | int = 0
    while True:
        (reply,) = await link.ask([("ZSCAN", key, cursor, "COUNT", CHUNK)])
        cursor, members = (*expect(reply, list), None, None)[:2]
        names = expect(members, list)[::2]  # between them are the scores
        ids.update(expect(name, bytes).decode("utf-8", "replace") for name in names)
        if expect(cursor, bytes) == b"0":
            return sorted(ids)


async def _load(
    link: Link, commands: Commands, read: Read, ids: list[str]
) -> list[tuple[bytes, Stored, float]]:
    """Return value, what it holds and remaining seconds of those sessions that are ours and still there."""
    if not ids:
        return []
    keys = [commands.keys.session(session_id) for session_id in ids]
    replies = await link.ask([(verb, key) for key in keys for verb in ("GET", "PTTL")])
    sessions = []
    for session_id, value, left in zip(ids, replies[::2], replies[1::2], strict=True):
        if isinstance(value, ErrorReply) and not value.is_about_type:
            raise LinkFailed(value.kind, value.detail)
        found = read(session_id, value)
        if found is None or found.owner != commands.owner:
            continue
        # A lease is longer than the grace period, which begins for all now that they can come back.
        ttl = min(expect(left, int) / 1000, found.grace)
        if ttl > 0:
            sessions.append((value, found, ttl))
    return sessions


async def _claim(
    link: Link, commands: Commands, sessions: list[tuple[bytes, Stored, float]]
) -> list[tuple[Stored, float]]:
    """Make sessions this instance's own; return those for which nobody was faster."""
    if not sessions:
        return []
    own = [
        dataclasses.replace(
            found, record=dataclasses.replace(found.record, suspended=True), instance=commands.instance
        )
        for _, found, _ in sessions
    ]
    replies = await link.ask(
        [
            commands.claim(value, commands.owner, mine, ttl)
            for (value, _, ttl), mine in zip(sessions, own, strict=True)
        ]
    )
    adopted = []
    for mine, (_, _, ttl), reply in zip(own, sessions, replies, strict=True):
        if expect(reply, int) == DONE:
            adopted.append((mine, ttl))
    return adopted
