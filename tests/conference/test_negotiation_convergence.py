"""Two ends that offer at any time, over signaling that delays and breaks, always end in agreement.

The server is the real one. The client is a model of a browser and of our client library. It also checks
every description of the server against JSEP: no m-line changes its place or its mid, no slot its SSRC.
"""

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.lossy_signaling import LossySignalingCall
from support.polite_client import KIND
from support.pure_conference import PureClient

SOURCE = st.sampled_from(sorted(KIND))
TRANSPORT = st.sampled_from(["keep", "keep", "keep", "new"])
COUNT = st.integers(1, 4)
FAILURES_IN_A_ROW = 3


class Negotiating(RuleBasedStateMachine):
    """Anything that can happen between a client and its room, except media."""

    @initialize(firefox=st.booleans())
    def begin(self, firefox: bool) -> None:
        self.call = LossySignalingCall(firefox=firefox)
        self.conference, self.client = self.call.conference, self.call.client
        self.bobs: dict[str, str] = {}
        self.clients: list[PureClient] = []
        self.ids: dict[str, str] = {}
        self.epoch = (0, 0)

    # --- preferences of all sides ---

    @rule(source=SOURCE)
    def publish(self, source: str) -> None:
        self.client.publish(source, self.conference.now)

    @rule(source=SOURCE)
    def unpublish(self, source: str) -> None:
        self.client.unpublish(source, self.conference.now)
        self.ids.pop(source, None)

    @rule(kind=st.sampled_from(["audio", "video"]))
    def bob_publishes(self, kind: str) -> None:
        bob = self.call.bob
        if sum(one.sends for one in bob.browser.transceivers) < 4:
            bob.publish(kind)
            self.call.collect()

    @precondition(lambda self: any(one.sends for one in self.call.bob.browser.transceivers))
    @rule(pick=st.integers(0, 10))
    def bob_unpublishes(self, pick: int) -> None:
        sending = [one for one in self.call.bob.browser.transceivers if one.sends]
        sending[pick % len(sending)].sends = False
        self.call.bob.offer()
        self.call.collect()

    @rule(kinds=st.lists(st.sampled_from(["audio", "video"]), max_size=2))
    def client_joins(self, kinds: list[str]) -> None:
        if len(self.clients) < 2:
            client = self.conference.enter(f"client {len(self.conference.clients)}")
            if kinds:
                client.publish(*kinds)
            self.clients.append(client)
            self.call.collect()

    @precondition(lambda self: self.clients)
    @rule()
    def client_leaves(self) -> None:
        client = self.clients.pop(0)
        self.conference.leave(client)
        self.conference.clients.remove(client)
        self.call.collect()

    @rule()
    def client_restarts_ice(self) -> None:
        self.client.restart_ice(self.conference.now)

    @rule()
    def client_asks_for_a_restart(self) -> None:
        self.client.ask_for_restart(self.conference.now)

    @rule(pick=st.integers(0, 10), wanted=st.booleans())
    def client_chooses(self, pick: int, wanted: bool) -> None:
        tracks = [track for one in (self.call.bob, *self.clients) for track in one.peer.tracks.values()]
        if tracks:
            track = tracks[pick % len(tracks)]
            self.client.choose(track.id, track.publisher_id, self.conference.now, wanted=wanted)

    # --- signaling ---

    @rule(count=COUNT)
    def server_hears(self, count: int) -> None:
        for _ in range(count):
            self.call.deliver_up(self.client.wire)

    @rule(count=COUNT)
    def client_hears(self, count: int) -> None:
        for _ in range(count):
            self.call.deliver_down()

    @rule(late=st.integers(0, 3))
    def client_disconnects(self, late: int) -> None:
        wire = self.client.wire
        self.call.break_wire()
        for _ in range(late):
            self.call.deliver_up(wire)

    @rule()
    def server_notices_the_break(self) -> None:
        self.call.lose_wire()

    @precondition(lambda self: self.client.wire is None)
    @rule(transport=TRANSPORT)
    def client_reconnects(self, transport: str) -> None:
        self.call.reconnect(transport)

    @rule(late=st.integers(0, 2), transport=TRANSPORT)
    def signaling_breaks_and_reconnects(self, late: int, transport: str) -> None:
        self.client_disconnects(late)
        self.call.lose_wire()
        self.call.reconnect(transport)
        self.call.deliver_up(self.client.wire)

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 12.0, 25.0]))
    def time_passes(self, seconds: float) -> None:
        self.call.run(seconds)

    @precondition(lambda self: self.client.failures < FAILURES_IN_A_ROW)
    @rule()
    def browser_fails(self) -> None:
        self.client.failing = True

    @rule()
    def nothing_is_lost_any_more(self) -> None:
        self.call.calm()

    def teardown(self) -> None:
        if hasattr(self, "call"):
            self.call.calm()

    # --- what holds at any time ---

    @invariant()
    def a_track_keeps_its_id_whatever_gets_lost(self) -> None:
        epoch = (self.client.connections, self.client.recoveries)
        if epoch != self.epoch:
            self.epoch = epoch
            self.ids.clear()
        for source, track_id in self.client.track_ids.items():
            assert self.ids.setdefault(source, track_id) == track_id


TestNegotiating = Negotiating.TestCase
TestNegotiating.settings = settings(
    max_examples=40,
    stateful_step_count=50,
    deadline=None,
    phases=set(Phase) - {Phase.explain},
    suppress_health_check=[HealthCheck.too_slow],
)
