"""The value of a session's key: a JSON object.

It has the fields of `SessionRecord` under their names, and four about the server that wrote it:

    schema      version of this format; a reader leaves values of a newer schema as they are
    owner       the server's id, which stays the same when it restarts
    instance    the process that holds the session and may write it; each start of a server is a new instance
    grace_ms    how long the session can be resumed after its client has gone

A reader keeps the fields that it does not know, and writes them back. So servers of two versions can share
sessions as long as the schema is the same. Hashes are base64, the way msgspec writes bytes.
"""

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final

import msgspec

from sfu.conference.identifiers import check_visible
from sfu.conference.records import SessionRecord
from sfu.errors import BadPacket

SCHEMA: Final = 1
"""Raise it when older versions would misread a value; a new field that they can ignore does not count."""

MAX_VALUE: Final = 1 << 20
"""Longest value that is read, in bytes: far more than a session with all its tracks and subscriptions has."""

MAX_DEPTH: Final = 32
"""Levels of nesting in unknown fields. Without a limit, a value could be readable but too deep to write."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The content of a session's key."""

    record: SessionRecord
    owner: str
    instance: str
    grace: float
    """Grace period in seconds; it is stored in whole milliseconds."""
    unknown: dict[str, Any] = field(default_factory=dict)
    """Fields, also of nested objects, that only a newer version knows."""


def encode(stored: Stored) -> bytes:
    """Return the value for a session's key."""
    return msgspec.json.encode(_with_unknown(_builtins(stored), stored.unknown))


def decode(value: bytes) -> Stored:
    """Read the value of a session's key. Its ids and its name have the form that a join would need.

    Raises:
        BadPacket: it is not what `encode` writes, or it has a newer schema (reason ``state-schema``).
    """
    if len(value) > MAX_VALUE:
        raise BadPacket("state-size", f"{len(value)} bytes")
    try:
        document = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadPacket("state-json", str(error)) from error
    if not isinstance(document, dict) or type(document.get("schema")) is not int:
        raise BadPacket("state-fields", "no schema")
    if document["schema"] != SCHEMA:
        raise BadPacket("state-schema", f"{document['schema']}")
    try:
        header = msgspec.convert(document, _Header)
        record = msgspec.convert(document, SessionRecord)
        check_visible("room_id", record.room_id)
        check_visible("user_id", record.user_id)
        check_visible("name", record.name)
    except (msgspec.ValidationError, ValueError) as error:
        raise BadPacket("state-fields", str(error)) from error
    stored = Stored(record, header.owner, header.instance, header.grace_ms / 1000)
    unknown = _only_unknown(document, _builtins(stored))
    if _is_deeper(unknown, MAX_DEPTH):
        raise BadPacket("state-depth", f"more than {MAX_DEPTH} levels")
    return replace(stored, unknown=unknown)


def encode_tracks(record: SessionRecord) -> bytes:
    """Return the value for the key of a peer's tracks; empty if the key should not exist."""
    return msgspec.json.encode(record.tracks) if record.tracks else b""


class _Header(msgspec.Struct):
    """The fields that do not belong to the record."""

    schema: int
    owner: str
    instance: str
    grace_ms: Annotated[int, msgspec.Meta(ge=0, le=2**40)]


def _builtins(stored: Stored) -> dict[str, Any]:
    header = _Header(SCHEMA, stored.owner, stored.instance, round(stored.grace * 1000))
    return {**msgspec.to_builtins(header), **msgspec.to_builtins(stored.record)}


def _with_unknown(known: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
    whole = {**unknown, **known}
    for name, part in unknown.items():
        if isinstance(part, dict) and isinstance(known.get(name), dict):
            whole[name] = _with_unknown(known[name], part)
    return whole


def _only_unknown(whole: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    unknown = {}
    for name, part in whole.items():
        if name not in known:
            unknown[name] = part
            continue
        below = known[name]
        if isinstance(part, dict) and isinstance(below, dict) and (inner := _only_unknown(part, below)):
            unknown[name] = inner
    return unknown


def _is_deeper(value: Any, levels: int) -> bool:
    """Return whether a value has more than this many levels of nesting."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return levels == 0 or any(_is_deeper(part, levels - 1) for part in value)
