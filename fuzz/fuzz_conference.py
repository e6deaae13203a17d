"""A conference whose clients join, leave, disconnect and resume: nothing raises, and in the end all agree.

The input is a program for a few clients of two rooms. A client is `tests/support/browser_model.py`, a
browser that checks every description of ours against the rules of an RTCPeerConnection. What the server
sends waits until the program delivers it. So offers cross, answers come late, and a break loses
all messages under way. Other clients are rogues: they send bytes of the input.

* Only `Refused` leaves `join`, nothing leaves any other method.
* A step queues a bounded number of messages, and a timer that has been handled is not due again at once.
* Once all messages are delivered, each client knows exactly the peers and tracks that exist, and
  it receives every track of the others on an m-line of its own.
* When all have left, no peer, route, session or deadline is left.
"""

import json
from collections import deque
from typing import Any

from support.browser_model import CHROMIUM, FIREFOX, Browser
from support.pure_conference import NOON, SERVER, PureConference

from sfu.conference.envelope import serialize
from sfu.conference.errors import Refused
from sfu.conference.limits import Limits
from sfu.conference.messages import Join
from sfu.conference.negotiation import ANSWER_TIMEOUT
from sfu.conference.peer import Peer
from sfu.ice.path import Address, IcePath
from sfu.sdp import SignalingState

TARGETS = ("sfu.conference", "sfu.sdp")
"""The package whose coverage guides the inputs."""

MAX_STEPS = 60
MAX_CLIENTS = 6
MAX_MESSAGES = 60
"""More messages than one step may queue for one client."""
MAX_TRACKS = 4
PATIENCE = 100
"""Rounds of delivering and answering. Clients that still send messages then are in an endless loop."""

LIMITS = Limits(
    max_rooms=2,
    max_peers_per_room=3,
    max_tracks_per_peer=MAX_TRACKS,
    messages_per_second=10**6,
    messages_burst=10**6,
)
ROOMS = ("red", "blue", "third")
USERS = ("ann", "ben", "cid", "dan")
STRANGER = IcePath(SERVER, Address("192.0.2.9", 1024))


class Client:
    """One client over all its connections."""

    def __init__(self, fuzzed: "FuzzedConference", room: str, user: str) -> None:
        self.fuzzed = fuzzed
        self.room = room
        self.user = user
        self.browser = Browser(numbers=FIREFOX if user == "ben" else CHROMIUM)
        self.peer: Peer = fuzzed.join(Join(room_id=room, user_id=user))
        self.connected = True
        self.greeted = False
        """Its join has been answered. Before that it sends nothing."""
        self.gone = False
        """It has closed its RTCPeerConnection, and the server has not yet told it to make another."""
        self.changed = False
        """The browser has changes that are not negotiated."""
        self.rogue = False
        """It has broken the rules itself. Nothing is checked about it any more."""
        self.late = False
        """It has answered an offer that was rolled back. Its answer may have passed for that to another."""
        self.inbox: deque[tuple[float, dict[str, Any]]] = deque()
        """Messages sent to it and not delivered yet, with the time of sending."""
        self.session: tuple[str, str] | None = None
        self.peers: dict[str, set[str]] = {}
        """The other peers and their tracks, as the server has told it."""
        self.suspended: set[str] = set()

    def say(self, message_type: str, **data: Any) -> None:
        """Send a message."""
        self.fuzzed.tell(self, json.dumps({"type": message_type, "data": data}))

    def break_off(self) -> None:
        """The WebSocket breaks, and messages under way are lost."""
        self.connected = self.greeted = False
        self.inbox.clear()
        self.fuzzed.conference.machine.suspend(self.peer, self.fuzzed.conference.now)

    def come_back(self, *, keep: bool, token: str | None = None) -> None:
        """Open a WebSocket, with the old RTCPeerConnection or a new one. The session may have expired."""
        if self.session is None:
            return
        session_id, right = self.session
        self.gone = self.gone or not keep
        request = Join(
            room_id=self.room,
            user_id=self.user,
            session_id=session_id,
            session_token=right if token is None else token,
            transport="new" if self.gone else "keep",
        )
        try:
            self.peer = self.fuzzed.join(request)
        except Refused:
            return
        # The previous connection, if it is still open, gets no more messages.
        self.inbox.clear()
        self.connected = True
        self.greeted = False

    @property
    def may_offer(self) -> bool:
        """Whether there is something to offer and no offer is pending."""
        lines = self.browser.transceivers
        return self.greeted and self.browser.pending is None and any(not line.wants_stop for line in lines)

    def offer(self) -> None:
        """Offer the browser's current transceivers."""
        if self.may_offer:
            self.say("offer", sdp=self.browser.offer(), type="offer")

    def hear(self) -> None:
        """Take the next message."""
        said_at, message = self.inbox.popleft()
        data = message["data"]
        match message["type"]:
            case "join":
                self.greeted = True
                self.session = data["sessionId"], data["sessionToken"]
                if data["transport"] == "new":
                    self._start_again()
                elif self.browser.pending is not None:
                    self.browser.rollback()
            case "room-state":
                self.peers = {
                    info["peerId"]: {track["trackId"] for track in info["tracks"]} for info in data["peers"]
                }
                self.suspended = {info["peerId"] for info in data["peers"] if info["suspended"]}
            case "peer-joined":
                assert data["peerId"] not in self.peers
                self.peers[data["peerId"]] = set()
            case "peer-left":
                del self.peers[data["peerId"]]
                self.suspended.discard(data["peerId"])
            case "peer-suspended":
                self.suspended.add(data["peerId"])
            case "peer-resumed":
                self.suspended.remove(data["peerId"])
            case "track-published" if data["peerId"] != self.peer.id:
                self.peers[data["peerId"]].add(data["trackId"])
            case "track-unpublished" if data["peerId"] != self.peer.id:
                self.peers[data["peerId"]].remove(data["trackId"])
            case "answer" if not self.rogue and self.browser.pending is not None:
                if self.late and not self.browser.fits(data["sdp"]):
                    self.come_back(keep=False)
                    return
                self.browser.receive_answer(data["sdp"])
                self.changed = False
            case "offer" | "ice-restart-offer" if not self.rogue:
                self._answer(data["sdp"], said_at)
            case "error":
                assert self.rogue or self.late, data

    def _answer(self, offer: str, said_at: float) -> None:
        """Answer, and note whether the offer had been rolled back: then the server ignores the answer.

        After such a delay the server may offer what a browser rejects, or answer an offer that the browser has
        rolled back. Then the client makes another RTCPeerConnection.
        """
        if self.late and not self.browser.takes(offer):
            self.come_back(keep=False)
            return
        negotiation = self.peer.connection.negotiation
        ignored = negotiation.statistics().answers_ignored
        self.say("answer", sdp=self.browser.answer(offer), type="answer")
        overdue = self.fuzzed.conference.now >= said_at + ANSWER_TIMEOUT
        self.late = self.late or overdue or negotiation.statistics().answers_ignored > ignored

    def _start_again(self) -> None:
        """Make a new RTCPeerConnection that publishes the same tracks."""
        self.gone = self.late = False
        old = self.browser
        self.browser = Browser(numbers=old.numbers)
        for line in old.transceivers:
            if line.sends and not (line.stopped or line.wants_stop):
                self.browser.add(line.kind, receives=line.receives)
                self.changed = True


class FuzzedConference:
    """The conference and its clients."""

    def __init__(self) -> None:
        self.conference = PureConference(LIMITS)
        self.clients: list[Client] = []
        self.peers: list[Peer] = []
        """All peers that ever existed: their timers and queues are checked."""

    # --- messages to the server ---

    def join(self, request: Join) -> Peer:
        """Join, or resume."""
        peer = self.conference.join(request)
        if peer not in self.peers:
            self.peers.append(peer)
        return peer

    def tell(self, client: Client, text: str | bytes) -> None:
        """Give the server one message."""
        if client.connected:
            self.conference.machine.receive_message(client.peer, text, self.conference.now)

    def flush(self) -> None:
        """Take the messages for every peer."""
        self.conference.flush()
        for peer in self.peers:
            messages = self.conference.take_messages(peer)
            assert len(messages) <= MAX_MESSAGES
            for client in self.clients:
                if client.peer is peer and client.connected:
                    texts = [serialize(message, NOON) for message in messages]
                    client.inbox += [(self.conference.now, json.loads(text)) for text in texts]
        self.peers = [peer for peer in self.peers if peer.ended is None]
        for client in self.clients:
            client.connected = client.connected and client.peer.ended is None

    def pass_time(self, seconds: float) -> None:
        """Let time pass; each timer goes off when it is due."""
        conference = self.conference
        end = conference.now + seconds
        while conference.wake_at:
            peer, time = min(conference.wake_at.items(), key=lambda item: item[1])
            if time > end:
                break
            conference.now = max(conference.now, time)
            conference.machine.handle_timeout(peer, conference.now)
            self.flush()
            after = conference.wake_at.get(peer)
            assert after is None or after > time, "a timer that is due again at once would spin"
        conference.now = end

    # --- steps ---

    def step(self, what: int, detail: int, data: bytes) -> int:
        """Do one action; return how many bytes of `data` it used."""
        client = self.clients[detail % len(self.clients)] if self.clients else None
        option = detail // max(1, len(self.clients))
        used = 0
        match what % 16:
            case 0 | 1:
                self.enter(ROOMS[detail % 3], USERS[detail // 3 % 4])
            case 2 if client:
                client.break_off()
            case 3 | 4 if client:
                client.come_back(keep=what % 16 == 3, token="wrong" if option & 7 == 7 else None)
            case 5 | 6 if client and not client.rogue:
                if client.greeted and client.browser.pending is None:
                    self.change(client, option)
                client.offer()
            case 7 | 8 if client and client.inbox:
                client.hear()
            case 9:
                self.listen()
            case 10:
                self.pass_time(detail / 16)
            case 11 if client and client.greeted:
                client.say("leave")
            case 12 if client and client.greeted:
                client.say("ice-restart-request")
            case 13 if client and client.greeted:
                flags = {f"{name}Enabled": bool(option & 1) for name in ("mic", "camera", "screen")}
                client.say("media-state", **flags)
            case 14 if client:
                used = self.go_rogue(client, option, data)
            case 15:
                used = detail
                self.conference.receive(data[:detail], STRANGER)
        self.flush()
        return used

    def enter(self, room: str, user: str) -> None:
        """A client joins, perhaps in place of an older peer of the same user."""
        try:
            client = Client(self, room, user)
        except Refused:
            return
        self.clients = [*(one for one in self.clients if one.connected or one.session), client][-MAX_CLIENTS:]

    def change(self, client: Client, option: int) -> None:
        """Change the transceivers as a page does."""
        client.changed = True
        # A client that stops a line of ours refuses the track on it, so only its own lines are stopped.
        transceivers = [line for line in client.browser.transceivers if not (line.mid or "").startswith("s")]
        sending = [line for line in transceivers if line.sends and not (line.stopped or line.wants_stop)]
        match option % 4:
            case 0 | 1 if len(sending) < MAX_TRACKS:
                client.browser.add("video" if option % 4 else "audio", receives=bool(option & 4))
            case 2 if transceivers:
                transceivers[option // 4 % len(transceivers)].wants_stop = True
            case _ if transceivers:
                line = transceivers[option // 4 % len(transceivers)]
                line.sends = not line.sends and len(sending) < MAX_TRACKS

    def go_rogue(self, client: Client, option: int, data: bytes) -> int:
        """Send the bytes of the input: as they are, or mixed into a description."""
        client.rogue = True
        size, rest = (data[0], data[1:]) if data else (0, b"")
        text = rest[:size].decode("utf-8", "replace")
        if option % 4 == 0:
            self.tell(client, rest[:size])
            return 1 + size
        browser = Browser(numbers=client.browser.numbers)
        for kind in ("audio", "video", "video")[: option % 4]:
            browser.add(kind)
        sdp = browser.offer()
        at = (option * 97) % len(sdp)
        kind = "answer" if option & 4 else "offer"
        client.say(kind, sdp=sdp[:at] + text + sdp[at + (option & 56) :], type=kind)
        return 1 + size

    # --- the end ---

    def listen(self) -> None:
        """Deliver all messages; clients answer, and offer what they still have to offer."""
        for _ in range(PATIENCE):
            busy = False
            for client in self.clients:
                while client.inbox:
                    client.hear()
                    busy = True
                if client.connected and not client.rogue and client.changed and client.may_offer:
                    client.offer()
                    busy = True
                self.flush()
            if not busy:
                return
        raise AssertionError("negotiation without end")

    def end(self) -> None:
        """Let all deadlines expire, check that everybody agrees, and have all clients leave."""
        for client in self.clients:
            if client.rogue and client.connected:
                client.say("leave")
        self.flush()
        for _ in range(5):
            self.listen()
            self.pass_time(9.0)
        self.listen()
        for client in self.clients:
            if client.connected:
                self.check(client)
        for peer in tuple(self.peers):
            self.conference.machine.remove(peer, "left", self.conference.now)
        self.flush()
        for room in tuple(self.conference.machine.rooms.values()):
            self.conference.machine.directory.forget_room(room)
        statistics = self.conference.machine.statistics()
        assert (statistics.rooms, statistics.peers, statistics.routes, statistics.suspended) == (0, 0, 0, 0)
        assert not self.peers
        assert not self.conference.wake_at

    def check(self, client: Client) -> None:
        """Check that the client knows the room as it is."""
        peer = client.peer
        room = self.conference.machine.rooms[peer.room_id]
        others = [other for other in room.peers.values() if other is not peer]
        assert client.peers == {other.id: set(other.tracks) for other in others}
        assert client.suspended == {other.id for other in others if other.suspended}
        assert peer.connection.sdp.state is SignalingState.STABLE
        published = [line.mid for line in client.browser.lines if line.sends and not line.stopped]
        assert sorted(mid for mid in published if mid) == sorted(
            track.mid for track in peer.tracks.values() if track.mid
        )
        wanted = sorted(f"{other.id} {track}" for other in others for track in other.tracks)
        shown = sorted(
            line.track for line in client.browser.lines if line.track and not line.stopped and line.receives
        )
        assert shown == wanted


def one_input(data: bytes) -> None:
    """Run one program."""
    fuzzed = FuzzedConference()
    offset = 0
    for _ in range(MAX_STEPS):
        if offset + 2 > len(data):
            break
        what, detail = data[offset : offset + 2]
        offset += 2
        offset += fuzzed.step(what, detail, data[offset : offset + 256])
    fuzzed.end()
