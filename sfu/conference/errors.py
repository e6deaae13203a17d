"""Refused requests of clients.

Each exception class stands for one `code` of the `error` message (docs/signaling.md). Code that raises one has
not changed any state.
"""

from typing import ClassVar


class Refused(Exception):
    """A request is refused. The text is for the person who uses the client."""

    code: ClassVar[int]


class BadRequest(Refused):
    """The message is malformed, or a value is out of range."""

    code = 400


class Unauthorized(Refused):
    """The client has not proven who it is."""

    code = 401


class Forbidden(Refused):
    """The client may not do this, now or later."""

    code = 403


class NotFound(Refused):
    """What the message names does not exist, or no longer exists."""

    code = 404


class Conflict(Refused):
    """The message does not fit the state: for example, a message before the join, or a second join."""

    code = 409


class TooManyRequests(Refused):
    """The client sends more messages than it may."""

    code = 429


class Unavailable(Refused):
    """The server or the room is full, or cannot do it now."""

    code = 503
