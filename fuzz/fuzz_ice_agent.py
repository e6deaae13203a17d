"""The ICE-lite agent under any datagrams, restarts and ticks: it never raises, spins, grows or gets stuck.

The input is a program. Each step is a byte for the action, a byte of detail, and for some actions a length and
that many bytes. The harness signs checks with passwords that are valid, were valid, or never were. It keeps its
own record of what is valid, and the agent must agree with it after every step:

* only a check with a valid password is answered, validates a path or changes the state;
* every datagram is counted once; every answer is sent on the path of its request, signed with the same
  password;
* the sum of the events gives the routes, the state and the selected path;
* a timer that has been handled is not due again at once.

At the end the peer is silent, and the agent must fail. Then the peer restarts and nominates, and the agent must
be completed.
"""

from typing import Any

from deadlines import run_due

from sfu.ice import attributes as a
from sfu.ice.agent import FAILED_AFTER
from sfu.ice.credentials import Credentials
from sfu.ice.events import (
    CredentialsAdded,
    CredentialsRetired,
    IceState,
    PathRetired,
    PathSelected,
    PathValidated,
    StateChanged,
)
from sfu.ice.lite import MAX_ANSWERS, IceLiteAgent
from sfu.ice.path import Address, IcePath
from sfu.ice.stun import BINDING, MessageClass, StunMessage
from sfu.ice.validated_paths import MAX_PATHS

TARGETS = ("sfu.ice.agent", "sfu.ice.lite", "sfu.ice.validated_paths")
"""The modules whose coverage is measured."""

MAX_STEPS = 200
PATHS = [IcePath(None, Address(f"192.0.2.{number}", 5000)) for number in range(24)]
UNKNOWN = 0x7FFF
"""An unknown comprehension-required attribute type."""
SILENT = frozenset((IceState.FAILED, IceState.CLOSED))
"""States in which all datagrams are dropped."""


class Script:
    """An agent, its peer, and the harness's record of both."""

    def __init__(self) -> None:
        self.now = 100.0
        self.generation = 0
        self.retired: list[Credentials] = []
        first = self.credentials()
        self.agent = IceLiteAgent(first, now=self.now)
        self.routes = {first.ufrag}
        self.paths: set[IcePath] = set()
        self.state = IceState.NEW
        self.selected: IcePath | None = None
        self.datagrams = 0
        self.checks: list[bytes] = []

    def credentials(self) -> Credentials:
        """New credentials."""
        self.generation += 1
        return Credentials(f"g{self.generation}", f"password {self.generation}")

    def step(self, what: int, detail: int, data: bytes) -> int:
        """Do one step; return how many bytes of `data` it has used."""
        agent = self.agent
        path = PATHS[detail % len(PATHS)]
        match what % 12:
            case 0 | 1 | 2 | 3:
                self.check(path, options=what >> 4, whose=what & 3, priority=data[:1])
                return 1
            case 4:
                self.deliver(data[1 : 1 + detail], path, forged=True)
                return 1 + detail
            case 5 if self.checks:
                changed = bytearray(self.checks[detail % len(self.checks)])
                changed[detail * 31 % len(changed)] ^= data[0] if data else 1
                # Bytes after MESSAGE-INTEGRITY may change, so this check may be valid or not.
                self.deliver(bytes(changed), path)
                return 1
            case 6:
                self.pass_time(detail / 16)
            case 7:
                self.pass_time(float(detail))
            case 8:
                agent.set_remote(Credentials("them", "theirs"), self.now)
            case 9 if agent.state is not IceState.CLOSED:
                self.restart()
            case 10:
                agent.alive(path, self.now)
            case 11 if detail == 255:
                agent.close()
            case 11:
                agent.lose(path)
        self.settle()
        return 0

    def check(self, path: IcePath, *, options: int, whose: int, priority: bytes) -> None:
        """A check with a valid or an invalid password."""
        agent = self.agent
        candidates = [agent.local, agent.pending or agent.local, Credentials("g1", "guessed")]
        candidates.append(self.retired[-1] if self.retired else Credentials("nobody", "nobody's"))
        credentials = candidates[whose]
        attributes: list[tuple[a.Attribute[Any] | int, Any]] = [(a.USERNAME, f"{credentials.ufrag}:them")]
        if options & 1:
            attributes.append((a.USE_CANDIDATE, True))
        if options & 2:
            attributes.append((a.PRIORITY, int.from_bytes(priority) << 16))
        if options & 12 == 4:
            attributes.append((a.ICE_CONTROLLED, 1))
        if options & 12 == 8:
            attributes.append((UNKNOWN, b"what"))
        kind = {12: MessageClass.INDICATION, 14: MessageClass.SUCCESS}.get(options, MessageClass.REQUEST)
        method = 2 if options == 13 else BINDING
        message = StunMessage(kind, bytes(11) + bytes((options,)), tuple(attributes), method)
        data = message.serialize(credentials.pwd.encode())
        self.checks = [*self.checks[-7:], data]
        known = credentials in (agent.local, agent.pending)
        good = known and kind is MessageClass.REQUEST and method == BINDING
        self.deliver(data, path, good=credentials if good else None, forged=not good)

    def deliver(
        self, data: bytes, path: IcePath, *, good: Credentials | None = None, forged: bool = False
    ) -> None:
        """A datagram arrives. It must be answered if it is signed by `good`, and not if it is `forged`."""
        agent = self.agent
        before = agent.state
        accepted = agent.statistics().checks
        agent.receive(data, path, self.now)
        self.datagrams += 1
        answers = agent.outgoing(self.now)
        if before in SILENT or forged:
            assert not answers
        elif good is not None:
            assert len(answers) == 1
        for answer, towards in answers:
            assert towards is path
            request, response = StunMessage.parse(data), StunMessage.parse(answer)
            assert response.transaction_id == request.transaction_id
            assert good is None or response.has_integrity(good.pwd.encode())
            assert len(answer) <= len(data) + 100
        if agent.statistics().checks == accepted:
            assert agent.state is before
        else:
            assert answers
            assert agent.is_validated(path)
        self.settle()

    def restart(self) -> None:
        """Restart with new credentials; the old ones stay valid for a while."""
        self.retired = [*self.retired[-3:], self.agent.local]
        self.agent.restart(self.credentials(), self.now)
        self.settle()

    def pass_time(self, seconds: float) -> None:
        """Advance the time and handle each timer when it is due."""
        self.now += seconds
        run_due(self.agent, self.now, self.settle)

    def settle(self) -> None:
        """Sum up the events, and compare with the agent."""
        agent = self.agent
        for event in agent.events():
            match event:
                case StateChanged(state):
                    assert state is not self.state
                    self.state = state
                case PathValidated(path):
                    assert path not in self.paths
                    self.paths.add(path)
                case PathRetired(path):
                    self.paths.remove(path)
                case PathSelected(path):
                    self.selected = path
                case CredentialsAdded(ufrag):
                    assert ufrag not in self.routes
                    self.routes.add(ufrag)
                case CredentialsRetired(ufrag):
                    self.routes.remove(ufrag)
        assert agent.state is self.state
        if agent.state is IceState.CLOSED:
            assert not self.routes
        else:
            assert self.routes == set(agent.ufrags())
        assert self.paths == {path for path in PATHS if agent.is_validated(path)}
        assert len(self.paths) <= MAX_PATHS
        if self.paths:
            assert agent.selected == self.selected
            assert agent.selected in self.paths
        else:
            assert agent.selected is None
        assert len(agent.outgoing(self.now)) <= MAX_ANSWERS
        statistics = agent.statistics()
        assert statistics.paths == len(self.paths)
        assert statistics.checks + sum(statistics.drops.values()) == self.datagrams
        if agent.state in (IceState.CONNECTED, IceState.COMPLETED):
            assert agent.selected is not None
        if agent.state in (IceState.CONNECTED, IceState.COMPLETED, IceState.DISCONNECTED):
            assert agent.next_timeout() is not None
        else:
            assert not self.paths

    def end(self) -> None:
        """Check the end: silence, then a peer that follows the protocol, then close."""
        agent = self.agent
        if agent.state is not IceState.CLOSED:
            agent.set_remote(Credentials("them", "theirs"), self.now)
            self.pass_time(2 * FAILED_AFTER)  # a pending restart has its own timeout
            states = [agent.state]
            self.restart()
            states.append(agent.state)
            self.check(PATHS[0], options=0, whose=0, priority=b"")
            states.append(agent.state)
            self.check(PATHS[1], options=1, whose=0, priority=b"")
            self.check(PATHS[0], options=1, whose=0, priority=b"")
            states.append(agent.state)
            assert states == [IceState.FAILED, IceState.CHECKING, IceState.CONNECTED, IceState.COMPLETED]
            assert agent.selected == PATHS[0]
        agent.close()
        self.settle()
        assert agent.next_timeout() is None
        self.deliver(self.checks[-1] if self.checks else b"", PATHS[0])


def one_input(data: bytes) -> None:
    """Run one program."""
    script = Script()
    offset = 0
    for _ in range(MAX_STEPS):
        if offset + 2 > len(data):
            break
        what, detail = data[offset : offset + 2]
        offset += 2
        offset += script.step(what, detail, data[offset : offset + 256])
    script.end()
