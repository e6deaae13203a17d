from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.ice import attributes as a
from sfu.ice.agent import DISCONNECTED_AFTER, FAILED_AFTER
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
from sfu.ice.stun import MessageClass, StunMessage
from sfu.ice.validated_paths import FORGET_AFTER, MAX_PATHS, OVERDUE_AFTER, STALE_AFTER

OURS = Credentials("ours", "our password of some length")
NEW = Credentials("fresh", "our fresh password of some length")
THEIRS = Credentials("them", "their password of some length")
PATHS = [IcePath(None, Address(f"192.0.2.{n}", 5000 + n)) for n in range(64)]
P0, P1, P2 = PATHS[:3]


def check(
    *extra: tuple[Any, Any],
    nominate: bool = False,
    local: Credentials = OURS,
    pwd: str | None = None,
    priority: int = 100,
    transaction_id: bytes = bytes(12),
) -> bytes:
    """A connectivity check of a full agent."""
    attributes = (
        (a.USERNAME, f"{local.ufrag}:{THEIRS.ufrag}"),
        (a.PRIORITY, priority),
        (a.ICE_CONTROLLING, 7),
        *(((a.USE_CANDIDATE, True),) if nominate else ()),
        *extra,
    )
    message = StunMessage(MessageClass.REQUEST, transaction_id, attributes)
    return message.serialize((pwd or local.pwd).encode())


def bare(message_class: MessageClass, *attributes: tuple[Any, Any], method: int = 1) -> StunMessage:
    return StunMessage(message_class, bytes(12), attributes, method)


def state(agent: IceLiteAgent) -> IceState:
    """The agent's state. It is a function because mypy takes an attribute for constant after an assertion."""
    return agent.state


@pytest.fixture
def agent() -> IceLiteAgent:
    return IceLiteAgent(OURS, now=0.0)


@pytest.fixture
def connected(agent: IceLiteAgent) -> IceLiteAgent:
    """An agent whose peer nominated P0 at 0.0."""
    agent.receive(check(), P0, 0.0)
    agent.receive(check(nominate=True), P0, 0.0)
    agent.outgoing(0.0)
    agent.events()
    return agent


def test_check_is_answered_and_validates_its_path(agent: IceLiteAgent) -> None:
    agent.receive(check(transaction_id=b"transaction!"), P1, 1.0)
    [(data, path)] = agent.outgoing(1.0)
    answer = StunMessage.parse(data)
    assert path == P1
    assert answer.message_class is MessageClass.SUCCESS
    assert answer.transaction_id == b"transaction!"
    assert answer.get(a.XOR_MAPPED_ADDRESS) == P1.remote
    assert answer.has_integrity(OURS.pwd.encode())
    assert agent.events() == [PathValidated(P1), PathSelected(P1), StateChanged(IceState.CONNECTED)]
    assert agent.is_validated(P1)
    assert not agent.is_validated(P0)
    assert agent.selected == P1
    assert agent.outgoing(1.0) == []
    assert agent.events() == []
    assert agent.statistics().checks == 1


def test_nomination_selects_and_completes(agent: IceLiteAgent) -> None:
    agent.receive(check(), P0, 0.0)
    agent.receive(check(), P1, 0.0)
    assert agent.selected == P0
    agent.events()
    agent.receive(check(nominate=True), P1, 0.1)
    assert agent.events() == [PathSelected(P1), StateChanged(IceState.COMPLETED)]
    assert agent.statistics().path_changes == 1


def test_states_before_the_first_check(agent: IceLiteAgent) -> None:
    assert state(agent) is IceState.NEW
    assert agent.next_timeout() is None
    agent.handle_timeout(1000.0)
    assert state(agent) is IceState.NEW
    agent.set_remote(THEIRS, 1000.0)
    assert state(agent) is IceState.CHECKING
    assert agent.next_timeout() == 1000.0 + FAILED_AFTER
    agent.handle_timeout(1000.0 + FAILED_AFTER - 0.1)
    assert state(agent) is IceState.CHECKING
    agent.handle_timeout(1000.0 + FAILED_AFTER)
    assert state(agent) is IceState.FAILED
    assert agent.next_timeout() is None
    assert agent.events() == [StateChanged(IceState.CHECKING), StateChanged(IceState.FAILED)]


def test_checks_may_come_before_the_remote_description(agent: IceLiteAgent) -> None:
    agent.receive(check(), P0, 0.0)
    agent.set_remote(THEIRS, 0.5)
    assert state(agent) is IceState.CONNECTED
    assert agent.remote == THEIRS


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "stun-truncated"),
        (check(pwd="wrong"), "ice-integrity"),
        (check(local=NEW), "ice-ufrag"),
        (
            StunMessage(MessageClass.REQUEST, bytes(12), ((a.USERNAME, "ours:them"),)).serialize(),
            "ice-integrity",
        ),
        (StunMessage(MessageClass.REQUEST, bytes(12)).serialize(OURS.pwd.encode()), "ice-ufrag"),
        (StunMessage(MessageClass.INDICATION, bytes(12)).serialize(), "stun-indication"),
        (StunMessage(MessageClass.SUCCESS, bytes(12)).serialize(), "stun-unexpected-response"),
        (StunMessage(MessageClass.ERROR, bytes(12)).serialize(), "stun-unexpected-response"),
        (StunMessage(MessageClass.REQUEST, bytes(12), method=3).serialize(OURS.pwd.encode()), "stun-method"),
    ],
)
def test_unauthenticated_datagrams_get_no_answer(agent: IceLiteAgent, data: bytes, reason: str) -> None:
    agent.receive(data, P0, 0.0)
    assert agent.outgoing(0.0) == []
    assert agent.events() == []
    assert agent.statistics().drops == {reason: 1}
    assert agent.statistics().checks == 0


def test_unknown_required_attributes_are_named(agent: IceLiteAgent) -> None:
    agent.receive(check((0x7FFE, b""), (0x7FFF, b"?"), (0xC057, b"fine")), P0, 0.0)
    [(data, path)] = agent.outgoing(0.0)
    answer = StunMessage.parse(data)
    assert path == P0
    assert answer.message_class is MessageClass.ERROR
    assert answer.get(a.ERROR_CODE) == a.ErrorCode(420, "Unknown Attribute")
    assert answer.get(a.UNKNOWN_ATTRIBUTES) == (0x7FFE, 0x7FFF)
    assert answer.has_integrity(OURS.pwd.encode())
    assert agent.events() == []
    assert agent.statistics().drops == {"stun-unknown-attribute": 1}


def test_controlled_peer_gets_a_role_conflict(agent: IceLiteAgent) -> None:
    agent.receive(check((a.ICE_CONTROLLED, 2**64 - 1)), P0, 0.0)
    [(data, _)] = agent.outgoing(0.0)
    assert StunMessage.parse(data).get(a.ERROR_CODE) == a.ErrorCode(487, "Role Conflict")
    assert state(agent) is IceState.NEW
    assert agent.statistics().drops == {"ice-role-conflict": 1}


def test_vendor_attributes_are_tolerated(agent: IceLiteAgent) -> None:
    agent.receive(check((0xC057, b"\0\x01\0\x0a"), (0xC001, b"\0\0\0\x01")), P0, 0.0)
    assert state(agent) is IceState.CONNECTED


def test_unsent_answers_are_bounded(agent: IceLiteAgent) -> None:
    for _ in range(MAX_ANSWERS + 10):
        agent.receive(check(), P0, 0.0)
    assert len(agent.outgoing(0.0)) == MAX_ANSWERS


# Nomination


def test_latest_decision_wins(connected: IceLiteAgent) -> None:
    connected.receive(check(priority=1), P1, 1.0)
    assert connected.selected == P0
    connected.receive(check(priority=1, nominate=True), P1, 1.1)
    assert connected.selected == P1
    connected.receive(check(nominate=True), P0, 1.2)
    assert connected.selected == P0


def test_aggressive_nomination_means_the_highest_priority(agent: IceLiteAgent) -> None:
    agent.receive(check(nominate=True, priority=10), P0, 0.0)
    agent.receive(check(nominate=True, priority=30), P1, 0.0)
    agent.receive(check(nominate=True, priority=20), P2, 0.0)
    assert agent.selected == P1
    agent.receive(check(nominate=True, priority=10), P0, 1.0)
    assert agent.selected == P1
    agent.receive(check(nominate=True, priority=20), P2, STALE_AFTER)
    assert agent.selected == P2


def test_rebound_address_takes_over_at_once_when_each_check_nominates(connected: IceLiteAgent) -> None:
    connected.receive(check(nominate=True), P1, 2.0)
    assert connected.selected == P1


def test_known_path_takes_over_from_a_silent_one_without_nomination(connected: IceLiteAgent) -> None:
    connected.receive(check(), P1, 0.0)
    connected.receive(check(), P1, STALE_AFTER - 0.1)
    assert connected.selected == P0
    connected.receive(check(), P1, STALE_AFTER)
    assert connected.selected == P1
    assert state(connected) is IceState.COMPLETED
    connected.receive(check(), P1, STALE_AFTER * 3)
    assert connected.selected == P1


def test_new_path_takes_over_sooner(connected: IceLiteAgent) -> None:
    connected.receive(check(), P1, OVERDUE_AFTER - 0.1)
    assert connected.selected == P0
    connected.receive(check(), P2, OVERDUE_AFTER)
    assert connected.selected == P2


def test_firefox_behind_a_nat_that_forgets(agent: IceLiteAgent) -> None:
    """As recorded: one nominating check, then consent checks without nomination and with another priority."""
    agent.receive(check(nominate=True, priority=1853751551), P0, 0.0)
    agent.receive(check(priority=2122187007), P0, 5.6)
    agent.handle_timeout(5.6 + DISCONNECTED_AFTER - 0.1)
    assert state(agent) is IceState.COMPLETED
    agent.receive(check(priority=2122187007), P1, 11.1)
    assert agent.selected == P1
    assert state(agent) is IceState.COMPLETED
    # The priority of consent checks does not prevent another nomination.
    agent.receive(check(nominate=True, priority=1853751551), P2, 11.2)
    assert agent.selected == P2


def test_nomination_without_priority_counts_as_lowest(agent: IceLiteAgent) -> None:
    attributes = ((a.USERNAME, "ours:them"), (a.USE_CANDIDATE, True))
    data = StunMessage(MessageClass.REQUEST, bytes(12), attributes).serialize(OURS.pwd.encode())
    agent.receive(data, P0, 0.0)
    agent.receive(check(nominate=True, priority=1), P1, 0.0)
    agent.receive(data, P0, 0.1)
    assert agent.selected == P1


# Liveness


def test_silence_disconnects_and_then_fails(connected: IceLiteAgent) -> None:
    assert connected.next_timeout() == DISCONNECTED_AFTER
    connected.handle_timeout(DISCONNECTED_AFTER - 0.1)
    assert connected.events() == []
    connected.handle_timeout(DISCONNECTED_AFTER)
    assert connected.events() == [StateChanged(IceState.DISCONNECTED)]
    assert connected.selected == P0
    assert connected.next_timeout() == FAILED_AFTER
    connected.handle_timeout(FAILED_AFTER)
    assert connected.events() == [PathRetired(P0), StateChanged(IceState.FAILED)]
    assert connected.selected is None
    assert connected.next_timeout() is None


def test_check_reconnects(connected: IceLiteAgent) -> None:
    connected.handle_timeout(DISCONNECTED_AFTER)
    connected.events()
    connected.receive(check(), P0, 20.0)
    assert connected.events() == [StateChanged(IceState.COMPLETED)]
    assert connected.next_timeout() == 20.0 + DISCONNECTED_AFTER


def test_media_is_a_sign_of_life_but_does_not_renew_consent(connected: IceLiteAgent) -> None:
    for now in range(1, 30):
        connected.alive(P0, float(now))
        connected.handle_timeout(float(now))
    assert connected.events() == []
    connected.handle_timeout(FAILED_AFTER)
    assert state(connected) is IceState.FAILED


def test_media_reconnects(connected: IceLiteAgent) -> None:
    connected.handle_timeout(DISCONNECTED_AFTER)
    connected.alive(P1, 8.0)
    assert state(connected) is IceState.DISCONNECTED
    connected.alive(P0, 8.0)
    assert state(connected) is IceState.COMPLETED


def test_an_old_path_that_takes_over_is_not_forgotten_while_it_is_in_use(connected: IceLiteAgent) -> None:
    for now in (9.0, 31.0):
        connected.receive(check(), P1, now)
    connected.lose(P1)
    assert connected.selected == P0
    connected.alive(P0, 55.0)
    connected.handle_timeout(FORGET_AFTER)
    assert (connected.selected, connected.is_validated(P0)) == (P0, True)
    assert connected.next_timeout() == 31.0 + FAILED_AFTER
    connected.receive(check(), P2, 60.5)
    assert connected.selected == P2
    connected.events()
    connected.handle_timeout(60.5)
    assert connected.events() == [PathRetired(P0)]


def test_failed_is_final_without_a_restart(connected: IceLiteAgent) -> None:
    connected.handle_timeout(FAILED_AFTER)
    connected.events()
    connected.receive(check(), P0, FAILED_AFTER + 1)
    assert connected.events() == []
    assert connected.outgoing(0.0) == []
    assert connected.statistics().drops == {"ice-failed": 1}


def test_unchecked_paths_are_forgotten(connected: IceLiteAgent) -> None:
    connected.receive(check(), P1, 0.0)
    connected.receive(check(), P0, 4.0)
    connected.receive(check(), P2, 5.0)
    connected.events()
    for now in range(3, 30):
        connected.receive(check(), P0, float(now) * 2)
    connected.outgoing(0.0)
    assert connected.next_timeout() == FORGET_AFTER
    connected.handle_timeout(FORGET_AFTER)
    assert connected.events() == [PathRetired(P1)]
    assert connected.next_timeout() == 5.0 + FORGET_AFTER


def test_paths_are_bounded_and_the_one_in_use_stays(connected: IceLiteAgent) -> None:
    for path in PATHS[1:]:
        connected.receive(check(), path, 1.0)
    retired = [event.path for event in connected.events() if isinstance(event, PathRetired)]
    assert retired == PATHS[1 : 1 + len(PATHS) - MAX_PATHS]
    assert connected.statistics().paths == MAX_PATHS
    assert connected.is_validated(P0)
    assert connected.selected == P0


def test_the_least_recently_checked_path_is_dropped(connected: IceLiteAgent) -> None:
    for path in PATHS[1:MAX_PATHS]:
        connected.receive(check(), path, 1.0)
    connected.receive(check(), P1, 2.0)
    connected.events()
    connected.receive(check(), PATHS[MAX_PATHS], 3.0)
    retired = [event.path for event in connected.events() if isinstance(event, PathRetired)]
    assert retired == [P2]


# Restart


def tcp(number: int) -> IcePath:
    """A TCP path from another port for each number."""
    return IcePath(None, Address("192.0.2.99", 6000 + number), transport="tcp")


def test_tcp_is_checked_and_nominated_like_udp(agent: IceLiteAgent) -> None:
    agent.receive(check(nominate=True), tcp(0), 0.0)
    [(data, path)] = agent.outgoing(0.0)
    assert path == tcp(0)
    assert StunMessage.parse(data).get(a.XOR_MAPPED_ADDRESS) == tcp(0).remote
    assert agent.selected == tcp(0)
    # The client finds UDP a little later, and nominates it.
    agent.receive(check(), P0, 0.1)
    assert agent.selected == tcp(0)
    agent.receive(check(nominate=True), P0, 0.2)
    assert agent.selected == P0


def test_aggressive_nomination_prefers_udp_whichever_comes_first(agent: IceLiteAgent) -> None:
    agent.receive(check(nominate=True, priority=2_000_000_000), P0, 0.0)
    agent.receive(check(nominate=True, priority=1_500_000_000), tcp(0), 0.1)
    assert agent.selected == P0


def test_a_tcp_connection_is_not_a_rebound_udp_address(connected: IceLiteAgent) -> None:
    """Firefox checks UDP every 4 to 6 s. A check by TCP in between is not a new NAT mapping."""
    connected.receive(check(), tcp(0), OVERDUE_AFTER + 0.1)
    assert connected.selected == P0
    connected.receive(check(), tcp(0), STALE_AFTER)
    assert connected.selected == tcp(0)


def test_lost_connection_is_retired_and_the_latest_other_path_takes_over(agent: IceLiteAgent) -> None:
    for time, path in ((0.0, P0), (0.1, P1), (0.2, tcp(0)), (0.3, P1)):
        agent.receive(check(), path, time)
    agent.receive(check(nominate=True), tcp(0), 0.4)
    agent.events()
    agent.lose(tcp(0))
    assert agent.events() == [PathSelected(P1), PathRetired(tcp(0)), StateChanged(IceState.CONNECTED)]
    assert agent.selected == P1
    assert not agent.is_validated(tcp(0))
    assert agent.statistics().path_changes == 2
    # The client nominates a path again; the earlier nomination has no effect.
    agent.receive(check(nominate=True, priority=1), P2, 0.5)
    assert agent.selected == P2
    assert state(agent) is IceState.COMPLETED


def test_lost_connection_that_was_not_in_use_changes_nothing_else(connected: IceLiteAgent) -> None:
    connected.receive(check(), tcp(0), 1.0)
    connected.events()
    connected.lose(tcp(0))
    assert connected.events() == [PathRetired(tcp(0))]
    assert connected.selected == P0
    assert connected.state is IceState.COMPLETED


def test_lost_connection_of_a_silent_agent_leaves_it_disconnected(connected: IceLiteAgent) -> None:
    connected.receive(check(), tcp(0), 1.0)
    connected.handle_timeout(1.0 + DISCONNECTED_AFTER)
    assert connected.state is IceState.DISCONNECTED
    connected.events()
    connected.lose(P0)
    assert connected.selected == tcp(0)
    assert connected.events() == [PathSelected(tcp(0)), PathRetired(P0)]


def test_losing_the_only_connection_disconnects_until_another_is_checked(agent: IceLiteAgent) -> None:
    agent.receive(check(nominate=True), tcp(0), 0.0)
    agent.events()
    agent.lose(tcp(0))
    assert agent.events() == [PathRetired(tcp(0)), StateChanged(IceState.DISCONNECTED)]
    assert agent.selected is None
    assert agent.next_timeout() == FAILED_AFTER
    agent.lose(tcp(0))
    assert agent.events() == []

    agent.receive(check(), tcp(1), 5.0)
    assert agent.selected == tcp(1)
    assert state(agent) is IceState.CONNECTED
    agent.lose(tcp(1))
    agent.handle_timeout(5.0 + FAILED_AFTER)
    assert state(agent) is IceState.FAILED


def test_restart_keeps_the_old_path_until_the_new_pair_is_nominated(connected: IceLiteAgent) -> None:
    connected.restart(NEW, 1.0)
    assert connected.events() == [CredentialsAdded("fresh")]
    assert connected.ufrags() == ["ours", "fresh"]
    connected.receive(check(), P0, 1.5)
    connected.receive(check(local=NEW), P1, 2.0)
    assert connected.events() == [PathValidated(P1)]
    assert connected.selected == P0
    connected.outgoing(2.0)
    connected.receive(check(local=NEW, nominate=True), P1, 2.1)
    [(data, _)] = connected.outgoing(2.1)
    assert StunMessage.parse(data).has_integrity(NEW.pwd.encode())
    assert connected.events() == [PathSelected(P1), CredentialsRetired("ours")]
    assert connected.ufrags() == ["fresh"]
    assert connected.local == NEW
    connected.receive(check(), P0, 2.2)
    assert connected.statistics().drops == {"ice-ufrag": 1}
    assert connected.is_validated(P0)  # packets still in flight on it are accepted


def test_restart_moves_to_a_path_of_lower_priority_that_is_nominated_at_once(connected: IceLiteAgent) -> None:
    connected.restart(NEW, 1.0)
    connected.receive(check(local=NEW, nominate=True, priority=1), P1, 1.1)
    assert connected.selected == P1
    assert connected.ufrags() == ["fresh"]


def test_restart_on_the_same_path(connected: IceLiteAgent) -> None:
    connected.restart(NEW, 1.0)
    connected.receive(check(local=NEW, nominate=True), P0, 2.1)
    assert connected.events() == [CredentialsAdded("fresh"), CredentialsRetired("ours")]
    assert connected.selected == P0


def test_restart_that_replaces_a_restart(connected: IceLiteAgent) -> None:
    connected.restart(Credentials("lost", "a password that is never used"), 1.0)
    connected.restart(NEW, 2.0)
    assert connected.events() == [
        CredentialsAdded("lost"),
        CredentialsRetired("lost"),
        CredentialsAdded("fresh"),
    ]
    assert connected.ufrags() == ["ours", "fresh"]


def test_restart_of_a_failed_agent(connected: IceLiteAgent) -> None:
    connected.handle_timeout(FAILED_AFTER)
    connected.events()
    connected.restart(NEW, 40.0)
    assert connected.events() == [
        CredentialsAdded("fresh"),
        CredentialsRetired("ours"),
        StateChanged(IceState.CHECKING),
    ]
    assert connected.next_timeout() == 40.0 + FAILED_AFTER
    connected.receive(check(local=NEW), P1, 41.0)
    assert connected.events() == [PathValidated(P1), PathSelected(P1), StateChanged(IceState.CONNECTED)]


def test_restart_continues_when_the_old_consent_expires(connected: IceLiteAgent) -> None:
    connected.restart(NEW, 20.0)
    connected.handle_timeout(FAILED_AFTER)
    assert connected.events() == [
        CredentialsAdded("fresh"),
        PathRetired(P0),
        CredentialsRetired("ours"),
        StateChanged(IceState.CHECKING),
    ]
    assert (connected.selected, connected.local, connected.pending) == (None, NEW, None)
    connected.receive(check(), P0, 31.0)
    assert connected.statistics().drops == {"ice-ufrag": 1}
    connected.receive(check(local=NEW), P1, 32.0)
    assert (connected.state, connected.selected) == (IceState.CONNECTED, P1)


def test_restart_without_checks_ends_in_failed(connected: IceLiteAgent) -> None:
    connected.restart(NEW, 1.0)
    connected.handle_timeout(FAILED_AFTER)
    assert connected.next_timeout() == 2 * FAILED_AFTER
    connected.handle_timeout(2 * FAILED_AFTER)
    assert state(connected) is IceState.FAILED
    connected.restart(NEW, 70.0)
    connected.handle_timeout(70.0 + FAILED_AFTER)
    assert state(connected) is IceState.FAILED


# End


def test_close_retires_everything_and_ignores_later_datagrams(connected: IceLiteAgent) -> None:
    connected.restart(NEW, 1.0)
    connected.receive(check(), P0, 1.0)
    connected.events()
    connected.close()
    assert connected.events() == [
        PathRetired(P0),
        CredentialsRetired("ours"),
        CredentialsRetired("fresh"),
        StateChanged(IceState.CLOSED),
    ]
    assert connected.ufrags() == []
    connected.close()
    connected.receive(check(), P0, 2.0)
    connected.alive(P0, 2.0)
    connected.handle_timeout(100.0)
    assert connected.events() == []
    assert connected.outgoing(2.0) == []
    assert connected.next_timeout() is None
    assert connected.selected is None
    assert connected.ufrags() == []
    with pytest.raises(RuntimeError, match="closed"):
        connected.restart(NEW, 3.0)


# Any sequence

steps = st.lists(
    st.tuples(
        st.floats(0, 12),
        st.one_of(
            st.tuples(st.just("check"), st.sampled_from(PATHS[:20]), st.booleans(), st.booleans()),
            st.tuples(st.just("alive"), st.sampled_from(PATHS[:20])),
            st.tuples(st.just("lose"), st.sampled_from(PATHS[:20])),
            st.just(("restart",)),
            st.just(("tick",)),
        ),
    ),
    max_size=60,
)


@given(steps)
def test_invariants_hold_in_any_sequence(sequence: list[tuple[float, tuple[Any, ...]]]) -> None:
    agent, now = IceLiteAgent(OURS, now=0.0), 0.0
    agent.set_remote(THEIRS, now)
    routes: set[IcePath] = set()
    ufrags, generation = {OURS.ufrag}, 0
    for wait, (verb, *rest) in sequence:
        now += wait
        while (due := agent.next_timeout()) is not None and due <= now:
            agent.handle_timeout(due)
            after = agent.next_timeout()
            assert after is None or after > due, "a timer that is due again at once would spin"
        match verb:
            case "check":
                path, nominate, pending = rest
                local = agent.pending if pending and agent.pending else agent.local
                agent.receive(check(local=local, nominate=nominate), path, now)
            case "alive":
                agent.alive(rest[0], now)
            case "lose":
                agent.lose(rest[0])
                assert not agent.is_validated(rest[0])
            case "restart":
                generation += 1
                agent.restart(Credentials(f"g{generation}", "password"), now)
            case "tick":
                agent.handle_timeout(now)
        for event in agent.events():
            match event:
                case PathValidated(path):
                    assert path not in routes
                    routes.add(path)
                case PathRetired(path):
                    routes.remove(path)
                case CredentialsAdded(ufrag):
                    ufrags.add(ufrag)
                case CredentialsRetired(ufrag):
                    ufrags.remove(ufrag)
        assert ufrags == set(agent.ufrags())
        assert all(map(agent.is_validated, routes))
        assert agent.statistics().paths == len(routes) <= MAX_PATHS
        in_use = agent.state in {IceState.CONNECTED, IceState.COMPLETED, IceState.DISCONNECTED}
        assert (agent.selected in routes) if in_use and routes else (agent.selected is None)
        assert routes or agent.state not in {IceState.CONNECTED, IceState.COMPLETED}
        assert (agent.next_timeout() is None) == (agent.state is IceState.FAILED)
