"""Clients join, publish, subscribe, disconnect and leave, across restarts: each receives what it asked for.

A small model is compared with the conference: the preferences that each client has stated.
"""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.browser_model import CHROMIUM, Browser
from support.pure_conference import PureClient, PureConference

from sfu.conference.limits import Limits
from sfu.conference.peer import Peer
from sfu.conference.records import SubscriptionRecord
from sfu.conference.track import Track

LIMITS = Limits(messages_per_second=100_000, messages_burst=100_000, max_tracks_per_peer=4)
USERS = st.sampled_from(["alice", "bob", "carol", "dave"])
WHO = st.integers(0, 100)


class Passer(PureClient):
    """A client that negotiates and never connects."""

    def connect(self, sdp: str) -> None:
        """Do nothing: subscriptions need no packets."""


class Preferring(RuleBasedStateMachine):
    """One room and its clients."""

    @initialize(automatic=st.booleans())
    def begin(self, automatic: bool) -> None:
        self.automatic = automatic
        self.incarnations = 0
        self.said: dict[str, dict[str, SubscriptionRecord]] = {}
        """By peer id and track id."""
        self.next_incarnation()
        for user in ("alice", "bob"):
            self.enter(user)
            self.clients()[-1].publish("audio", "video")
        for choice in range(3):
            self.choose(who=choice, which=2 * choice + 2, wanted=bool(choice % 2), layer=None)

    # --- coming and going ---

    @rule(user=USERS)
    def enter(self, user: str) -> None:
        """Join. An older peer of the same user is replaced."""
        self.conference.enter(user)
        client = self.conference.clients.pop()
        self.add(client.peer).messages += client.messages

    @precondition(lambda self: self.clients())
    @rule(who=WHO)
    def leave(self, who: int) -> None:
        self.pick(who).say("leave")

    @precondition(lambda self: self.clients())
    @rule(who=WHO)
    def vanish(self, who: int) -> None:
        self.conference.machine.suspend(self.pick(who).peer, self.conference.now)
        self.conference.deliver()

    @precondition(lambda self: self.clients())
    @rule(who=WHO, keep=st.booleans(), publish=st.booleans())
    def come_back(self, who: int, keep: bool, publish: bool) -> None:
        """Resume a session, also one whose old connection the server has not missed yet."""
        client = self.pick(who)
        kinds = [track.kind for track in client.peer.tracks.values()]
        if not keep or client.peer.connection.closed:
            client.browser = Browser()
        client.join_again(keep=keep)
        self.conference.deliver()
        if publish and not client.browser.transceivers and kinds:
            client.publish(*kinds)

    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        """Kill the server. The next one finds the records in some order."""
        clients = data.draw(st.permutations(self.clients()))
        self.next_incarnation()
        for client in clients:
            now = self.conference.now
            peer = self.conference.machine.admission.restore(client.peer.record(), now + 30.0, now)
            assert peer is not None
            self.add(peer).messages += client.messages
        self.conference.deliver()

    @rule(seconds=st.sampled_from([0.5, 12.0, 40.0]))
    def wait(self, seconds: float) -> None:
        """Wait until dormant tracks end, or until sessions expire too."""
        self.conference.run(seconds)

    # --- what is said and published ---

    @precondition(lambda self: self.present())
    @rule(who=WHO, kind=st.sampled_from(["audio", "video"]))
    def publish(self, who: int, kind: str) -> None:
        client = self.pick(who, self.present())
        if sum(line.sends for line in client.browser.transceivers) < LIMITS.max_tracks_per_peer:
            client.publish(kind)

    @precondition(lambda self: self.present())
    @rule(who=WHO)
    def unpublish(self, who: int) -> None:
        client = self.pick(who, self.present())
        if client.browser.transceivers:
            for transceiver in client.browser.transceivers:
                transceiver.sends = False
            client.offer()

    @precondition(lambda self: self.present() and self.tracks())
    @rule(who=WHO, which=WHO, wanted=st.booleans(), layer=st.sampled_from([None, "h", "l"]))
    def choose(self, who: int, which: int, wanted: bool, layer: str | None) -> None:
        client, track = self.pick(who, self.present()), self.track(which)
        request = {"trackId": track.id, "peerId": track.publisher_id}
        if wanted:
            client.say("subscribe", **request, layer=layer)
        else:
            client.say("unsubscribe", **request)
        answer = client.heard("subscription-ack")[-1]
        assert answer["success"] == (track.publisher_id != client.peer.id)
        if answer["success"]:
            preference = SubscriptionRecord(track.id, track.publisher_id, layer if wanted else None, wanted)
            self.said[client.peer.id][track.id] = preference

    @precondition(lambda self: self.present() and self.tracks())
    @rule(who=WHO, which=WHO)
    def switch(self, who: int, which: int) -> None:
        client, track = self.pick(who, self.present()), self.track(which)
        client.say("layer-switch", trackId=track.id, targetRid="m")
        answer = client.heard("subscription-ack")[-1]
        assert answer["success"] == (self.wants(client.peer, track))
        if answer["success"]:
            self.said[client.peer.id][track.id] = SubscriptionRecord(track.id, track.publisher_id, "m")

    # --- what must hold after every step ---

    @invariant()
    def what_was_said_holds_as_long_as_the_track(self) -> None:
        living = {track.id for track in self.tracks()}
        for client in self.clients():
            said = self.said[client.peer.id]
            assert client.peer.preferences == {
                name: preference for name, preference in said.items() if name in living
            }
            self.said[client.peer.id] = dict(client.peer.preferences)

    @invariant()
    def a_track_is_received_by_those_who_want_it_only(self) -> None:
        for client in self.clients():
            connection = client.peer.connection
            wanted = {track for track in self.tracks() if self.wants(client.peer, track)}
            assert {one.track for one in connection.subscriptions} == (set() if connection.closed else wanted)
            streams = {one.stream for one in connection.subscriptions if one.stream}
            assert streams <= set(connection.transport.senders)
            assert len(list(connection.transport.senders)) == len(connection.downstream._streams)
            assert all(one.source is None for one in connection.transport.senders if one not in streams)

    @invariant()
    def nothing_is_sent_that_belongs_to_no_subscription(self) -> None:
        subscriptions = [one for client in self.clients() for one in client.peer.connection.subscriptions]
        for track in self.tracks():
            streams = [one.stream for one in subscriptions if one.track is track and one.stream is not None]
            assert len(streams) == len(set(streams)) == len(track.senders)
            assert set(streams) == set(track.senders)

    @invariant()
    def sessions_are_found_as_long_as_they_last(self) -> None:
        machine = self.conference.machine
        peers = {peer for room in machine.rooms.values() for peer in room.peers.values()}
        assert peers == {client.peer for client in self.clients()}
        assert set(machine.directory._by_session.values()) == peers
        assert {machine.directory.find_session(peer.session.id) for peer in peers} == peers

    @invariant()
    def no_client_gets_an_error(self) -> None:
        assert not any(client.heard("error") for client in self.clients())

    def teardown(self) -> None:
        if not hasattr(self, "conference"):
            return
        for client in self.clients():
            self.conference.leave(client)
        statistics = self.conference.machine.statistics()
        assert (statistics.peers, statistics.routes) == (0, 0)

    # --- how it is done ---

    def next_incarnation(self) -> None:
        """Start an empty server with its own randomness."""
        self.incarnations += 1
        self.conference = PureConference(LIMITS, self.incarnations, auto_subscribe=self.automatic)

    def add(self, peer: Peer) -> Passer:
        client = Passer(self.conference, peer, CHROMIUM, self.conference.certificate)
        self.conference.clients.append(client)
        self.said.setdefault(peer.id, {})
        return client

    def clients(self) -> list[PureClient]:
        """The clients whose sessions have not ended."""
        return [client for client in self.conference.clients if client.peer.ended is None]

    def present(self) -> list[PureClient]:
        """The clients that are connected."""
        return [client for client in self.clients() if not client.peer.suspended]

    def pick(self, who: int, clients: list[PureClient] | None = None) -> PureClient:
        several = clients or self.clients()
        return several[who % len(several)]

    def tracks(self) -> list[Track]:
        return [track for client in self.clients() for track in client.peer.tracks.values()]

    def track(self, which: int) -> Track:
        return self.tracks()[which % len(self.tracks())]

    def wants(self, peer: Peer, track: Track) -> bool:
        preference = self.said[peer.id].get(track.id)
        return track.publisher_id != peer.id and (self.automatic if preference is None else preference.wanted)


TestPreferring = Preferring.TestCase
TestPreferring.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
