"""What a peer's transport asks of its ICE agent, whichever kind that is.

`sfu.ice.lite.IceLiteAgent` answers checks itself. `sfu.ice.full.FullIceAgent` follows one that does its work
elsewhere. The transport knows neither, only this.
"""

from typing import Protocol

from sfu.ice.credentials import Credentials
from sfu.ice.events import IceEvent, IceState, IceStatistics
from sfu.ice.path import IcePath


class IceAgent(Protocol):
    """One peer's ICE agent: the five verbs, and what DTLS and SRTP have to know."""

    local: Credentials
    """The credentials of the current generation."""
    pending: Credentials | None
    """Those of a restart that has not been completed."""
    state: IceState

    @property
    def selected(self) -> IcePath | None:
        """Where to send; `None` while nothing may be sent."""

    def is_validated(self, path: IcePath) -> bool:
        """Whether the peer has shown that this path is its own."""

    def ufrags(self) -> list[str]:
        """The fragments by which a shared socket finds this agent."""

    def receive(self, data: bytes, path: IcePath, now: float) -> None:
        """Take a STUN datagram. Never raises."""

    def outgoing(self, now: float) -> list[tuple[bytes, IcePath]]:
        """Datagrams to send."""

    def next_timeout(self) -> float | None:
        """When `handle_timeout` has something to do; `None` if never."""

    def handle_timeout(self, now: float) -> None:
        """Do what is due at `now`."""

    def events(self) -> list[IceEvent]:
        """What happened since the last call, in order."""

    def set_remote(self, remote: Credentials, now: float) -> None:
        """The peer's description is known."""

    def restart(self, credentials: Credentials, now: float) -> None:
        """Begin an ICE restart. Raises `RuntimeError` on a closed agent."""

    def lose(self, path: IcePath) -> None:
        """The connection that carries `path` has ended (TCP)."""

    def alive(self, path: IcePath, now: float) -> None:
        """An authenticated packet that is no check came along `path`."""

    def close(self) -> None:
        """End: nothing is accepted or sent any more."""

    def statistics(self) -> IceStatistics:
        """Counters for metrics."""
