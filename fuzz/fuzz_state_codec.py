"""Stored sessions: only BadPacket escapes; what is read is written again with all that a newer version put in.

The input is read as a value, and as changes to the value of a session that is valid.
"""

import json
from dataclasses import replace
from typing import Any

from support.records import RECORD

from sfu.errors import BadPacket
from sfu.state.codec import MAX_VALUE, Stored, decode, encode

VALID: dict[str, Any] = json.loads(encode(Stored(RECORD, "server", "instance", 30.0)))


def one_input(data: bytes) -> None:
    """Check the invariants on one value, and on one with some fields changed."""
    check(data)
    try:
        changes = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(changes, dict):
        check(json.dumps({**VALID, **changes}).encode())


def check(value: bytes) -> None:
    """One value."""
    try:
        stored = decode(value)
    except BadPacket as error:
        assert error.reason.startswith("state-")
        return
    assert len(value) <= MAX_VALUE
    written = encode(stored)
    again = decode(written)
    assert again == stored
    # A session that has changed keeps what this version does not know.
    changed = decode(encode(replace(stored, record=RECORD)))
    assert changed.record == RECORD
    assert changed.unknown == stored.unknown
