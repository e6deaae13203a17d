"""The JSON form of signaling messages.

Every message is ``{"type": …, "data": {…}, "timestamp": RFC 3339}`` with camelCase field names. `data` is the
object itself, or a JSON string that contains it, as older clients send it.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from sfu.conference.errors import BadRequest
from sfu.conference.messages import CLIENT_MESSAGES, ClientMessage, Ping, Pong, ServerMessage


class _Envelope(msgspec.Struct):
    type: Annotated[str, msgspec.Meta(max_length=64)]
    data: msgspec.Raw = msgspec.Raw(b"{}")
    timestamp: str | None = None


class _ServerEnvelope(msgspec.Struct):
    type: str
    data: ServerMessage | msgspec.Raw
    timestamp: datetime


class BadMessage(BadRequest):
    """A message cannot be parsed. `message_type` is its type, if that could be parsed."""

    def __init__(self, text: str, message_type: str | None = None) -> None:
        super().__init__(text)
        self.message_type = message_type


def parse(text: str | bytes) -> ClientMessage:
    """Parse one message of a client.

    Raises:
        BadMessage: it is not JSON, its `type` is unknown, or its `data` does not fit the type.
    """
    try:
        # Decoded as text first: msgspec does not check that a `Raw` field is valid UTF-8.
        envelope = msgspec.json.decode(text if isinstance(text, str) else text.decode(), type=_Envelope)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadMessage(f"not a message: {error}") from None
    cls = CLIENT_MESSAGES.get(envelope.type)
    if cls is None:
        raise BadMessage(f"unknown message type {envelope.type!r}", envelope.type)
    if cls is Ping or cls is Pong:
        return cls(envelope.data)
    try:
        data: str | msgspec.Raw = envelope.data
        if bytes(envelope.data).lstrip()[:1] == b'"':
            data = msgspec.json.decode(envelope.data, type=str)
        return msgspec.json.decode(data, type=cls)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadMessage(f"bad data: {error}", envelope.type) from None


def serialize(message: ServerMessage, timestamp: datetime) -> str:
    """Return one message to a client as JSON. `timestamp` is the wall-clock time of sending, with its zone."""
    data = message.data if isinstance(message, Ping | Pong) else message
    return msgspec.json.encode(_ServerEnvelope(message.message_type, data, timestamp)).decode()
