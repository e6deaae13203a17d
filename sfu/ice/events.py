"""What an ICE agent tells: its state, its events and its counters."""

from dataclasses import dataclass
from enum import Enum

from sfu.ice.path import IcePath


class IceState(Enum):
    """As RTCIceTransportState, seen from the lite side."""

    NEW = "new"
    """No remote description and no check yet."""
    CHECKING = "checking"
    """The peer may check, and has not yet."""
    CONNECTED = "connected"
    """There is a validated path."""
    COMPLETED = "completed"
    """The peer has nominated one."""
    DISCONNECTED = "disconnected"
    """No sign of life; sending goes on, for it may come back."""
    FAILED = "failed"
    """Consent is gone: nothing may be sent until an ICE restart."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The agent has a new state."""

    state: IceState


@dataclass(frozen=True, slots=True)
class PathValidated:
    """An authenticated check came along this path for the first time."""

    path: IcePath


@dataclass(frozen=True, slots=True)
class PathRetired:
    """The path is no longer known: routes to it go."""

    path: IcePath


@dataclass(frozen=True, slots=True)
class PathSelected:
    """From now on everything is sent along this path."""

    path: IcePath


@dataclass(frozen=True, slots=True)
class CredentialsAdded:
    """Checks that name these credentials are accepted from now on: a route by this fragment comes."""

    ufrag: str


@dataclass(frozen=True, slots=True)
class CredentialsRetired:
    """Checks that name these credentials are no longer accepted: routes by this fragment go."""

    ufrag: str


IceEvent = StateChanged | PathValidated | PathRetired | PathSelected | CredentialsAdded | CredentialsRetired


@dataclass(frozen=True, slots=True)
class IceStatistics:
    """What an agent has seen since it was made."""

    checks: int
    """Authenticated checks, answered with success."""
    drops: dict[str, int]
    """Datagrams dropped or answered with an error, by reason."""
    paths: int
    """Validated paths now."""
    path_changes: int
    """How often the selected path has changed."""
