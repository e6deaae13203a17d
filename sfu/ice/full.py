"""The full agent of one peer (RFC 8445), as its transport sees it.

`sfu.shell.full_ice.agent` gathers candidates, sends checks and speaks STUN and TURN, through aioice. This
module keeps the part that needs no sockets: which generation of credentials is current, which paths belong to
the peer, which path to send on, and when the peer counts as gone.

    negotiation and transport ──> `requests()` ──> the shell's agent
    state, path, events       <── `report(…)`  <──┘     (messages: `sfu.ice.full_messages`)

A generation is named by our user-name fragment. An ICE restart adds a second generation. The first one stays in
use until the second has nominated a path, or the first has failed.
"""

from collections import Counter, deque

from sfu.ice.agent import FAILED_AFTER, IceAgent
from sfu.ice.candidate import Candidate
from sfu.ice.credentials import Credentials
from sfu.ice.events import IceState, IceStatistics, PathRetired, PathSelected
from sfu.ice.full_messages import (
    Connect,
    Gather,
    Heard,
    IceReport,
    IceRequest,
    Lost,
    Nominated,
    Release,
    Retired,
    TryCandidate,
    Validated,
)
from sfu.ice.path import Address, IcePath

MAX_CANDIDATES = 50
"""Candidates accepted from a peer per generation. A laptop with Wi-Fi, cable and VPN, each with STUN and TURN,
has about twenty. The limit bounds how many addresses a client can make us send checks to."""


class FullIceAgent(IceAgent):
    """Follows the full agent that runs in the shell."""

    def __init__(self, local: Credentials, *, now: float) -> None:
        super().__init__(local, now=now)
        self.controlling = False
        """Whether we nominate. To be set before `set_remote`: the side that made the first offer nominates."""
        self.remote_is_lite = False
        """Whether the peer's description says that it is ICE-lite. Then we have to be controlling."""
        self.drops: Counter[str] = Counter()
        """Datagrams and candidates dropped, by reason. The shell's agent counts here too."""
        # Our generation that `remote` belongs to.
        self._described = local.ufrag
        self._restart_lost = False
        self._requests: list[IceRequest] = [Gather(local)]
        self._paths: dict[IcePath, str] = {}
        self._selected: IcePath | None = None
        self._changes = 0
        self._nominated = False
        self._candidates: set[Address] = set()
        # Candidates that arrived before their description; the oldest is dropped when there are too many.
        self._early: deque[Candidate] = deque(maxlen=MAX_CANDIDATES)

    # Called by negotiation and by the shell

    def requests(self) -> list[IceRequest]:
        """Return what the shell has to do since the last call, in order."""
        if not self._requests:
            return []
        requests, self._requests = self._requests, []
        return requests

    def report(self, report: IceReport, now: float) -> None:
        """Take a report of the shell. Reports about a generation that has ended are ignored."""
        current = report.ufrag == self.local.ufrag
        if report.ufrag not in self._generations():
            return
        match report:
            case Validated(ufrag, path, answered):
                self._paths[path] = ufrag
                if answered and current and self._selected is None:
                    # Used until a path is nominated: the peer may already send something that needs an answer.
                    self._select(path)
                self._hear(path, now, answered=answered)
            case Nominated(ufrag, path):
                self._paths[path] = ufrag
                if not current:
                    self._complete_restart()
                self._nominated = True
                self._select(path)
                self._hear(path, now, answered=True)
            case Heard(_, path) if path in self._paths:
                self._hear(path, now, answered=True)
            case Retired(_, path) if path != self._selected:
                self._paths.pop(path, None)
            case Lost() if current:
                self._fail(now)
            case Lost():
                self._restart_lost = True  # the old path stays in use
            case _:
                pass  # our candidates go into the description

    def add_candidate(self, candidate: Candidate) -> None:
        """Take a candidate of the peer; an unusable one is counted in `drops`.

        It may arrive before its description: its `ufrag` extension names the description it belongs to. Without
        that extension it belongs to the latest description (RFC 9429 section 3.5.2.1).
        """
        ufrag = dict(candidate.extensions).get("ufrag")
        if candidate.transport != "udp" or candidate.component != 1 or candidate.address.port == 0:
            self.drops["ice-candidate-unusable"] += 1
        elif self.remote is None or ufrag not in (None, self.remote.ufrag):
            self._early.append(candidate)
        elif self._described not in self._generations():
            self.drops["ice-candidate-late"] += 1
        elif candidate.address in self._candidates:
            pass  # descriptions repeat them
        elif len(self._candidates) >= MAX_CANDIDATES:
            self.drops["ice-candidates-too-many"] += 1
        else:
            self._candidates.add(candidate.address)
            self._requests.append(TryCandidate(self._described, candidate))

    # The five verbs

    def receive(self, data: bytes, path: IcePath, now: float) -> None:
        """Count an unexpected STUN datagram: the shell's agent handles STUN on its own sockets."""
        self.drops["ice-unexpected"] += 1

    def outgoing(self, now: float) -> list[tuple[bytes, IcePath]]:
        """Return nothing: the shell's agent sends the checks."""
        return []

    # Called by the transport

    def set_remote(self, remote: Credentials, now: float) -> None:
        """Take the credentials of the peer's description. New ones belong to our newest generation."""
        if remote == self.remote or self.state is IceState.CLOSED:
            return
        self.remote = remote
        self._described = (self.pending or self.local).ufrag
        self._candidates.clear()
        if self._described in self._generations():
            self._requests.append(Connect(self._described, remote, self.controlling, self.remote_is_lite))
        early, self._early = self._early, deque(maxlen=MAX_CANDIDATES)
        for candidate in early:
            self.add_candidate(candidate)
        if self.state is IceState.NEW:
            self._start_checking(now)

    def lose(self, path: IcePath) -> None:
        """Do nothing: when sockets end, the shell reports the whole generation as `Lost`."""

    @property
    def selected(self) -> IcePath | None:
        """The path to send on: the first validated one until one is nominated.

        `None` before that and after a failure.
        """
        return self._selected

    def is_validated(self, path: IcePath) -> bool:
        """Return whether the peer has shown that this path is its own."""
        return path in self._paths

    def has_consent(self, path: IcePath, now: float) -> bool:
        """Return whether this path is the peer's own and its consent has not expired."""
        return path in self._paths and now < self._checked_at + FAILED_AFTER

    def ufrags(self) -> list[str]:
        """Return nothing: each generation has its own sockets, so no shared socket has to find it."""
        return []

    def close(self) -> None:
        """End: release every generation."""
        if self.state is IceState.CLOSED:
            return
        for ufrag in self._generations():
            self._release(ufrag)
        self._selected = None
        self._early.clear()
        self._set_state(IceState.CLOSED)

    def statistics(self) -> IceStatistics:
        """Return counters for metrics."""
        return IceStatistics(
            checks=self._checks, drops=dict(self.drops), paths=len(self._paths), path_changes=self._changes
        )

    # State changes

    def _generations(self) -> tuple[str, ...]:
        """Return the generations that are in use."""
        if self.state in (IceState.FAILED, IceState.CLOSED):
            return ()
        return (self.local.ufrag,) if self.pending is None else (self.local.ufrag, self.pending.ufrag)

    def _connected_state(self) -> IceState:
        if self._selected is None:
            return self.state
        return IceState.COMPLETED if self._nominated else IceState.CONNECTED

    def _hear(self, path: IcePath, now: float, *, answered: bool) -> None:
        """A check of either side has succeeded: a sign of life.

        Consent is renewed only by an answer on the selected path (RFC 7675 section 5.1).
        """
        self._checks += 1
        if self._selected is not None:
            self._alive_at = now
            if answered and path == self._selected:
                self._checked_at = now
            self._set_state(self._connected_state())

    def _select(self, path: IcePath) -> None:
        if path != self._selected:
            self._changes += self._selected is not None
            self._selected = path
            self._events.append(PathSelected(path))

    def _begin_generation(self, credentials: Credentials) -> None:
        self._restart_lost = False
        self._requests.append(Gather(credentials))

    def _end_generation(self, credentials: Credentials) -> None:
        self._release(credentials.ufrag)

    def _fail(self, now: float) -> None:
        if self._selected is not None:
            self._events.append(PathRetired(self._selected))
        self._selected = None
        self._nominated = False
        if self.pending is not None and not self._restart_lost:
            self._check_pending(now)
        else:
            for ufrag in self._generations():
                self._release(ufrag)
            self._set_state(IceState.FAILED)

    def _start_checking(self, now: float) -> None:
        if self.remote is None:
            # Before the peer's first description no check is possible, so no timer runs.
            self._set_state(IceState.NEW)
        else:
            super()._start_checking(now)

    def _release(self, ufrag: str) -> None:
        if ufrag not in self._generations():
            return
        # If the shell has not fetched the `Gather` yet, there is nothing to release: the client of a restored
        # session may never come back.
        begun = not any(isinstance(one, Gather) and one.local.ufrag == ufrag for one in self._requests)
        self._requests = [one for one in self._requests if _generation(one) != ufrag]
        if begun:
            self._requests.append(Release(ufrag))
        self._paths = {path: owner for path, owner in self._paths.items() if owner != ufrag}


def _generation(request: IceRequest) -> str:
    return request.local.ufrag if isinstance(request, Gather) else request.ufrag
