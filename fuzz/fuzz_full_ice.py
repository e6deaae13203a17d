"""The full ICE agent under any reports, candidates, restarts and ticks: it never raises, spins or gets stuck.

The input is a program. Each step is a byte for the action and a byte of detail. The harness takes the place of
the shell's agent: it carries out requests and sends any reports, about current, ended and unknown generations.

* A generation is gathered once and released once. There are no requests about it before or after. At most two
  are not released, and none once the agent is closed.
* The sum of the events gives the state and the selected path. The selected path is validated.
* Candidates are bounded, and a timer that has been handled is not due again at once.

At the end the peer is silent, and the agent must fail. Then the peer restarts and nominates, and the agent must
be completed.
"""

from deadlines import run_due

from sfu.ice.agent import FAILED_AFTER
from sfu.ice.candidate import Candidate
from sfu.ice.credentials import Credentials
from sfu.ice.events import IceState, PathRetired, PathSelected, StateChanged
from sfu.ice.full import MAX_CANDIDATES, FullIceAgent
from sfu.ice.full_messages import (
    Connect,
    Gather,
    Gathered,
    Heard,
    Lost,
    Nominated,
    Release,
    Retired,
    TryCandidate,
    Validated,
)
from sfu.ice.path import Address, IcePath

TARGETS = ("sfu.ice.agent", "sfu.ice.full")
"""The modules whose coverage is measured."""

MAX_STEPS = 300
REMOTES = 8
"""The peer's addresses in reports."""

CONNECTED = (IceState.CONNECTED, IceState.COMPLETED)


def path_of(ufrag: str, number: int) -> IcePath:
    """A path of a generation. Each generation has its own sockets, and so its own port."""
    return IcePath(Address("192.0.2.1", int(ufrag[1:])), Address(f"198.51.100.{number}", 5000))


class Script:
    """An agent, and the harness's record of it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.count = 0
        self.ufrags: list[str] = []
        self.gathered: set[str] = set()
        self.released: set[str] = set()
        self.tried: dict[str, int] = {}
        self.agent = FullIceAgent(self.credentials(), now=self.now)
        self.state = IceState.NEW
        self.selected: IcePath | None = None
        self.settle()

    def credentials(self) -> Credentials:
        """New credentials."""
        self.count += 1
        self.ufrags.append(f"g{self.count}")
        return Credentials(f"g{self.count}", "password")

    def step(self, what: int, detail: int) -> None:
        """Do one step."""
        agent = self.agent
        # Usually one of the two newest generations: only these can be current.
        ufrag = self.ufrags[-1 - (detail >> 3) % min(3, len(self.ufrags))]
        path = path_of(ufrag, detail % REMOTES)
        match what % 14:
            case 0 | 1:
                agent.report(Validated(ufrag, path, answered=bool(detail & 128)), self.now)
            case 2:
                agent.report(Nominated(ufrag, path), self.now)
            case 3:
                agent.report(Heard(ufrag, path), self.now)
            case 4:
                agent.report(Retired(ufrag, path), self.now)
            case 5:
                agent.report(Lost(ufrag), self.now)
            case 6:
                agent.report(Gathered(ufrag, "candidate" if detail & 128 else None), self.now)
            case 7:
                agent.set_remote(Credentials(f"them{detail % 4}", "theirs"), self.now)
            case 8 if agent.state is not IceState.CLOSED:
                agent.restart(self.credentials(), self.now)
            case 9:
                self.name_candidates(detail)
            case 10:
                agent.alive(path, self.now)
                agent.receive(b"", path, self.now)
                agent.lose(path)
            case 11:
                self.pass_time(detail / 16)
            case 12:
                self.pass_time(float(detail))
            case 13 if detail == 255:
                agent.close()
        self.settle()

    def name_candidates(self, detail: int) -> None:
        """A few candidates, for this description or another one."""
        extensions = ((), (("ufrag", "them0"),), (("ufrag", "them1"),))[detail % 3]
        for port in range(detail):
            address = Address(f"198.51.100.{detail % 16}", port)
            transport = "udp" if port % 7 else "tcp"
            self.agent.add_candidate(Candidate("1", 1, transport, 1, address, "host", extensions=extensions))

    def pass_time(self, seconds: float) -> None:
        """Advance the time and handle each timer when it is due."""
        self.now += seconds
        run_due(self.agent, self.now, self.settle)

    def settle(self) -> None:
        """Fetch requests and events, and compare with the agent."""
        agent = self.agent
        for request in agent.requests():
            match request:
                case Gather(local):
                    assert local.ufrag not in self.gathered
                    self.gathered.add(local.ufrag)
                    self.tried[local.ufrag] = 0
                case Connect(ufrag, _, _, _):
                    assert ufrag in self.gathered - self.released
                    self.tried[ufrag] = 0
                case TryCandidate(ufrag, candidate):
                    assert ufrag in self.gathered - self.released
                    assert (candidate.transport, candidate.component) == ("udp", 1)
                    self.tried[ufrag] += 1
                    assert self.tried[ufrag] <= MAX_CANDIDATES
                case Release(ufrag):
                    assert ufrag in self.gathered - self.released
                    self.released.add(ufrag)
        for event in agent.events():
            match event:
                case StateChanged(state):
                    assert state is not self.state
                    self.state = state
                case PathSelected(path):
                    self.selected = path
                case PathRetired(path):
                    assert path == self.selected
                    self.selected = None
        assert agent.state is self.state
        assert agent.selected == (None if agent.state is IceState.CLOSED else self.selected)
        if agent.state in CONNECTED:
            assert agent.selected is not None
            assert agent.is_validated(agent.selected)
        elif agent.state is not IceState.DISCONNECTED:
            assert agent.selected is None
        assert agent.outgoing(self.now) == []
        assert agent.ufrags() == []
        assert len(self.gathered - self.released) <= 2
        assert agent.statistics().paths <= 2 * REMOTES

    def end(self) -> None:
        """Check the end: silence, then a peer that follows the protocol, then close."""
        agent = self.agent
        if agent.state is not IceState.CLOSED:
            agent.set_remote(Credentials("last", "theirs"), self.now)
            self.pass_time(2 * FAILED_AFTER)  # a pending restart has its own timeout
            states = [agent.state]
            agent.restart(self.credentials(), self.now)
            agent.set_remote(Credentials("very last", "theirs"), self.now)
            states.append(agent.state)
            agent.report(Validated(self.ufrags[-1], path_of(self.ufrags[-1], 0), answered=True), self.now)
            states.append(agent.state)
            agent.report(Nominated(self.ufrags[-1], path_of(self.ufrags[-1], 1)), self.now)
            states.append(agent.state)
            assert states == [IceState.FAILED, IceState.CHECKING, IceState.CONNECTED, IceState.COMPLETED]
            assert agent.selected == path_of(self.ufrags[-1], 1)
        agent.close()
        self.settle()
        assert agent.next_timeout() is None
        assert self.gathered == self.released


def one_input(data: bytes) -> None:
    """Run one program."""
    script = Script()
    for at in range(0, min(len(data) - 1, 2 * MAX_STEPS), 2):
        script.step(data[at], data[at + 1])
    script.end()
