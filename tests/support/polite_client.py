"""The polite end of a negotiation over WebSockets that delay and break: a browser and our client library.

`PoliteClient` does what `web/src/client/negotiation.ts` and `negotiator.ts` do, except that a browser's
operations take no time here. `Wire` is one WebSocket: in order; what is under way when it breaks is lost.
"""

import itertools
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from support.browser_model import CHROMIUM, Browser, Numbers, Transceiver

from sfu.sdp import SessionDescription

ANSWER_DEADLINE = 10.0
RETRY_DELAYS = (0.5, 1.0, 2.0, 4.0)
LIVENESS = 20.0
"""Seconds without a message after which the client closes a WebSocket."""

KIND = {"mic": "audio", "camera": "video", "screen": "video"}


@dataclass(eq=False)
class Wire:
    """One WebSocket: the messages under way on it, each with the time when it was sent."""

    broken: bool = False
    """The client or the network has dropped it: what the server sends is lost."""
    up: deque[tuple[float, str, dict[str, Any]]] = field(default_factory=deque)
    down: deque[tuple[float, dict[str, Any]]] = field(default_factory=deque)


class PoliteClient:
    """One client and its RTCPeerConnection; `now` is seconds, as everywhere."""

    def __init__(self, numbers: Numbers = CHROMIUM) -> None:
        self.numbers = numbers
        self.wire: Wire | None = None
        self.joined = False
        """The server has acknowledged our join on this wire."""
        self.entered = False
        """The server has sent the room's state; from then on it makes offers to this client."""
        self.heard_at = 0.0
        """When the last message arrived."""
        self.session: dict[str, str] = {}
        """Session id and token, once there is a session."""
        self.published: dict[str, Transceiver] = {}
        """Transceivers by source."""
        self.track_ids: dict[str, str] = {}
        """Track ids of the server by source."""
        self.errors: list[dict[str, Any]] = []
        self.failing = False
        """Whether the browser rejects the next description."""
        self.connections = 0
        self.recoveries = 0
        """Rollbacks because no answer came or the browser failed; the mids of the offer are then lost."""
        self.open()

    def open(self) -> None:
        """Use a new RTCPeerConnection and publish the same tracks there."""
        self.browser = Browser(numbers=self.numbers)
        self.connections += 1
        self.offered: str | None = None
        """Our offer, while it waits for its answer."""
        self.wanted = False
        self.not_before = self.deadline = 0.0
        self.failures = 0
        self.gave_up = False
        self._parked: dict[str, list[Transceiver]] = {}
        self._agreed: dict[Transceiver, str] = {}
        self._restart = False
        self._ice_before = 0
        self._ice = itertools.count(1)
        self._their_ufrag: str | None = None
        sources, self.published, self.track_ids = tuple(self.published), {}, {}
        for source in sources:
            self._carry(source)

    # --- the page ---

    def publish(self, source: str, now: float) -> None:
        """Publish a track, unless one of that source is published."""
        if source not in self.published:
            self._carry(source)
            self._need(now)

    def unpublish(self, source: str, now: float) -> None:
        """End a publication; its transceiver is kept for the next."""
        transceiver = self.published.pop(source, None)
        self.track_ids.pop(source, None)
        if transceiver is not None:
            transceiver.sends = False
            self._parked.setdefault(source, []).append(transceiver)
            self._need(now)

    def restart_ice(self, now: float) -> None:
        """What RTCPeerConnection.restartIce() does: nothing before the first negotiation."""
        if self.browser.lines:
            self._restart = True
            self._need(now)

    def ask_for_restart(self, now: float) -> None:
        """Send `ice-restart-request`: the server then offers new ICE credentials."""
        if self.joined:
            self._send("ice-restart-request", {}, now)

    def choose(self, track_id: str, peer_id: str, now: float, *, wanted: bool) -> None:
        """Subscribe to a track or unsubscribe from it."""
        if self.joined:
            message_type = "subscribe" if wanted else "unsubscribe"
            self._send(message_type, {"trackId": track_id, "peerId": peer_id}, now)

    def _carry(self, source: str) -> None:
        parked = self._parked.get(source, [])
        free = next((one for one in parked if self._agreed.get(one) == "inactive"), None)
        if free is None:
            free = self.browser.add(KIND[source], receives=False)
        else:
            parked.remove(free)
            free.sends = True
        self.published[source] = free

    # --- the connection to the server ---

    def break_off(self) -> None:
        """Notice that the WebSocket is dead, or close it."""
        if self.wire is not None:
            self.wire.broken = True
        self.wire = None
        self.joined = self.entered = False

    def reconnect(self, transport: str, now: float) -> Wire:
        """Open another WebSocket and join."""
        self.wire = Wire()
        self.heard_at = now
        self.joined = self.entered = False
        if self.gave_up or not self.session:
            transport = "new"
        self._send("join", {**self.session, "transport": transport}, now)
        return self.wire

    def hear(self, message: dict[str, Any], now: float) -> None:
        """Take a message of the server."""
        self.heard_at = now
        data = message["data"]
        match message["type"]:
            case "join":
                self.session = {"sessionId": data["sessionId"], "sessionToken": data["sessionToken"]}
                self.joined = True
                if data["transport"] == "new":
                    self.open()
                    self.wanted = bool(self.published)
            case "room-state":
                self._enter(data, now)
            case "offer" | "ice-restart-offer":
                self._hear_offer(data["sdp"], now)
            case "answer":
                self._hear_answer(data["sdp"], now)
            case "track-published" if "mid" in data:
                source = next((s for s, one in self.published.items() if one.mid == data["mid"]), None)
                if source is not None:
                    self.track_ids[source] = data["trackId"]
            case "error":
                self.errors.append(data)

    def _enter(self, state: dict[str, Any], now: float) -> None:
        self.entered = True
        if self.browser.their_version < 0 and self.offered is None:
            for peer in state["peers"]:
                for track in peer["tracks"]:
                    self.browser.add(track["kind"], sends=False)
                    self.wanted = True
        if self.offered is not None:
            self._send_offer(now)
        else:
            self._next(now)

    def _send(self, message_type: str, data: dict[str, Any], now: float) -> None:
        if self.wire is not None:
            self.wire.up.append((now, message_type, data))

    # --- negotiation ---

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due."""
        if not self.entered:
            return None
        if self.offered is not None:
            return self.deadline
        return self.not_before if self.wanted else None

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        if not self.entered:
            return
        if self.offered is None:
            self._next(now)
        elif now >= self.deadline:
            self._recover(now, wanted=True)

    def _need(self, now: float) -> None:
        self.wanted = True
        if self.offered is None:
            self._next(now)

    def _next(self, now: float) -> None:
        if not self.wanted or not self.entered or now < self.not_before or self.gave_up:
            return
        self.wanted = False
        self._ice_before = self.browser.ice
        if self._restart:
            self._restart = False
            self.browser.ice = next(self._ice)
        self.offered = self.browser.offer()
        self._send_offer(now)

    def _send_offer(self, now: float) -> None:
        self.deadline = now + ANSWER_DEADLINE
        tracks = [{"mid": one.mid, "source": source} for source, one in self.published.items() if one.mid]
        self._send("offer", {"sdp": self.offered, "type": "offer", "tracks": tracks}, now)

    def _hear_offer(self, sdp: str, now: float) -> None:
        if self.gave_up:
            return
        if self.offered is not None:
            if self._knows_our_offer(sdp):
                return  # its answer to ours was lost and will be sent again
            self._roll_back()
            self.wanted = True
        if self.failing:
            self.failing = False
            self._recover(now, wanted=self.wanted)
            return
        ufrag = ufrag_of(sdp)
        if ufrag != self._their_ufrag and self._their_ufrag is not None:
            self.browser.ice = next(self._ice)
        self._their_ufrag = ufrag
        answer = self.browser.answer(sdp)
        self._send("answer", {"sdp": answer, "type": "answer"}, now)
        self._succeed(now)

    def _hear_answer(self, sdp: str, now: float) -> None:
        if self.offered is None or self.gave_up:
            return
        if self.failing:
            self.failing = False
            self._recover(now, wanted=True)
            return
        self.offered = None
        self._their_ufrag = ufrag_of(sdp)
        self.browser.receive_answer(sdp)
        self._succeed(now)

    def _knows_our_offer(self, sdp: str) -> bool:
        """Whether an offer names m-lines of our pending offer alone: then the server has applied that."""
        agreed = {line.mid for line in self.browser.lines}
        ours = {line.mid for line in self.browser.pending or ()} - agreed
        return any(media.mid in ours and not media.stopped for media in SessionDescription.parse(sdp).media)

    def _succeed(self, now: float) -> None:
        self._agreed = {line: line.direction for line in self.browser.lines}
        self.failures = 0
        self.not_before = 0.0
        self._next(now)

    def _recover(self, now: float, *, wanted: bool) -> None:
        self.recoveries += 1
        if self.offered is not None:
            self._roll_back()
        self.wanted = wanted
        if self.failures == len(RETRY_DELAYS):
            self.gave_up = True
            self.break_off()
            return
        self.not_before = now + RETRY_DELAYS[self.failures]
        self.failures += 1

    def _roll_back(self) -> None:
        self.browser.rollback()
        self.offered = None
        if self.browser.ice != self._ice_before:
            self.browser.ice = self._ice_before
            self._restart = True


def ufrag_of(sdp: str) -> str | None:
    """The server's ICE user-name fragment in a description; None where every m-line is stopped."""
    match = re.search(r"(?m)^a=ice-ufrag:(\S+)", sdp)
    return match[1] if match else None
