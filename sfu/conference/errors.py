"""Refusals: what a client asked for and does not get.

The exception class *is* the `code` of the `error` message (docs/signaling.md). Raising one never changes state:
whoever raises has checked first.
"""

from typing import ClassVar


class Refused(Exception):
    """A request that is refused. The text is written for the person who uses the client."""

    code: ClassVar[int]


class BadRequest(Refused):
    """The message breaks its format or carries a value out of range."""

    code = 400


class Unauthorized(Refused):
    """The client has not proven who it is."""

    code = 401


class Forbidden(Refused):
    """The client may not do this, now or later."""

    code = 403


class NotFound(Refused):
    """What the message is about is not there, or not any more."""

    code = 404


class Conflict(Refused):
    """The message does not fit the state: before a join, a second join, an answer to no offer."""

    code = 409


class TooManyRequests(Refused):
    """The client sends faster than it may."""

    code = 429


class Unavailable(Refused):
    """The server or the room has no place left."""

    code = 503
