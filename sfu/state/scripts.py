"""The Lua scripts that run inside Redis. Each changes a session with all its keys, in one step.

Only the instance that holds a session can change it: the session's value names the holder. A server whose
session was claimed by another one learns that from the script's answer, and cannot overwrite it.

The scripts need Redis 5 or newer, since they ask for the time before they write. They do not work on a Redis
Cluster, where the keys of one session lie in different slots.

The keys of rooms and peers are for people and other programs; no server reads them.
"""

from collections.abc import Sequence
from typing import Final

from sfu.state.codec import Stored, encode, encode_tracks
from sfu.state.keys import KeyNames

Command = Sequence[str | bytes | int]
"""A Redis command and its arguments."""

DONE: Final = 1
"""A script's answer: the change is made."""
HELD_BY_ANOTHER: Final = 0
"""A script's answer: another instance holds the session or, for `CLAIM`, its value is not the expected one."""
ABSENT: Final = -1
"""The answer of `REFRESH` when the key does not exist, or its value is not one of ours."""

_COMMON: Final = """
local session, tracks, meta, peers, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

-- The instance that may write the session. Nil, so any may, if there is no value or it is not one of ours.
local function holder()
    local value = redis.call('GET', session)
    if not value then return nil end
    local good, document = pcall(cjson.decode, value)
    if good and type(document) == 'table' then return document.instance end
end

local function unix_ms()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function live_at_least(key, ms)
    if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, ms) end
end

-- The members of a set expire one by one: each score is a time, and every write removes the expired ones.
local function add(set, member, now, ttl)
    redis.call('ZREMRANGEBYSCORE', set, '-inf', now)
    redis.call('ZADD', set, now + ttl, member)
    live_at_least(set, ttl)
end

local function remove(set, member)
    redis.call('ZREM', set, member)
    redis.call('ZREMRANGEBYSCORE', set, '-inf', unix_ms())
end

local function list(ttl, session_id, peer)
    local now = unix_ms()
    add(peers, peer, now, ttl)
    add(index, session_id, now, ttl)
    redis.call('HSETNX', meta, 'created_ms', string.format('%.0f', now))
    live_at_least(meta, ttl)
end

local function write(ttl, session_id, peer, value, published)
    -- Without memory Redis refuses this, but only as the first write of a script. So it stands first.
    redis.call('SET', session, value, 'PX', ttl)
    if published == '' then
        redis.call('DEL', tracks)
    else
        redis.call('SET', tracks, published, 'PX', ttl)
    end
    list(ttl, session_id, peer)
end
"""

SAVE: Final = (
    _COMMON
    + """
local instance, ttl, session_id, peer, value, published = unpack(ARGV)
local held = holder()
if held and held ~= instance then return 0 end
write(tonumber(ttl), session_id, peer, value, published)
return 1
"""
)
"""Write a session that this instance holds, or that does not exist."""

REFRESH: Final = (
    _COMMON
    + """
local instance, ttl, session_id, peer = unpack(ARGV)
local held = holder()
if not held then return -1 end
if held ~= instance then return 0 end
ttl = tonumber(ttl)
redis.call('PEXPIRE', session, ttl)
redis.call('PEXPIRE', tracks, ttl)
list(ttl, session_id, peer)
return 1
"""
)
"""Extend the life of a session that this instance holds, without changing it."""

CLAIM: Final = (
    _COMMON
    + """
local ttl, session_id, peer, value, published, expected = unpack(ARGV)
if redis.call('GET', session) ~= expected then return 0 end
write(tonumber(ttl), session_id, peer, value, published)
if KEYS[6] ~= index then remove(KEYS[6], session_id) end
return 1
"""
)
"""Replace the value of a session if it is still the one that was read: compare and set."""

DROP: Final = (
    _COMMON
    + """
local instance, room_ttl, session_id, peer = unpack(ARGV)
local held = holder()
if held and held ~= instance then return 0 end
redis.call('DEL', session, tracks)
remove(index, session_id)
remove(peers, peer)
if redis.call('EXISTS', peers) == 0 then
    if tonumber(room_ttl) > 0 then
        redis.call('PEXPIRE', meta, room_ttl)
    else
        redis.call('DEL', meta)
    end
end
return 1
"""
)
"""Delete a session that this instance holds, and the room's metadata if the room is empty."""

SCRIPTS: Final = (SAVE, REFRESH, CLAIM, DROP)
"""All scripts; every connection loads them first."""


class Commands:
    """Builds the commands that run the scripts."""

    def __init__(self, keys: KeyNames, owner: str, instance: str) -> None:
        """`owner` and `instance` name this server and this process in values (see `sfu.state.codec`)."""
        self.keys = keys
        self.owner = owner
        self.instance = instance
        self._digests: dict[str, bytes] = {}

    def load(self) -> list[Command]:
        """Return the commands that load the scripts; pass the replies to `loaded`."""
        return [("SCRIPT", "LOAD", script) for script in SCRIPTS]

    def loaded(self, digests: Sequence[bytes]) -> None:
        """Take the digests by which Redis knows the scripts."""
        self._digests = dict(zip(SCRIPTS, digests, strict=True))

    def save(self, stored: Stored, ttl: float) -> Command:
        """Return the command for `SAVE`; `ttl` in seconds."""
        return self._run(SAVE, stored, self.instance, *self._value(stored, ttl))

    def refresh(self, stored: Stored, ttl: float) -> Command:
        """Return the command for `REFRESH`; `ttl` in seconds."""
        record = stored.record
        return self._run(REFRESH, stored, self.instance, _ttl(ttl), record.session_id, record.peer_id)

    def drop(self, stored: Stored, room_ttl: float) -> Command:
        """Return the command for `DROP`; `room_ttl`: seconds that an empty room's metadata is kept."""
        record = stored.record
        kept = round(room_ttl * 1000)
        return self._run(DROP, stored, self.instance, kept, record.session_id, record.peer_id)

    def claim(self, expected: bytes, holder: str, stored: Stored, ttl: float) -> Command:
        """Return the command for `CLAIM`: `expected` is the value that was read, `holder` its owner."""
        return self._run(
            CLAIM, stored, *self._value(stored, ttl), expected, more_keys=[self.keys.server_sessions(holder)]
        )

    def _value(self, stored: Stored, ttl: float) -> Command:
        record = stored.record
        return [_ttl(ttl), record.session_id, record.peer_id, encode(stored), encode_tracks(record)]

    def _run(
        self, script: str, stored: Stored, *arguments: str | bytes | int, more_keys: Sequence[str] = ()
    ) -> Command:
        record, keys = stored.record, self.keys
        names = [
            keys.session(record.session_id),
            keys.peer_tracks(record.peer_id),
            keys.room_meta(record.room_id),
            keys.room_peers(record.room_id),
            keys.server_sessions(self.owner),
            *more_keys,
        ]
        return ["EVALSHA", self._digests[script], len(names), *names, *arguments]


def _ttl(seconds: float) -> int:
    return max(1, round(seconds * 1000))  # Redis refuses 0
