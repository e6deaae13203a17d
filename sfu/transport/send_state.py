"""The states of an outgoing stream, and what leads from one to the next.

`TRANSITIONS` is the whole truth; the figure in docs/media.md is drawn from it. In short::

             bound               key frame requested              key frame
    idle ------------> waiting ----------------------> requested -----------> forwarding
                          ^                                                        |
                          +----------- blocked, or another source is bound --------+

Every state but idle can be paused, and goes back to waiting when it is resumed.
"""

import enum
from collections.abc import Mapping
from typing import Final


class SendState(enum.Enum):
    """What an outgoing stream is doing."""

    IDLE = "idle"
    """No source is bound."""
    IDLE_PAUSED = "idle-paused"
    """No source is bound, and the next one will be paused."""
    WAITING = "waiting"
    """A source is bound. No key frame has been requested, since it could not be sent on."""
    REQUESTED = "requested"
    """A key frame has been requested. Nothing is sent before it comes."""
    FORWARDING = "forwarding"
    """Packets are sent."""
    PAUSED = "paused"
    """A source is bound, and nothing is sent until `SendStream.resume`."""


class SendEvent(enum.Enum):
    """What can happen to an outgoing stream."""

    BOUND = "source bound"
    UNBOUND = "source unbound"
    PAUSED = "pause"
    RESUMED = "resume"
    KEY_FRAME_REQUESTED = "key frame requested"
    KEY_FRAME = "key frame"
    """For audio, any packet."""
    BLOCKED = "blocked"
    """A packet was dropped because there is no connection, or the path is full."""
    RESTARTED = "source restarted"
    """The source numbers its packets from a new beginning, and requests a key frame itself."""


_STARTED: Final = (SendState.WAITING, SendState.REQUESTED, SendState.FORWARDING)

TRANSITIONS: Final[Mapping[tuple[SendState, SendEvent], SendState]] = {
    (SendState.IDLE, SendEvent.BOUND): SendState.WAITING,
    (SendState.IDLE, SendEvent.PAUSED): SendState.IDLE_PAUSED,
    (SendState.IDLE_PAUSED, SendEvent.RESUMED): SendState.IDLE,
    (SendState.IDLE_PAUSED, SendEvent.BOUND): SendState.PAUSED,
    (SendState.WAITING, SendEvent.KEY_FRAME_REQUESTED): SendState.REQUESTED,
    (SendState.WAITING, SendEvent.KEY_FRAME): SendState.FORWARDING,
    (SendState.WAITING, SendEvent.RESTARTED): SendState.WAITING,
    (SendState.REQUESTED, SendEvent.KEY_FRAME_REQUESTED): SendState.REQUESTED,
    (SendState.REQUESTED, SendEvent.KEY_FRAME): SendState.FORWARDING,
    (SendState.REQUESTED, SendEvent.RESTARTED): SendState.REQUESTED,
    (SendState.REQUESTED, SendEvent.BLOCKED): SendState.WAITING,
    (SendState.FORWARDING, SendEvent.RESTARTED): SendState.REQUESTED,
    (SendState.FORWARDING, SendEvent.BLOCKED): SendState.WAITING,
    (SendState.PAUSED, SendEvent.RESUMED): SendState.WAITING,
    (SendState.PAUSED, SendEvent.BOUND): SendState.PAUSED,
    (SendState.PAUSED, SendEvent.UNBOUND): SendState.IDLE_PAUSED,
    (SendState.PAUSED, SendEvent.RESTARTED): SendState.PAUSED,
    **{(state, SendEvent.BOUND): SendState.WAITING for state in _STARTED},
    **{(state, SendEvent.UNBOUND): SendState.IDLE for state in _STARTED},
    **{(state, SendEvent.PAUSED): SendState.PAUSED for state in _STARTED},
}
"""What each event leads to. An event without a row in a state is an error in this server."""
