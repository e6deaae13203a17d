"""One person in a room: a page that runs the client library, and what can be asked of it.

Waiting is polling of snapshots (`Participant.until`): getStats has no events, and a snapshot that explains a
failure is worth more than a promise that never resolved.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import trio
from browser.page import Browser, Page
from browser.sfu_process import SfuProcess

__all__ = ["AUDIBLE", "Participant", "Received", "Snapshot", "enter", "join_to_first_frame"]

SCRIPT = Path(__file__).with_name("participant.js")

SECONDS = 15.0
"""Default bound for what should happen soon. Media of a call starts in about one second on an idle machine."""

SAMPLE_SECONDS = 0.1
"""Time between two snapshots while waiting."""

Source = Literal["mic", "camera", "screen"]


@dataclass(frozen=True, slots=True)
class Received:
    """One remote track as getStats describes it at the receiver. Counters belong to the slot."""

    peer: str
    """The publisher's name."""
    source: Source
    track_id: str
    mid: str
    codec: str
    """``video/VP8`` and the like; empty before the first packet."""
    packets: int
    lost: int
    """Cumulative number of packets lost (RFC 3550); retransmissions that arrived are not lost."""
    nacks: int
    """NACK messages that this receiver has sent."""
    plis: int
    """Picture loss indications that this receiver has sent."""
    frames: int
    """Video frames decoded."""
    shown: int
    """Frames of this track that the page displayed; decoded frames need not be displayed."""
    width: int
    height: int
    freezes: int
    """Pauses between frames that a person would notice (libwebrtc's definition); -1 where not reported."""
    audio_energy: float
    """Energy of what was played, in full-scale squared seconds: grows with sound, not with silence."""
    report_ntp: float
    """Publisher's clock in the last RTCP sender report, in ms; 0 before one. Lip sync needs these reports."""
    playout_ntp: float
    """Publisher's clock, in ms, when what is played now was recorded; 0 where the browser does not know."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a participant sees at one moment."""

    state: str
    """The library's connection state."""
    states: list[str]
    """All states of the library so far."""
    session: tuple[str, str] | None
    """Peer id and session id, while in a room."""
    connections: int
    """RTCPeerConnections that the library has opened so far."""
    negotiations: int
    """Offers and answers that it has made on the current one."""
    suspended: list[str]
    """Names of the other participants with a broken connection."""
    connection: str
    """``RTCPeerConnection.connectionState``, ``none`` before there is one."""
    peers: dict[str, dict[str, bool]]
    """The others' media states by name."""
    received: dict[tuple[str, str], Received]
    """Remote tracks by publisher's name and source."""
    sending: dict[Source, dict[str, Any]]
    """The outbound-rtp statistics of the own tracks."""
    m_lines: int
    """Media sections in the current remote description."""
    errors: list[str]
    """Error events of the library."""
    first_frame_ms: float | None
    """Milliseconds from the call of join to the first remote video frame that was shown."""


class Participant:
    """A page in which the client library runs."""

    def __init__(self, page: Page, name: str, browser: str) -> None:
        self.page = page
        self.name = name
        self.browser = browser

    async def join(
        self,
        room: str,
        *,
        publish: tuple[Source, ...] = ("mic", "camera"),
        codec: str = "",
        user: str = "",
    ) -> None:
        """Join `room` and publish; returns when the server has let us in.

        `codec` restricts what is sent as video: ``vp8``, ``vp9``, ``h264`` or ``av1``. Without a `user` id the
        library chooses a random one.
        """
        await self.page.evaluate(
            "(...arguments) => window.participant.join(...arguments)", room, self.name, publish, codec, user
        )

    async def publish(self, source: Source) -> None:
        """Publish one more source; ``screen`` is a moving canvas of 1280 x 720."""
        await self.page.evaluate("(source) => window.participant.publish(source)", source)

    async def unpublish(self, source: Literal["screen"]) -> None:
        """Take the screen back. Microphone and camera are muted instead (`set_enabled`)."""
        await self.page.evaluate("(source) => window.participant.unpublish(source)", source)

    async def set_enabled(self, source: Source, enabled: bool) -> None:
        """Mute or unmute, as the page's buttons do."""
        await self.page.evaluate("(...a) => window.participant.setEnabled(...a)", source, enabled)

    async def reload(self) -> None:
        """Load the page again; nothing is joined then, as after `enter`."""
        await self.page.reload()
        await self.page.evaluate(SCRIPT.read_text())

    async def unsubscribe(self, name: str, source: Source) -> None:
        """Receive a track of the participant `name` no longer."""
        await self.page.evaluate("(...a) => window.participant.unsubscribe(...a)", name, source)

    async def leave(self) -> None:
        """Leave the room."""
        await self.page.evaluate("() => window.participant.leave()")

    async def snapshot(self) -> Snapshot:
        """Return the present state of everything."""
        raw = await self.page.evaluate("() => window.participant.snapshot()")
        received = [Received(**track) for track in raw.pop("received")]
        raw["session"] = raw["session"] and tuple(raw["session"])
        return Snapshot(**raw, received={(track.peer, track.source): track for track in received})

    async def until(
        self, condition: Callable[[Snapshot], bool], what: str, *, seconds: float = SECONDS
    ) -> Snapshot:
        """Return the first snapshot that fulfils `condition`.

        Raises AssertionError that shows the last snapshot and the page's console after `seconds`.
        """
        last: Snapshot | None = None
        with trio.move_on_after(seconds):
            while True:
                last = await self.snapshot()
                if condition(last):
                    return last
                await trio.sleep(SAMPLE_SECONDS)
        console = "\n".join(f"{level}: {text}" for level, text in self.page.log)
        raise AssertionError(f"{self.name} ({self.browser}): not within {seconds} s: {what}\n{last}\n{console}")

    async def sees_and_hears(
        self, other: "Participant", *, sources: tuple[Source, ...] = ("mic", "camera"), seconds: float = SECONDS
    ) -> Snapshot:
        """Wait until media of `other` flows *from now on*: frames are decoded and shown, sound is played.

        Counters are compared with a snapshot taken at the start, since a slot that is re-used goes on counting.
        """
        before = (await self.snapshot()).received

        def flows(now: Snapshot) -> bool:
            for source in sources:
                track = now.received.get((other.name, source))
                if track is None:
                    return False
                start = next((old for old in before.values() if old.mid == track.mid), None)
                if source == "mic":
                    if track.audio_energy < (start.audio_energy if start else 0.0) + AUDIBLE:
                        return False
                    continue
                frames = start.frames if start else 0
                shown = start.shown if start and start.track_id == track.track_id else 0
                if track.width == 0 or track.frames < frames + FRAMES or track.shown < shown + FRAMES:
                    return False
            return True

        return await self.until(flows, f"{'+'.join(sources)} of {other.name} flows", seconds=seconds)


AUDIBLE = 0.001
"""Audio energy that counts as heard: Chromium's fake microphone gives 0.2 per second, Firefox's 0.01."""

FRAMES = 10
"""Decoded frames that count as "video flows": more than one key frame, a third of a second of camera."""


async def join_to_first_frame(viewer: Participant, room: str, *, seconds: float = SECONDS) -> float:
    """Join a room in which somebody sends video; return the milliseconds until its first frame was shown.

    The clock starts at the library's `join` with the devices already open, and so covers the WebSocket, the
    signaling, ICE, DTLS, both offers and answers, the key frame and the decoder.
    """
    await viewer.join(room)
    now = await viewer.until(lambda now: now.first_frame_ms is not None, "the first frame", seconds=seconds)
    assert now.first_frame_ms is not None
    return now.first_frame_ms


async def enter(server: SfuProcess, browser: Browser, name: str, *, url: str | None = None) -> Participant:
    """Open a page of the server's origin with the client library in it; nothing is joined yet.

    The page is the library's own file shown as text: a document of the right origin with nothing else in it.
    `url` is another way to the server, through a relay for example.
    """
    page = await browser.new_page(f"{url or server.url}/client.js")
    await page.evaluate(SCRIPT.read_text())
    return Participant(page, name, browser.name)
