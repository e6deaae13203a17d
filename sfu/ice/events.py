"""What an ICE agent reports: its state, its events and its counters."""

from dataclasses import dataclass
from enum import Enum

from sfu.ice.path import IcePath


class IceState(Enum):
    """As RTCIceTransportState, seen from the lite agent."""

    NEW = "new"
    """No remote description and no check yet."""
    CHECKING = "checking"
    """Waiting for the first check of the peer."""
    CONNECTED = "connected"
    """At least one path is validated."""
    COMPLETED = "completed"
    """A path has been nominated."""
    DISCONNECTED = "disconnected"
    """No sign of life. Sending continues, because the peer may come back."""
    FAILED = "failed"
    """Consent has expired: nothing may be sent until an ICE restart."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The agent has a new state."""

    state: IceState


@dataclass(frozen=True, slots=True)
class PathValidated:
    """The first authenticated check arrived on this path."""

    path: IcePath


@dataclass(frozen=True, slots=True)
class PathRetired:
    """The path is no longer validated. Its route has to be removed."""

    path: IcePath


@dataclass(frozen=True, slots=True)
class PathSelected:
    """From now on everything is sent on this path."""

    path: IcePath


@dataclass(frozen=True, slots=True)
class CredentialsAdded:
    """Checks with these credentials are accepted from now on. Add a route for this fragment."""

    ufrag: str


@dataclass(frozen=True, slots=True)
class CredentialsRetired:
    """Checks with these credentials are no longer accepted. Remove the route of this fragment."""

    ufrag: str


IceEvent = StateChanged | PathValidated | PathRetired | PathSelected | CredentialsAdded | CredentialsRetired


@dataclass(frozen=True, slots=True)
class IceStatistics:
    """Counters of an agent."""

    checks: int
    """Authenticated checks, answered with success."""
    drops: dict[str, int]
    """Datagrams dropped or answered with an error, by reason."""
    paths: int
    """The number of validated paths."""
    path_changes: int
    """How often the selected path has changed."""
