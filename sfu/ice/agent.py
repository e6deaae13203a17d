"""What the lite and the full ICE agent of a peer share: states, timers, generations of credentials, the verbs.

`sfu.ice.lite.IceLiteAgent` answers checks itself. `sfu.ice.full.FullIceAgent` follows a full agent that runs in
the shell. The transport uses either one through `IceAgent`.
"""

from abc import ABC, abstractmethod

from sfu.ice.credentials import Credentials
from sfu.ice.events import IceEvent, IceState, IceStatistics, StateChanged
from sfu.ice.path import IcePath

DISCONNECTED_AFTER = 7.0
"""Seconds without a sign of life. RFC 7675 section 5.1 allows up to 6 s between consent checks (5 s ± 20 %;
Firefox does so, Chromium checks every 2.5 s). With a shorter time the state would flicker in a quiet call."""

FAILED_AFTER = 30.0
"""Seconds without a successful check until consent has expired (RFC 7675 section 5.1)."""

_WITHOUT_TIMERS = (IceState.NEW, IceState.FAILED, IceState.CLOSED)
_WITH_A_PATH = (IceState.CONNECTED, IceState.COMPLETED)


class IceAgent(ABC):
    """One peer's ICE agent: the five verbs, and what DTLS and SRTP have to know.

    An ICE restart (RFC 8445 section 9) adds a second generation of credentials (`pending`). It replaces the
    current one (`local`) when one of its paths is nominated, or when the current one fails.
    """

    def __init__(self, local: Credentials, *, now: float) -> None:
        self.local = local
        """The credentials of the current generation."""
        self.pending: Credentials | None = None
        """The credentials of a restart that is not complete."""
        self.remote: Credentials | None = None
        """The peer's credentials, from its latest description."""
        self.state = IceState.NEW
        self._checked_at = now  # when consent was last renewed
        self._alive_at = now  # the last sign of life
        self._checks = 0
        # Drained after every batch of datagrams.
        self._events: list[IceEvent] = []

    @property
    @abstractmethod
    def selected(self) -> IcePath | None:
        """The path to send on: the first validated one until one is nominated.

        `None` before that, after a failure, and while there is no path.
        """

    @abstractmethod
    def is_validated(self, path: IcePath) -> bool:
        """Return whether the peer has shown by a check that this path is its own."""

    @abstractmethod
    def has_consent(self, path: IcePath, now: float) -> bool:
        """Return whether this path is the peer's own and a check has shown so within `FAILED_AFTER` seconds."""

    @abstractmethod
    def ufrags(self) -> list[str]:
        """Return the user-name fragments by which a shared socket finds this agent."""

    @abstractmethod
    def receive(self, data: bytes, path: IcePath, now: float) -> None:
        """Take a STUN datagram. Never raises."""

    @abstractmethod
    def outgoing(self, now: float) -> list[tuple[bytes, IcePath]]:
        """Return the datagrams to send."""

    def next_timeout(self) -> float | None:
        """Return when `handle_timeout` has something to do; `None` if never."""
        if self.state in _WITHOUT_TIMERS:
            return None
        deadline = self._checked_at + FAILED_AFTER
        if self.state in _WITH_A_PATH:
            deadline = min(deadline, self._alive_at + DISCONNECTED_AFTER)
        return deadline

    def handle_timeout(self, now: float) -> None:
        """Change the state if the peer has been silent for too long."""
        if self.state in _WITHOUT_TIMERS:
            return
        if now >= self._checked_at + FAILED_AFTER:
            self._fail(now)
        elif self.state in _WITH_A_PATH and now >= self._alive_at + DISCONNECTED_AFTER:
            self._set_state(IceState.DISCONNECTED)

    def events(self) -> list[IceEvent]:
        """Return what happened since the last call, in order."""
        if not self._events:
            return []
        events = self._events.copy()
        self._events.clear()
        return events

    @abstractmethod
    def set_remote(self, remote: Credentials, now: float) -> None:
        """Take the credentials of the peer's description; its checks are due within `FAILED_AFTER` seconds."""

    def restart(self, credentials: Credentials, now: float) -> None:
        """Begin an ICE restart (RFC 8445 section 9) with new credentials.

        Sending stays on the old path until a path of the new generation is nominated. A restart that is still
        incomplete is replaced by this one. An agent that has failed, or fails before the restart is complete,
        drops the old generation and goes back to `CHECKING`. Raises `RuntimeError` on a closed agent.
        """
        if self.state is IceState.CLOSED:
            raise RuntimeError("ICE restart on a closed agent")
        if self.pending is not None:
            self._end_generation(self.pending)
        self.pending = credentials
        self._begin_generation(credentials)
        if self.state is IceState.FAILED:
            self._check_pending(now)

    def alive(self, path: IcePath, now: float) -> None:
        """An authenticated packet other than a check (SRTCP, for example) arrived on `path`.

        It is a sign of life and postpones `DISCONNECTED`. Only checks renew consent (RFC 7675 section 5.1).
        """
        if self.is_validated(path):
            self._alive_at = now
            if self.state is IceState.DISCONNECTED:
                self._set_state(self._connected_state())

    @abstractmethod
    def lose(self, path: IcePath) -> None:
        """The TCP connection that carries `path` has ended."""

    @abstractmethod
    def close(self) -> None:
        """End: nothing is accepted or sent any more."""

    @abstractmethod
    def statistics(self) -> IceStatistics:
        """Return counters for metrics."""

    # State changes

    @abstractmethod
    def _begin_generation(self, credentials: Credentials) -> None:
        """Start to use the credentials of a restart beside the current ones."""

    @abstractmethod
    def _end_generation(self, credentials: Credentials) -> None:
        """Stop using these credentials."""

    @abstractmethod
    def _fail(self, now: float) -> None:
        """Consent has expired: drop the paths, then check a pending restart or become `FAILED`."""

    @abstractmethod
    def _connected_state(self) -> IceState:
        """Return `COMPLETED` if a path has been nominated, else `CONNECTED`."""

    def _set_state(self, state: IceState) -> None:
        if state is not self.state:
            self.state = state
            self._events.append(StateChanged(state))

    def _start_checking(self, now: float) -> None:
        """Give the peer `FAILED_AFTER` seconds for a successful check."""
        self._checked_at = now
        self._set_state(IceState.CHECKING)

    def _check_pending(self, now: float) -> None:
        """Drop the failed generation and go on with the restart's credentials alone."""
        self._complete_restart()
        self._start_checking(now)

    def _complete_restart(self) -> None:
        assert self.pending is not None, "a restart is in progress"
        self._end_generation(self.local)
        self.local, self.pending = self.pending, None
