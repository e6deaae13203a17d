"""Invariant: on any bytes `parse` returns a message of its type or raises `BadMessage`; pings have a pong."""

from datetime import UTC, datetime

from sfu.conference.envelope import BadMessage, parse, serialize
from sfu.conference.messages import CLIENT_MESSAGES, Ping, Pong

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def one_input(data: bytes) -> None:
    """Check the invariant for one input."""
    try:
        message = parse(data)
    except BadMessage as error:
        assert error.code == 400
    else:
        assert isinstance(message, CLIENT_MESSAGES[message.message_type])
        if isinstance(message, Ping):
            assert parse(serialize(Pong(message.data), NOON)) == Pong(message.data)
