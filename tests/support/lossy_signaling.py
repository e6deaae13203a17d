"""A room over signaling that delays and breaks: the server, a polite client, and Bob over perfect signaling.

call = LossySignalingCall()
call.client.publish("mic", call.conference.now)
call.deliver_up(call.served)        # the server has the offer ...
call.lose_wire()                    # ... and its answer gets lost
call.calm()                         # both agree, or this raises
"""

import json
import math
from datetime import UTC, datetime
from typing import Any

from support.browser_model import CHROMIUM, FIREFOX
from support.polite_client import LIVENESS, RETRY_DELAYS, PoliteClient, Wire
from support.pure_conference import PureConference

from sfu.conference.envelope import serialize
from sfu.conference.limits import Limits
from sfu.conference.messages import Join
from sfu.conference.negotiation import ANSWER_TIMEOUT, FIRST_OFFER_WAIT
from sfu.conference.peer import Peer
from sfu.conference.session import hash_of
from sfu.sdp import SignalingState

LATENCY = 4.0
"""Maximum seconds that a message is under way: less than half of an answer's deadline."""

CALM = ANSWER_TIMEOUT + RETRY_DELAYS[-1] + 1.0
"""Seconds after which both ends are stable again if nothing more happens. An offer that the browser rejected
is made again at the deadline; one of the browser that failed at that moment, after the longest retry delay."""

PROMPT = FIRST_OFFER_WAIT + 1.0
"""The same if the browser has rejected nothing: then no deadline has to expire first."""

LIMITS = Limits(session_ttl=3600.0, messages_per_second=10_000, messages_burst=10_000)
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
MAX_WAKES = 2000
"""Maximum number of timers in one stretch of time; a busy loop has many more."""


class LossySignalingCall:
    """The test delivers each of Alice's messages. Bob receives and answers at once."""

    def __init__(self, *, firefox: bool = False, seed: int = 1) -> None:
        self.conference = PureConference(LIMITS, seed)
        self.bob = self.conference.enter("bob", numbers=CHROMIUM)
        self.client = PoliteClient(FIREFOX if firefox else CHROMIUM)
        self.served: Wire | None = None
        """The WebSocket by which the server reaches the client, as far as the server knows."""
        self._peer: Peer | None = None
        self.client.reconnect("new", self.conference.now)
        self.deliver()

    @property
    def peer(self) -> Peer:
        """The client at the server."""
        assert self._peer is not None
        return self._peer

    # --- the network ---

    def break_wire(self) -> None:
        """The WebSocket breaks and the client notices; what it had sent may still arrive."""
        self._spare_second_reply()
        self.client.break_off()

    def lose_wire(self) -> None:
        """The WebSocket breaks and the server notices."""
        if self.served is not None:
            self._spare_second_reply()
            self.served.broken = True
            self.served = None
            self.conference.machine.suspend(self.peer, self.conference.now)
            self.collect()

    def reconnect(self, transport: str) -> None:
        """The client opens a WebSocket."""
        if self.client.wire is None:
            self.client.reconnect(transport, self.conference.now)

    def deliver_up(self, wire: Wire | None) -> bool:
        """The server takes the next message of a WebSocket; return whether there was one."""
        if wire is None or not wire.up:
            return False
        _, message_type, data = wire.up.popleft()
        if message_type == "join":
            if not wire.broken or self._survives_a_lost_reply():
                self._join(wire, data)
        elif wire is self.served:
            text = json.dumps({"type": message_type, "data": data})
            self.conference.machine.receive_message(self.peer, text, self.conference.now)
        self.collect()
        return True

    def deliver_down(self) -> bool:
        """The client takes the next message; return whether there was one."""
        wire = self.client.wire
        if wire is None or not wire.down:
            return False
        _, message = wire.down.popleft()
        self.client.hear(message, self.conference.now)
        return True

    def deliver(self) -> None:
        """Deliver all messages under way, and those that follow from them."""
        while self.deliver_up(self.client.wire) or self.deliver_down():
            pass

    def collect(self) -> None:
        """Let the server send what follows from what it received."""
        self.conference.deliver()
        if self._peer is not None:
            for message in self.conference.take_messages(self._peer):
                if self.served is not None and not self.served.broken:
                    self.served.down.append((self.conference.now, json.loads(serialize(message, NOON))))

    def _spare_second_reply(self) -> None:
        """Deliver the reply to a join if it would be the second in a row to get lost."""
        while not self.client.joined and not self._survives_a_lost_reply() and self.deliver_down():
            pass

    def _survives_a_lost_reply(self) -> bool:
        """Whether the client's token is good even if the reply to its join gets lost."""
        return self.peer.session.tokens.current == hash_of(self.client.session["sessionToken"])

    def _join(self, wire: Wire, data: dict[str, Any]) -> None:
        request = Join(
            room_id="room",
            user_id="alice",
            session_id=data.get("sessionId"),
            session_token=data.get("sessionToken"),
            transport=data["transport"],
        )
        peer = self.conference.join(request)
        assert self._peer in (None, peer), "the session was not resumed"
        if self.served is not None:
            self.served.broken = True
        self._peer = peer
        self.served = wire

    # --- time ---

    def run(self, seconds: float) -> None:
        """Let time pass. Messages arrive within `LATENCY`; a dead WebSocket is noticed within `LIVENESS`."""
        conference, end = self.conference, self.conference.now + seconds
        for _ in range(MAX_WAKES):
            due = [peer.next_timeout() for peer in self._peers()]
            due += [self.client.next_timeout(), self._latest()]
            now = min((time for time in due if time is not None), default=math.inf)
            if now > end:
                conference.now = end
                return
            conference.now = max(conference.now, now)
            self._wake()
        raise AssertionError("timers go off again and again")

    def _peers(self) -> list[Peer]:
        return [peer for room in self.conference.machine.rooms.values() for peer in room.peers.values()]

    def _latest(self) -> float | None:
        """When the next message must have arrived."""
        wire = self.client.wire
        if wire is None:
            return None
        if wire.broken:
            return self.client.heard_at + LIVENESS
        times = [queue[0][0] + LATENCY for queue in (wire.up, wire.down) if queue]
        return min(times, default=None)

    def _wake(self) -> None:
        now, wire = self.conference.now, self.client.wire
        for peer in self._peers():
            timeout = peer.next_timeout()
            if timeout is not None and timeout <= now:
                self.conference.machine.handle_timeout(peer, now)
        self.collect()
        timeout = self.client.next_timeout()
        if timeout is not None and timeout <= now:
            self.client.handle_timeout(now)
        if wire is None:
            return
        if wire.broken:
            if now >= self.client.heard_at + LIVENESS:
                self.client.break_off()
            return
        while wire.up and wire.up[0][0] + LATENCY <= now:
            self.deliver_up(wire)
        while wire.down and wire.down[0][0] + LATENCY <= now:
            self.deliver_down()

    # --- agreement ---

    def calm(self) -> None:
        """From now on nothing is lost: both ends must become stable in time, and agree."""
        self.client.failing = False
        patience = CALM if self.client.failures else PROMPT
        if self.client.wire is None or self.client.wire.broken:
            self.client.break_off()
            self.reconnect("keep")
        self.deliver()
        end = self.conference.now + patience
        while not self.stable:
            assert self.conference.now < end, "still not stable"
            self.run(0.5)
            self.deliver()
            assert self.client.errors == []
        self.check_agreement()

    @property
    def stable(self) -> bool:
        """Whether no end is in a negotiation or wants one."""
        connection, client = self.peer.connection, self.client
        return (
            connection.sdp.state is SignalingState.STABLE
            and connection.negotiation.next_timeout() is None
            and client.offered is None
            and not client.wanted
        )

    def check_agreement(self) -> None:
        """Assert that both ends have agreed on the same, and on what both want."""
        client, connection = self.client, self.peer.connection
        assert client.errors == []
        assert connection.sdp.state is SignalingState.STABLE
        assert not connection.sdp.needs_offer
        lines = {line.mid: line for line in client.browser.lines if not line.stopped}
        # What the client receives.
        sent = {slot.mid: slot for slot in connection.sdp.send_slots if slot.active}
        assert {mid: str(slot.msid) for mid, slot in sent.items()} == {
            mid: line.track for mid, line in lines.items() if line.track is not None
        }
        others = (peer for peer in self._peers() if peer is not self.peer)
        tracks = {track for peer in others for track in peer.tracks.values()}
        preferences = self.peer.preferences
        wanted = {track for track in tracks if track.id not in preferences or preferences[track.id].wanted}
        assert {subscription.track for subscription in connection.subscriptions} == wanted
        assert all(one.slot is not None and one.slot.active for one in connection.subscriptions)
        # What it publishes.
        receivers = {one.mid: one for one in connection.sdp.receivers if one.active}
        assert {one.mid for one in client.published.values()} == set(receivers)
        for source, transceiver in client.published.items():
            assert transceiver.mid is not None
            assert lines[transceiver.mid] is transceiver
            assert transceiver.ssrc in receivers[transceiver.mid].ssrcs
            track = self.peer.track_on(transceiver.mid)
            assert track is not None
            assert (track.source, track.id) == (source, client.track_ids[source])
        assert {track.source for track in self.peer.tracks.values() if track.mid} == set(client.published)
