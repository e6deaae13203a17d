"""Invariant: `parse` returns a message of its type or raises `BadMessage`, nothing else, on any bytes."""

from sfu.conference.envelope import BadMessage, parse
from sfu.conference.messages import CLIENT_MESSAGES


def one_input(data: bytes) -> None:
    """Check the invariant for one input."""
    try:
        message = parse(data)
    except BadMessage as error:
        assert error.code == 400
    else:
        assert isinstance(message, CLIENT_MESSAGES[message.message_type])
