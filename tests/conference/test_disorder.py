"""Clients that send anything in any order: the conference refuses or drops it, and stays consistent.

Alice and Bob hold a call and behave. Mallories come and go, send well-formed, mangled and invented messages,
and send invented, overheard and authentic-but-senseless datagrams from any address.
"""

import json
import re
import struct
from collections import deque
from contextlib import suppress
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.browser_model import CHROMIUM, FIREFOX, Browser
from support.media import DELTA_FRAME
from support.pure_conference import SERVER, PureClient, PureConference

from sfu.conference.errors import Unavailable
from sfu.conference.limits import Limits
from sfu.conference.messages import CLIENT_MESSAGES
from sfu.errors import BadPacket
from sfu.ice.path import Address, IcePath

LIMITS = Limits(
    max_rooms=3, max_peers_per_room=4, max_tracks_per_peer=3, messages_per_second=50, messages_burst=100
)

MESSAGES_PER_STEP = 60
"""Upper limit of messages queued for one client at once. The shell disconnects a client with many more."""

ROOMS = st.sampled_from(["room", "room", "other", "third", "fourth"])
MALLORIES = ["mallory", "melanie", "mike", "mona"]
WHO = st.integers(0, 100)
SEED = st.integers(0, 2**32 - 1)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "sdp",
    "type",
    "tracks",
    "candidate",
    "sdpMid",
    "sdpMLineIndex",
    "micEnabled",
    "roomId",
    "userId",
    "peerId",
]
STATE = st.fixed_dictionaries(
    {name: st.booleans() for name in ("micEnabled", "cameraEnabled", "screenEnabled")}
)
CANDIDATE = st.fixed_dictionaries(
    {"candidate": st.sampled_from(["", "candidate:1 1 udp 1 192.0.2.1 9 typ host"])}
)
DATA = STATE | CANDIDATE | st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5) | VALUES


class OverheardConference(PureConference):
    """A conference whose datagrams can be recorded and sent again."""

    def __init__(self, limits: Limits, seed: int) -> None:
        super().__init__(limits, seed)
        self.overheard: deque[bytes] = deque(maxlen=200)
        """What clients sent last, but for connectivity checks."""

    def receive(self, data: bytes, path: IcePath) -> None:
        if data and data[0] > 3:
            self.overheard.append(data)
        super().receive(data, path)


class Mallory(PureClient):
    """A client that can connect, and does not follow the protocol."""

    def _hear(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        # An answer that rejects every m-line has no transport.
        if message["type"] == "answer" and "a=fingerprint:" in message["data"]["sdp"]:
            self.connect(message["data"]["sdp"])


def mangled(text: str, random: Random) -> str:
    """Change a description, in valid and invalid ways."""
    lines = text.splitlines()
    for _ in range(random.randrange(4)):
        index = random.randrange(len(lines))
        match random.randrange(8):
            case 0:
                del lines[index:]
            case 1:
                lines.insert(index, random.choice(lines or [""]))
            case 2:
                lines[index] = re.sub(
                    r"\d+", lambda _: str(random.randrange(2 ** random.randrange(1, 40))), lines[index]
                )
            case 3:
                lines[index] = lines[index][: random.randrange(len(lines[index]) + 1)]
            case 4:
                direction = random.choice(["sendrecv", "sendonly", "recvonly", "inactive"])
                lines = [
                    re.sub(r"^a=(sendrecv|sendonly|recvonly|inactive)$", f"a={direction}", x) for x in lines
                ]
            case 5:
                lines = [re.sub(r"^m=(\w+) \d+", r"m=\1 0", x) if random.random() < 0.5 else x for x in lines]
            case 6:
                lines = [x for x in lines if random.random() < 0.9]
            case 7:
                setup = random.choice(["active", "passive", "actpass", "holdconn"])
                lines = [re.sub(r"^a=setup:.*", f"a=setup:{setup}", x) for x in lines]
        if not lines:
            break
    return "\r\n".join([*lines, ""])


class Disorder(RuleBasedStateMachine):
    """One conference and its clients."""

    @initialize(seed=SEED, firefox=st.booleans())
    def begin(self, seed: int, firefox: bool) -> None:
        self.conference = OverheardConference(LIMITS, seed)
        self.machine = self.conference.machine
        self.mallories: list[Mallory] = []
        self.alice = self.conference.enter("alice")
        self.bob = self.conference.enter("bob", numbers=FIREFOX if firefox else CHROMIUM)
        for client in (self.alice, self.bob):
            client.publish("audio", "video")
        self.conference.run(1.0)
        for client in (self.alice, self.bob):
            client.send_frames(client.browser.transceivers[1], 3)

    # --- coming and going ---

    @rule(name=st.sampled_from(MALLORIES), room=ROOMS)
    def come(self, name: str, room: str) -> None:
        """A user that is in the room already replaces its old peer, whose client may go on sending."""
        rooms = self.machine.rooms
        is_full = room in rooms and len(rooms[room].peers) >= LIMITS.max_peers_per_room
        if len(rooms) >= LIMITS.max_rooms and room not in rooms:
            is_full = True
        try:
            self.conference.enter(name, room)
        except Unavailable:
            assert is_full
            return
        client = self.conference.clients.pop()
        mallory = Mallory(self.conference, client.peer, CHROMIUM, self.conference.certificate)
        self.conference.clients.append(mallory)
        self.mallories.append(mallory)

    @precondition(lambda self: self.mallories)
    @rule(who=WHO)
    def go(self, who: int) -> None:
        mallory = self.mallory(who)
        self.conference.leave(mallory)
        self.mallories.remove(mallory)
        self.conference.clients.remove(mallory)

    @rule(seconds=st.sampled_from([0.02, 0.5, 2.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.conference.run(seconds)

    # --- saying ---

    @precondition(lambda self: self.mallories)
    @rule(who=WHO, message_type=st.sampled_from([*CLIENT_MESSAGES, "x"]), data=DATA)
    def say_anything(self, who: int, message_type: str, data: Any) -> None:
        self.tell(who, json.dumps({"type": message_type, "data": data}))

    @precondition(lambda self: self.mallories)
    @rule(who=WHO, text=st.text(max_size=50) | st.binary(max_size=50))
    def say_nonsense(self, who: int, text: str | bytes) -> None:
        self.tell(who, text)

    @precondition(lambda self: self.mallories)
    @rule(who=WHO, kinds=st.lists(st.sampled_from(["audio", "video"]), min_size=1, max_size=5), seed=SEED)
    def offer(self, who: int, kinds: list[str], seed: int) -> None:
        """A new description every time, which contradicts the m-lines before."""
        browser = Browser()
        for kind in kinds:
            browser.add(kind)
        random = Random(seed)
        sdp = browser.offer()
        if random.random() < 0.7:
            sdp = mangled(sdp, random)
        sources = [{"mid": str(random.randrange(5)), "source": random.choice(["mic", "camera", "screen"])}]
        data = {"sdp": self.mallory(who).own(sdp), "type": "offer", "tracks": sources}
        self.tell(who, json.dumps({"type": "offer", "data": data}))

    @precondition(lambda self: self.mallories)
    @rule(who=WHO, seed=SEED)
    def answer(self, who: int, seed: int) -> None:
        """Answer with the server's own offer, changed a little."""
        mallory, random = self.mallory(who), Random(seed)
        offers = mallory.heard("offer") or mallory.heard("answer") or [{"sdp": "v=0\r\n"}]
        sdp = mallory.own(offers[-1]["sdp"]).replace("a=setup:actpass", "a=setup:active")
        sdp = re.sub(r"(?m)^a=sendonly(?=\r)", "a=recvonly", sdp).replace("a=ice-lite\r\n", "")
        if random.random() < 0.7:
            sdp = mangled(sdp, random)
        name = "answer" if random.random() < 0.9 else "offer"
        self.tell(who, json.dumps({"type": name, "data": {"sdp": sdp, "type": name}}))

    # --- sending ---

    @rule(data=st.binary(max_size=100), who=WHO)
    def send_noise(self, data: bytes, who: int) -> None:
        self.arrive(data, who)

    @rule(who=WHO, seed=SEED)
    def send_what_was_overheard(self, who: int, seed: int) -> None:
        """Replay recorded datagrams, except checks: a replayed check moves a peer (docs/ice.md)."""
        random = Random(seed)
        if self.conference.overheard:
            data = bytearray(random.choice(self.conference.overheard))
            for _ in range(random.randrange(3)):
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            self.arrive(bytes(data), who)

    @precondition(lambda self: self.mallories)
    @rule(who=WHO, seed=SEED)
    def send_authentic_nonsense(self, who: int, seed: int) -> None:
        mallory, random = self.mallory(who), Random(seed)
        outbound = mallory.machine.outbound
        if outbound is None:
            return
        ssrcs = [line.ssrc for line in self.alice.browser.transceivers] + [
            900_000,
            900_002,
            random.randrange(2**32),
        ]
        for _ in range(10):
            ssrc = random.choice(ssrcs)
            with suppress(BadPacket):  # our own encryption refuses the worst
                first, second = random.randrange(128, 192), random.randrange(256)
                if second & 0x7F not in range(64, 96):
                    header = struct.pack("!BBHLL", first, second, random.randrange(2**16), 0, ssrc)
                    self.arrive(outbound.protect(header + random.randbytes(random.randrange(200))), mallory)
                body = random.randbytes(4 * random.randrange(20))
                header = struct.pack("!BBHL", first, random.randrange(192, 224), len(body) // 4 + 1, ssrc)
                self.arrive(outbound.protect_rtcp(header + body), mallory)

    @precondition(lambda self: self.mallories)
    @rule(who=WHO)
    def hang_up(self, who: int) -> None:
        """Close DTLS. The WebSocket stays open."""
        machine = self.mallory(who).machine
        if machine.connected:
            machine.close(self.conference.now)
            self.conference.deliver()

    @rule(count=st.integers(1, 5))
    def the_call_goes_on(self, count: int) -> None:
        for sender, receiver in ((self.alice, self.bob), (self.bob, self.alice)):
            video = sender.browser.transceivers[1]
            before = len(receiver.received())
            for _ in range(count):
                sender.send(video, DELTA_FRAME)
            assert len(receiver.received()) == before + count

    # --- what must hold after every step ---

    @invariant()
    def routes_lead_to_who_is_there(self) -> None:
        table = self.machine.table
        peers = {peer for room in self.machine.rooms.values() for peer in room.peers.values()}
        assert set(table._paths) == set(table._ufrags) == peers
        assert {path: peer for peer in peers for path in table._paths[peer]} == table._by_path
        assert {ufrag: peer for peer in peers for ufrag in table._ufrags[peer]} == table._by_ufrag
        assert all(set(peer.connection.transport.ufrags()) == table._ufrags[peer] for peer in peers)
        assert len(table._by_path) <= 10 * len(peers)

    @invariant()
    def everybody_receives_everybody_else(self) -> None:
        for room in self.machine.rooms.values():
            assert len(room.peers) <= LIMITS.max_peers_per_room
            for peer in room.peers.values():
                assert peer.ended is None
                assert len(peer.tracks) <= LIMITS.max_tracks_per_peer
                published = peer.tracks.items()
                assert all(key == track.id and track.publisher_id == peer.id for key, track in published)
                lines = [track.mid for track in peer.tracks.values() if track.mid is not None]
                assert len(set(lines)) == len(lines)
                others = [other for other in room.peers.values() if other is not peer]
                tracks = {track for other in others for track in other.tracks.values()}
                wanted = set() if peer.connection.closed else tracks
                assert {subscription.track for subscription in peer.connection.subscriptions} == wanted
                for subscription in peer.connection.subscriptions:
                    assert subscription.stream is None or subscription.stream in subscription.track.senders
                streams = [
                    subscription.stream
                    for other in others
                    for subscription in other.connection.subscriptions
                    if subscription.stream is not None and subscription.track.publisher_id == peer.id
                ]
                senders = [sender for track in peer.tracks.values() for sender in track.senders]
                assert len(senders) == len(set(senders)) == len(streams)
                assert set(senders) == set(streams)

    @invariant()
    def who_behaves_hears_no_complaint(self) -> None:
        for client in (self.alice, self.bob):
            assert client.heard("error") == []
            assert client.peer.ended is None

    def teardown(self) -> None:
        if not hasattr(self, "conference"):
            return
        for client in tuple(self.conference.clients):
            self.conference.leave(client)
        statistics = self.machine.statistics()
        assert (statistics.peers, statistics.routes) == (0, 0)

    # --- how it is done ---

    def mallory(self, who: int) -> Mallory:
        return self.mallories[who % len(self.mallories)]

    def tell(self, who: int, text: str | bytes) -> None:
        """Send one message, and carry out what it leads to."""
        mallory = self.mallory(who)
        before = {id(client): len(client.messages) for client in self.conference.clients}
        self.machine.receive_message(mallory.peer, text, self.conference.now)
        self.conference.deliver()
        for client in self.conference.clients:
            assert len(client.messages) - before[id(client)] <= MESSAGES_PER_STEP
        if mallory.peer.ended is not None:
            self.mallories.remove(mallory)
            self.conference.clients.remove(mallory)

    def arrive(self, data: bytes, who: int | PureClient) -> None:
        """A datagram arrives from the address of a peer, or from an unknown one."""
        if isinstance(who, PureClient):
            path = who.path
        else:
            known = [client.path for client in self.conference.clients]
            path = [*known, IcePath(SERVER, Address("192.0.2.9", 1024 + who))][who % (len(known) + 1)]
        self.conference.receive(data, path)
        self.conference.deliver()


TestDisorder = Disorder.TestCase
TestDisorder.settings = settings(
    max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
