"""What runs inside Redis: each change of a session with all its keys at once, only by who holds the session.

A session is held by the instance that its value names. A server whose session another one has claimed finds
that out here, and cannot overwrite it. Needs Redis 5 or newer (scripts may ask for the time before they
write), and not a Redis Cluster, since the keys of one session lie in different slots.

Room and peer keys are for people and other programs; no server reads them.
"""

from collections.abc import Sequence
from typing import Final

from sfu.state.codec import Stored, encode, encode_tracks
from sfu.state.keys import Keys

Command = Sequence[str | bytes | int]
"""A Redis command and its arguments."""

DONE: Final = 1
"""A script's answer: it is as wanted."""
HELD_BY_ANOTHER: Final = 0
"""Another server has claimed the session since, or (for `CLAIM`) its value is another one than was expected."""
ABSENT: Final = -1
"""Of `REFRESH`: there is no such key any more, or it holds nothing of ours."""

_COMMON: Final = """
local session, tracks, meta, peers, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

-- The instance that may write the session; nil for anybody, also when the value is none of ours.
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

-- Sets have members that expire one by one: each score is a time, and whoever writes cleans up.
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
    -- Where there is no memory left this is refused, but only as the first command of a script that writes.
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
"""Write a session that this instance holds, or that is not there."""

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
"""Let a session that this instance holds live on, unchanged."""

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
"""Replace the value of a session if it still is the one that was read: compare and set."""

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
"""Delete a session that this instance holds, and what is left of its room."""

SCRIPTS: Final = (SAVE, REFRESH, CLAIM, DROP)
"""All of them, to be loaded at the start of a connection."""


class Commands:
    """Makes the commands that run the scripts."""

    def __init__(self, keys: Keys, owner: str, instance: str) -> None:
        """`owner` and `instance` are who writes (see `sfu.state.codec`)."""
        self.keys = keys
        self.owner = owner
        self.instance = instance
        self._digests: dict[str, bytes] = {}

    def load(self) -> list[Command]:
        """Return the commands that load the scripts; their replies are for `loaded`."""
        return [("SCRIPT", "LOAD", script) for script in SCRIPTS]

    def loaded(self, digests: Sequence[bytes]) -> None:
        """Take the names that Redis gave the scripts."""
        self._digests = dict(zip(SCRIPTS, digests, strict=True))

    def save(self, stored: Stored, ttl: float) -> Command:
        """Return the command for `SAVE`; `ttl` in seconds."""
        return self._run(SAVE, stored, self.instance, *self._value(stored, ttl))

    def refresh(self, stored: Stored, ttl: float) -> Command:
        """Return the command for `REFRESH`; `ttl` in seconds."""
        record = stored.record
        return self._run(REFRESH, stored, self.instance, _ttl(ttl), record.session_id, record.peer_id)

    def drop(self, stored: Stored, room_ttl: float) -> Command:
        """Return the command for `DROP`; `room_ttl` is how long an empty room's metadata lives, in seconds."""
        record = stored.record
        kept = round(room_ttl * 1000)
        return self._run(DROP, stored, self.instance, kept, record.session_id, record.peer_id)

    def claim(self, expected: bytes, holder: str, stored: Stored, ttl: float) -> Command:
        """Return the command for `CLAIM`: `expected` is the value that was read, `holder` the owner in it."""
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
