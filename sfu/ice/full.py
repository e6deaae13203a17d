"""The full agent of one peer (RFC 8445), as its transport sees it.

Gathering, checks, STUN and TURN are done by somebody with sockets (`sfu.shell.full_ice.agent`, through aioice).
Here is what follows from that, without any: which generation of credentials is in force, which paths are the
peer's, where to send, and when it counts as gone.

    what negotiation wants ──> `requests()` ──> the one with sockets
    state, path, events    <── `report(…)`  <──┘     (messages: `sfu.ice.full_messages`)

A generation is named by our user-name fragment. An ICE restart makes a second one beside the first, which goes
on until the second has nominated a path, or the first has failed.
"""

from collections import Counter, deque

from sfu.ice.candidate import Candidate
from sfu.ice.credentials import Credentials
from sfu.ice.events import IceEvent, IceState, IceStatistics, PathRetired, PathSelected, StateChanged
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
from sfu.ice.lite import DISCONNECTED_AFTER, FAILED_AFTER
from sfu.ice.path import Address, IcePath

MAX_CANDIDATES = 50
"""Candidates that a peer may name in a generation. A laptop with Wi-Fi, cable and VPN, each with STUN and TURN,
makes about twenty; each of them is sent checks, so a client could have us knock at as many addresses."""


class FullIceAgent:
    """Follows a full agent that works elsewhere. Satisfies `sfu.ice.interface.IceAgent`."""

    def __init__(self, local: Credentials, *, now: float) -> None:
        self.local = local
        """The credentials of the current generation."""
        self.pending: Credentials | None = None
        """Those of a restart that has not been completed."""
        self.remote: Credentials | None = None
        """The peer's, as last described."""
        self.controlling = False
        """Whether we nominate: to be set before the first `set_remote`, by who made the first offer."""
        self.remote_is_lite = False
        """Whether the peer is ICE-lite, as its description says; then we have to be controlling."""
        self.state = IceState.NEW
        self.drops: Counter[str] = Counter()
        """Datagrams and candidates dropped, by reason; whoever reports counts here too."""
        self._described = local.ufrag  # our generation that `remote` belongs to
        self._restart_lost = False
        self._requests: list[IceRequest] = [Gather(local)]
        self._events: list[IceEvent] = []
        self._paths: dict[IcePath, str] = {}
        self._selected: IcePath | None = None
        self._changes = 0
        self._checks = 0
        self._nominated = False
        self._checked_at = self._alive_at = now
        self._candidates: set[Address] = set()
        # Candidates whose description is still on its way; the oldest goes when there are too many.
        self._early: deque[Candidate] = deque(maxlen=MAX_CANDIDATES)

    # --- between negotiation and sockets ---

    def requests(self) -> list[IceRequest]:
        """What is to be done since the last call, in order."""
        if not self._requests:
            return []
        requests, self._requests = self._requests, []
        return requests

    def report(self, report: IceReport, now: float) -> None:
        """Take what was found. What is about a generation that has ended changes nothing."""
        current = report.ufrag == self.local.ufrag
        if report.ufrag not in self._generations():
            return
        match report:
            case Validated(ufrag, path, answered):
                self._paths[path] = ufrag
                if answered and current and self._selected is None:
                    # Until one is nominated, as there may be something to answer on it.
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
                self._restart_lost = True  # which leaves the old path
            case _:
                pass  # candidates are the description's business

    def add_candidate(self, candidate: Candidate) -> None:
        """The peer may be reached here; one that is of no use is counted in `drops`.

        It may come before the description that it belongs to, which its `ufrag` extension tells. Without one
        it belongs to the description that came last (RFC 9429 section 3.5.2.1).
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

    # --- the agent's verbs ---

    def receive(self, data: bytes, path: IcePath, now: float) -> None:
        """Count a STUN datagram: whoever has the sockets keeps those for itself."""
        self.drops["ice-unexpected"] += 1

    def outgoing(self, now: float) -> list[tuple[bytes, IcePath]]:
        """Nothing: checks are sent elsewhere."""
        return []

    def next_timeout(self) -> float | None:
        """When `handle_timeout` has something to do; `None` if never."""
        match self.state:
            case IceState.NEW | IceState.FAILED | IceState.CLOSED:
                return None
            case IceState.CHECKING | IceState.DISCONNECTED:
                return self._checked_at + FAILED_AFTER
        return min(self._checked_at + FAILED_AFTER, self._alive_at + DISCONNECTED_AFTER)

    def handle_timeout(self, now: float) -> None:
        """Notice silence."""
        deadline = self.next_timeout()
        if deadline is None or now < deadline:
            return
        if now >= self._checked_at + FAILED_AFTER:
            self._fail(now)
        else:
            self._set_state(IceState.DISCONNECTED)

    def events(self) -> list[IceEvent]:
        """What happened since the last call, in order."""
        if not self._events:
            return []
        events, self._events = self._events, []
        return events

    # --- what the transport tells and asks ---

    def set_remote(self, remote: Credentials, now: float) -> None:
        """The peer's description is known; credentials that are new there belong to our newest generation."""
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
            self._checked_at = now
            self._set_state(IceState.CHECKING)

    def restart(self, credentials: Credentials, now: float) -> None:
        """Begin an ICE restart (section 9): a generation beside the old one, until this one has nominated.

        A restart that is not yet through is replaced. An agent that has failed, or does so before the restart
        is through, has nothing to keep: it goes back to `CHECKING` at once. Raises `RuntimeError` on a closed
        agent.
        """
        if self.state is IceState.CLOSED:
            raise RuntimeError("ICE restart on a closed agent")
        if self.pending is not None:
            self._release(self.pending.ufrag)
        self.pending = credentials
        self._restart_lost = False
        self._requests.append(Gather(credentials))
        if self.state is IceState.FAILED:
            self._check_anew(now)

    def lose(self, path: IcePath) -> None:
        """Nothing: whoever has the sockets reports their end with all paths of a generation, as `Lost`."""

    def alive(self, path: IcePath, now: float) -> None:
        """An authenticated packet that is no check came: a sign of life, but no consent (RFC 7675)."""
        if path in self._paths and self.state is not IceState.FAILED:
            self._alive_at = now
            self._set_state(self._connected_state())

    @property
    def selected(self) -> IcePath | None:
        """Where to send: the first validated path until one is nominated; `None` before, and once failed."""
        return self._selected

    def is_validated(self, path: IcePath) -> bool:
        """Whether the peer has shown that this path is its own."""
        return path in self._paths

    def ufrags(self) -> list[str]:
        """None: each generation has sockets of its own, so nothing has to be told apart."""
        return []

    def close(self) -> None:
        """End: every generation is released."""
        if self.state is IceState.CLOSED:
            return
        for ufrag in self._generations():
            self._release(ufrag)
        self._selected = None
        self._early.clear()
        self._set_state(IceState.CLOSED)

    def statistics(self) -> IceStatistics:
        """Counters for metrics."""
        return IceStatistics(
            checks=self._checks, drops=dict(self.drops), paths=len(self._paths), path_changes=self._changes
        )

    # --- changes ---

    def _generations(self) -> tuple[str, ...]:
        """Those that are not over."""
        if self.state in (IceState.FAILED, IceState.CLOSED):
            return ()
        return (self.local.ufrag,) if self.pending is None else (self.local.ufrag, self.pending.ufrag)

    def _connected_state(self) -> IceState:
        if self._selected is None:
            return self.state
        return IceState.COMPLETED if self._nominated else IceState.CONNECTED

    def _hear(self, path: IcePath, now: float, *, answered: bool) -> None:
        """A check of either side has succeeded: a sign of life.

        Consent is for the path that is sent on, and only its owner can answer there (RFC 7675 section 5.1).
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

    def _fail(self, now: float) -> None:
        """Consent for what is in use is gone; a restart that is under way gets its time."""
        if self._selected is not None:
            self._events.append(PathRetired(self._selected))
        self._selected = None
        self._nominated = False
        if self.pending is not None and not self._restart_lost:
            self._check_anew(now)
        else:
            for ufrag in self._generations():
                self._release(ufrag)
            self._set_state(IceState.FAILED)

    def _check_anew(self, now: float) -> None:
        self._complete_restart()
        self._checked_at = now
        # Before the peer's first description nothing can be checked, and nothing is late.
        self._set_state(IceState.NEW if self.remote is None else IceState.CHECKING)

    def _complete_restart(self) -> None:
        assert self.pending is not None, "there are two generations, and it is not the old one"
        self._release(self.local.ufrag)
        self.local, self.pending = self.pending, None

    def _release(self, ufrag: str) -> None:
        if ufrag not in self._generations():
            return
        # What nobody has begun needs no end: a session that was restored may never come back.
        begun = not any(isinstance(one, Gather) and one.local.ufrag == ufrag for one in self._requests)
        self._requests = [one for one in self._requests if _generation(one) != ufrag]
        if begun:
            self._requests.append(Release(ufrag))
        self._paths = {path: owner for path, owner in self._paths.items() if owner != ufrag}

    def _set_state(self, state: IceState) -> None:
        if state is not self.state:
            self.state = state
            self._events.append(StateChanged(state))


def _generation(request: IceRequest) -> str:
    return request.local.ufrag if isinstance(request, Gather) else request.ufrag
