"""What a step has left to do for the shell."""

from dataclasses import dataclass, field

from sfu.conference.peer import Peer


@dataclass(slots=True)
class Marks:
    """Peers and sessions to look at; whoever looks takes them out."""

    touched: set[Peer] = field(default_factory=set)
    """Peers whose messages, datagrams or timers may have changed."""
    changed: set[Peer] = field(default_factory=set)
    """Peers whose `Peer.record` may have changed."""
    ended: set[str] = field(default_factory=set)
    """Ids of sessions that nobody can resume any more, here or elsewhere."""
