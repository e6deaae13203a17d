"""The full agent as its transport sees it: its requests, and its states after reports of the shell."""

import pytest

from sfu.ice.agent import DISCONNECTED_AFTER, FAILED_AFTER, IceAgent
from sfu.ice.candidate import Candidate
from sfu.ice.credentials import Credentials
from sfu.ice.events import IceState, PathRetired, PathSelected, StateChanged
from sfu.ice.full import MAX_CANDIDATES, FullIceAgent
from sfu.ice.full_messages import (
    Connect,
    Gather,
    Heard,
    Lost,
    Nominated,
    Release,
    Retired,
    TryCandidate,
    Validated,
)
from sfu.ice.path import Address, IcePath

OURS, AGAIN, THIRD = (Credentials(name, "a password of some length") for name in ("ours", "again", "third"))
THEIRS, THEIRS_AGAIN = Credentials("theirs", "another password"), Credentials("new", "a third password")
HOST = IcePath(Address("192.0.2.1", 4000), Address("198.51.100.7", 5000))
RELAY = IcePath(Address("203.0.113.1", 4001), Address("198.51.100.7", 5000))


def state(agent: FullIceAgent) -> IceState:
    """The agent's state. It is a function because mypy takes an attribute for constant after an assertion."""
    return agent.state


def candidate(port: int = 5000, extra: str = "", transport: str = "udp", component: int = 1) -> Candidate:
    """A candidate of the peer."""
    return Candidate.parse(f"candidate:1 {component} {transport} 1 198.51.100.7 {port} typ host{extra}")


def connected() -> FullIceAgent:
    """An agent whose first generation has nominated a path at 1.0."""
    agent = FullIceAgent(OURS, now=0.0)
    agent.set_remote(THEIRS, 0.5)
    agent.report(Validated("ours", HOST, True), 1.0)
    agent.report(Nominated("ours", HOST), 1.0)
    agent.requests()
    agent.events()
    return agent


def test_it_is_an_ice_agent() -> None:
    agent: IceAgent = FullIceAgent(OURS, now=0.0)
    assert (agent.ufrags(), agent.outgoing(0.0)) == ([], [])
    agent.receive(b"\0\1", HOST, 0.0)
    assert agent.statistics().drops == {"ice-unexpected": 1}


def test_from_gathering_to_a_nominated_path() -> None:
    agent = FullIceAgent(OURS, now=0.0)
    assert agent.requests() == [Gather(OURS)]
    assert (agent.requests(), agent.events()) == ([], [])
    assert agent.next_timeout() is None
    agent.controlling = True
    agent.set_remote(THEIRS, 0.5)
    assert agent.requests() == [Connect("ours", THEIRS, True)]
    assert agent.next_timeout() == 0.5 + FAILED_AFTER
    agent.report(Validated("ours", RELAY, False), 0.9)
    assert (agent.selected, agent.is_validated(RELAY), agent.is_validated(HOST)) == (None, True, False)
    agent.report(Validated("ours", RELAY, True), 1.0)
    agent.report(Validated("ours", HOST, True), 1.1)
    assert agent.selected == RELAY
    agent.report(Nominated("ours", HOST), 1.2)
    assert agent.selected == HOST
    assert agent.events() == [
        StateChanged(IceState.CHECKING),
        PathSelected(RELAY),
        StateChanged(IceState.CONNECTED),
        PathSelected(HOST),
        StateChanged(IceState.COMPLETED),
    ]
    statistics = agent.statistics()
    assert (statistics.paths, statistics.path_changes, statistics.checks) == (2, 1, 4)


def test_a_renegotiation_changes_nothing() -> None:
    agent = connected()
    agent.set_remote(THEIRS, 2.0)
    assert (agent.requests(), agent.events()) == ([], [])


def test_silence_disconnects_and_a_sign_of_life_reconnects() -> None:
    agent = connected()
    assert agent.next_timeout() == 1.0 + DISCONNECTED_AFTER
    agent.handle_timeout(1.0)
    assert state(agent) is IceState.COMPLETED
    agent.handle_timeout(1.0 + DISCONNECTED_AFTER)
    assert state(agent) is IceState.DISCONNECTED
    assert agent.next_timeout() == 1.0 + FAILED_AFTER
    agent.alive(RELAY, 9.0)
    assert state(agent) is IceState.DISCONNECTED
    agent.alive(HOST, 9.0)
    assert state(agent) is IceState.COMPLETED
    agent.handle_timeout(1.0 + DISCONNECTED_AFTER)
    assert state(agent) is IceState.COMPLETED
    # Checks renew consent, RTCP does not.
    assert agent.next_timeout() == 9.0 + DISCONNECTED_AFTER
    agent.report(Heard("ours", RELAY), 10.0)
    assert agent.next_timeout() == 9.0 + DISCONNECTED_AFTER
    agent.report(Heard("ours", HOST), 10.0)
    assert agent.next_timeout() == 10.0 + DISCONNECTED_AFTER
    agent.alive(HOST, 35.0)
    assert agent.next_timeout() == 10.0 + FAILED_AFTER
    agent.handle_timeout(10.0 + FAILED_AFTER)
    assert (agent.state, agent.selected, agent.next_timeout()) == (IceState.FAILED, None, None)
    assert agent.requests() == [Release("ours")]
    agent.handle_timeout(100.0)
    assert not agent.is_validated(HOST)


def test_unanswered_checks_fail() -> None:
    agent = FullIceAgent(OURS, now=0.0)
    agent.set_remote(THEIRS, 0.5)
    agent.report(Validated("ours", HOST, False), 5.0)
    agent.alive(HOST, 6.0)
    assert state(agent) is IceState.CHECKING
    agent.handle_timeout(0.5 + FAILED_AFTER)
    assert state(agent) is IceState.FAILED


def test_a_lost_generation_fails_at_once_and_a_restart_starts_checking() -> None:
    agent = connected()
    agent.report(Lost("ours"), 2.0)
    agent.report(Nominated("ours", HOST), 2.0)
    assert (agent.state, agent.selected) == (IceState.FAILED, None)
    agent.alive(HOST, 2.0)
    agent.restart(AGAIN, 3.0)
    assert (agent.local, agent.pending, agent.state) == (AGAIN, None, IceState.CHECKING)
    assert agent.requests() == [Release("ours"), Gather(AGAIN)]
    agent.set_remote(THEIRS_AGAIN, 4.0)
    assert agent.requests() == [Connect("again", THEIRS_AGAIN, False)]
    agent.report(Lost("ours"), 4.0)
    assert state(agent) is IceState.CHECKING
    # The old nomination has no effect.
    agent.report(Validated("again", HOST, True), 4.5)
    assert (state(agent), agent.selected) == (IceState.CONNECTED, HOST)
    agent.report(Nominated("again", RELAY), 5.0)
    assert (state(agent), agent.selected) == (IceState.COMPLETED, RELAY)
    assert agent.statistics().path_changes == 1


def test_a_restart_keeps_the_old_path_until_it_nominates() -> None:
    agent = connected()
    agent.restart(AGAIN, 2.0)
    assert agent.requests() == [Gather(AGAIN)]
    agent.restart(THIRD, 2.5)
    agent.set_remote(THEIRS_AGAIN, 3.0)
    assert agent.requests() == [Release("again"), Gather(THIRD), Connect("third", THEIRS_AGAIN, False)]
    agent.report(Nominated("again", RELAY), 3.5)
    agent.report(Validated("third", RELAY, True), 4.0)
    assert (agent.selected, agent.is_validated(HOST), agent.is_validated(RELAY)) == (HOST, True, True)
    assert agent.events() == []
    agent.report(Nominated("third", RELAY), 5.0)
    assert (agent.selected, agent.is_validated(HOST)) == (RELAY, False)
    assert (agent.local, agent.pending) == (THIRD, None)
    assert agent.requests() == [Release("ours")]
    assert agent.events() == [PathSelected(RELAY)]


def test_a_restart_that_fails_leaves_the_old_path() -> None:
    agent = connected()
    agent.restart(AGAIN, 2.0)
    agent.report(Lost("again"), 3.0)
    assert (agent.state, agent.selected) == (IceState.COMPLETED, HOST)
    # When the old path fails, the failed restart is not used.
    agent.report(Lost("ours"), 4.0)
    assert state(agent) is IceState.FAILED
    agent.restart(THIRD, 5.0)
    agent.report(Lost("third"), 6.0)
    assert state(agent) is IceState.FAILED


def test_a_restart_continues_when_the_old_consent_expires() -> None:
    agent = connected()
    agent.restart(AGAIN, 20.0)
    agent.set_remote(THEIRS_AGAIN, 21.0)
    agent.requests()
    agent.handle_timeout(1.0 + FAILED_AFTER)
    assert agent.events() == [PathRetired(HOST), StateChanged(IceState.CHECKING)]
    assert (agent.selected, agent.local, agent.pending) == (None, AGAIN, None)
    assert agent.requests() == [Release("ours")]
    agent.report(Nominated("again", RELAY), 40.0)
    assert (agent.state, agent.selected) == (IceState.COMPLETED, RELAY)
    # A nomination includes an answer to a check, so it renews consent.
    assert agent.is_validated(RELAY)
    agent.alive(RELAY, 65.0)
    assert agent.next_timeout() == 40.0 + FAILED_AFTER


def test_a_restart_continues_when_the_old_sockets_fail() -> None:
    agent = connected()
    agent.restart(AGAIN, 2.0)
    agent.report(Lost("again"), 2.5)
    agent.restart(THIRD, 3.0)
    agent.report(Lost("ours"), 4.0)
    assert (agent.state, agent.selected, agent.local) == (IceState.CHECKING, None, THIRD)
    assert agent.next_timeout() == 4.0 + FAILED_AFTER
    agent.handle_timeout(4.0 + FAILED_AFTER)
    assert state(agent) is IceState.FAILED


def test_consent_is_an_answer_on_the_path_in_use() -> None:
    agent = connected()
    agent.restart(AGAIN, 5.0)
    for now in (10.0, 20.0, 30.0):
        # The peer is alive. But its own checks on the path in use (their address may be forged), and checks on
        # other paths, do not show that it still consents to receive on the path in use.
        agent.report(Validated("ours", HOST, False), now)
        agent.report(Validated("ours", RELAY, True), now)
        agent.report(Heard("ours", RELAY), now)
        agent.report(Validated("again", RELAY, True), now)
    assert (agent.state, agent.next_timeout()) == (IceState.COMPLETED, 1.0 + FAILED_AFTER)
    agent.report(Validated("ours", HOST, True), 30.5)
    assert agent.next_timeout() == 30.5 + DISCONNECTED_AFTER


def test_paths_are_retired_but_never_the_one_in_use() -> None:
    agent = connected()
    agent.report(Validated("ours", RELAY, False), 2.0)
    for path in (HOST, RELAY, RELAY):
        agent.report(Retired("ours", path), 3.0)
    assert (agent.is_validated(HOST), agent.is_validated(RELAY)) == (True, False)


def test_candidates_wait_for_the_description_that_they_belong_to() -> None:
    agent = FullIceAgent(OURS, now=0.0)
    early, foreign = candidate(1), candidate(2, " ufrag other")
    agent.add_candidate(early)
    agent.add_candidate(foreign)
    agent.set_remote(THEIRS, 0.5)
    mine = candidate(3, " ufrag theirs")
    agent.add_candidate(mine)
    agent.add_candidate(mine)
    assert agent.requests()[2:] == [TryCandidate("ours", early), TryCandidate("ours", mine)]
    agent.restart(AGAIN, 1.0)
    agent.set_remote(Credentials("other", "password"), 1.0)
    assert agent.requests()[2:] == [TryCandidate("again", foreign)]


@pytest.mark.parametrize("extra", ["", " ufrag theirs"])
def test_candidates_stay_with_their_description_while_a_restart_waits_for_the_next(extra: str) -> None:
    agent = connected()
    agent.restart(AGAIN, 2.0)
    old, new = candidate(1, extra), candidate(2)
    agent.add_candidate(old)
    assert agent.requests() == [Gather(AGAIN), TryCandidate("ours", old)]
    agent.set_remote(THEIRS_AGAIN, 3.0)
    agent.add_candidate(new)
    assert agent.requests()[1:] == [TryCandidate("again", new)]


def test_candidates_of_an_ended_generation_are_dropped() -> None:
    agent = connected()
    agent.report(Lost("ours"), 2.0)
    agent.restart(AGAIN, 3.0)
    agent.requests()
    agent.add_candidate(candidate())
    assert (agent.requests(), agent.drops) == ([], {"ice-candidate-late": 1})


def test_a_restart_before_the_first_description_waits_for_it() -> None:
    agent = FullIceAgent(OURS, now=0.0)
    agent.report(Lost("ours"), 1.0)
    agent.restart(AGAIN, 2.0)
    assert (agent.state, agent.next_timeout()) == (IceState.NEW, None)
    agent.set_remote(THEIRS, 100.0)
    assert (agent.state, agent.next_timeout()) == (IceState.CHECKING, 100.0 + FAILED_AFTER)
    assert agent.requests() == [Gather(AGAIN), Connect("again", THEIRS, False)]


def test_a_description_for_an_ended_generation_is_ignored() -> None:
    agent = FullIceAgent(OURS, now=0.0)
    agent.requests()
    agent.report(Lost("ours"), 1.0)
    agent.requests()
    agent.set_remote(THEIRS, 2.0)
    agent.add_candidate(candidate())
    assert (agent.requests(), agent.state) == ([], IceState.FAILED)
    agent.restart(AGAIN, 3.0)
    agent.set_remote(THEIRS_AGAIN, 4.0)
    assert agent.requests()[-1] == Connect("again", THEIRS_AGAIN, False)


def test_unusable_candidates_are_counted_and_the_rest_is_bounded() -> None:
    agent = FullIceAgent(OURS, now=0.0)
    agent.set_remote(THEIRS, 0.0)
    agent.requests()
    for useless in (candidate(transport="tcp"), candidate(component=2), candidate(0)):
        agent.add_candidate(useless)
    for port in range(1, MAX_CANDIDATES + 3):
        agent.add_candidate(candidate(port))
    assert len(agent.requests()) == MAX_CANDIDATES
    assert agent.drops == {"ice-candidate-unusable": 3, "ice-candidates-too-many": 2}
    for port in range(2 * MAX_CANDIDATES):
        agent.add_candidate(candidate(port + 1, " ufrag later"))
    agent.restart(AGAIN, 1.0)
    agent.set_remote(Credentials("later", "password"), 1.0)
    assert sum(isinstance(request, TryCandidate) for request in agent.requests()) == MAX_CANDIDATES


def test_close_releases_everything() -> None:
    agent = connected()
    agent.restart(AGAIN, 2.0)
    agent.requests()
    agent.close()
    agent.close()
    assert agent.requests() == [Release("ours"), Release("again")]
    assert (agent.state, agent.selected, agent.next_timeout()) == (IceState.CLOSED, None, None)
    agent.report(Nominated("ours", HOST), 3.0)
    agent.set_remote(THEIRS_AGAIN, 3.0)
    assert agent.requests() == []
    assert agent.events() == [StateChanged(IceState.CLOSED)]
    with pytest.raises(RuntimeError):
        agent.restart(THIRD, 3.0)


def test_a_generation_that_was_never_gathered_is_not_released() -> None:
    agent = connected()
    agent.restart(AGAIN, 2.0)
    agent.set_remote(THEIRS_AGAIN, 2.2)
    agent.add_candidate(candidate())
    agent.restart(THIRD, 2.5)
    assert agent.requests() == [Gather(THIRD)]
    agent = FullIceAgent(OURS, now=0.0)
    agent.close()
    assert agent.requests() == []
