"""Descriptions that `sfu.sdp` makes, applied by real browsers: the cases of the recorded offers, and our own.

No media and no server: a page with an RTCPeerConnection on one side, a `BundleSession` on the other. A browser
that does not like a description of ours rejects `setRemoteDescription`, which fails the test; what it made of
it is read from its transceivers.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pytest
from browser.chromium import Chromium
from browser.firefox import Firefox
from browser.page import Browser, Page
from browser.rpc import DriverError
from support.browser_model import local_transport, vector

from sfu.sdp import BundleSession, SdpError, SessionDescription, SignalingState
from sfu.sdp.codecs import Codec
from sfu.sdp.mline import MediaKind, SendSlot

pytestmark = pytest.mark.browser

SCRIPT = """() => {
  let connection = null;
  const codecs = (kind, name) => {
    const { codecs } = RTCRtpReceiver.getCapabilities(kind);
    const isNamed = ({ mimeType }) => mimeType.toLowerCase() === `${kind}/${name}`;
    return [...codecs.filter(isNamed), ...codecs.filter((codec) => !isNamed(codec))];
  };
  window.open_ = () => {
    connection?.close();
    connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  };
  const seen = () => ({
    state: connection.signalingState,
    directions: connection.getTransceivers().filter(({ mid }) => mid !== null)
      .map(({ currentDirection }) => currentDirection ?? "stopped"),
    lines: connection.currentRemoteDescription.sdp.match(/^m=/gm).length,
    encodings: connection.getTransceivers().map(({ sender }) => sender.getParameters().encodings.length),
  });
  window.offer = async (change) => {
    await new Function("connection", "codecs", change)(connection, codecs);
    await connection.setLocalDescription();
    return connection.localDescription.sdp;
  };
  window.answered = async (sdp) => {
    await connection.setRemoteDescription({ type: "answer", sdp });
    return seen();
  };
  window.offered = async (sdp, change) => {
    await connection.setRemoteDescription({ type: "offer", sdp });
    await new Function("connection", "codecs", change)(connection, codecs);
    await connection.setLocalDescription();
    return [connection.localDescription.sdp, seen()];
  };
}"""

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive", "stopped"]


@dataclass(frozen=True, slots=True)
class ClientOffers:
    """The page changes something and offers."""

    change: str
    """JavaScript; `connection` is the RTCPeerConnection, `codecs(kind, name)` are all, that one first."""
    directions: Sequence[Direction]
    """Of the transceivers afterwards, as the page sees them."""
    encodings: int | None = None
    """Of the last transceiver's sender."""
    spare: int = 0
    """m-lines beside those of the transceivers: of data channels, and stopped ones not used again."""


@dataclass(frozen=True, slots=True)
class WeOffer:
    """We change something and offer."""

    change: Callable[["Slots"], None]
    directions: Sequence[Direction]
    meanwhile: str = ""
    """JavaScript between the page's setRemoteDescription and its answer."""
    crossing: str | None = None
    """JavaScript that makes an offer, which is not sent but rolled back."""


class Slots:
    """Our end of one connection, and the tracks that it sends."""

    def __init__(self) -> None:
        self._ssrcs = itertools.count(1)
        self._transports = itertools.count(1)
        self._tracks = itertools.count(1)
        self.session = BundleSession(
            local_transport(), session_id=4711, make_ssrc=lambda: next(self._ssrcs), simulcast=True
        )
        self.senders: list[SendSlot] = []

    def send(self, *kinds: MediaKind) -> None:
        """One track more of each of these kinds."""
        for kind in kinds:
            track = f"track{next(self._tracks)}"
            self.senders.append(self.session.acquire_slot(kind, "somebody", track, CODECS[kind], "cname"))

    def release(self, index: int) -> None:
        """The track that was the `index`-th ends."""
        self.session.release_slot(self.senders.pop(index))

    def again(self) -> None:
        """The first track needs another slot: the client has stopped the one it had."""
        assert self.senders[0].stopped
        del self.senders[0]
        self.send("video")

    def restart_ice(self) -> None:
        """Other ICE credentials from now on."""
        self.session.restart_ice(local_transport(next(self._transports)))


def _codecs() -> dict[MediaKind, Sequence[Codec]]:
    """The codecs of a Chromium that publishes."""
    session = Slots().session
    session.apply_offer(vector("chromium-offer-audio-video"))
    return {receiver.kind: receiver.codecs for receiver in session.receivers}


CODECS = _codecs()
EACH: tuple[MediaKind, ...] = ("audio", "video")


def add(kind: MediaKind, init: str = "{}") -> str:
    """JavaScript that adds a transceiver."""
    return f'const added = connection.addTransceiver("{kind}", {init});'


def preferring(kind: MediaKind, codec: str, init: str = "{}") -> str:
    """The same for one that prefers a codec."""
    return f'{add(kind, init)} added.setCodecPreferences(codecs("{kind}", "{codec}"));'


BOTH = f"{{ {add('audio')} }} {{ {add('video')} }}"
SENDS = '{direction: "sendonly"}'
RECEIVES = '{direction: "recvonly"}'
MANY = f"for (let n = 0; n < 8; n += 1) {{ {{ {add('audio', RECEIVES)} }} {{ {add('video', RECEIVES)} }} }}"
LAYERS = (
    '{direction: "sendonly", sendEncodings: [{rid: "h"}, {rid: "m", scaleResolutionDownBy: 2},'
    ' {rid: "l", scaleResolutionDownBy: 4}]}'
)
STOP = "connection.getTransceivers()[{}].stop();"
CHANNEL = 'connection.createDataChannel("chat");'

CALL = ClientOffers(BOTH, ["sendonly", "sendonly"])
"""Both kinds, offered in both directions, of which we have nothing to send."""

CASES: dict[str, Sequence[ClientOffers | WeOffer]] = {
    "audio only": [ClientOffers(add("audio", SENDS), ["sendonly"])],
    "audio and video": [CALL],
    "data channel beside them": [ClientOffers(BOTH + CHANNEL, ["sendonly", "sendonly"], spare=1)],
    "camera and screen": [ClientOffers(f"{BOTH} {add('video', SENDS)}", ["sendonly"] * 3)],
    "RED first": [ClientOffers(preferring("audio", "red", SENDS), ["sendonly"])],
    **{
        f"simulcast {codec}": [ClientOffers(preferring("video", codec, LAYERS), ["sendonly"], 3)]
        for codec in ("vp8", "vp9", "h264", "av1")
    },
    "nothing to receive": [ClientOffers(add("video", RECEIVES), ["inactive"])],
    "many to receive": [
        ClientOffers(MANY, ["inactive"] * 16),
        WeOffer(lambda slots: slots.send(*EACH * 8), ["recvonly"] * 16),
    ],
    "direction that changes": [
        CALL,
        ClientOffers('connection.getTransceivers()[1].direction = "inactive";', ["sendonly", "inactive"]),
        ClientOffers('connection.getTransceivers()[1].direction = "sendrecv";', ["sendonly", "sendonly"]),
    ],
    "line stopped, then used again": [
        CALL,
        ClientOffers(STOP.format(1), ["sendonly"], spare=1),
        ClientOffers(add("video", SENDS), ["sendonly", "sendonly"]),
    ],
    "line stopped, then used by us": [
        CALL,
        ClientOffers(STOP.format(0), ["sendonly"], spare=1),
        WeOffer(lambda slots: slots.send("video", "audio"), ["sendonly", "recvonly", "recvonly"]),
    ],
    "ICE restart by the client": [
        CALL,
        ClientOffers("connection.restartIce();", ["sendonly", "sendonly"]),
    ],
    "ICE restart by us": [
        CALL,
        WeOffer(Slots.restart_ice, ["sendonly", "sendonly"]),
        WeOffer(lambda slots: slots.send("audio"), ["sendonly", "sendonly", "recvonly"]),
    ],
    "slots of ours, idle and used again": [
        ClientOffers(add("audio", SENDS), ["sendonly"]),
        WeOffer(lambda slots: slots.send("video", "video"), ["sendonly", "recvonly", "recvonly"]),
        WeOffer(lambda slots: slots.release(0), ["sendonly", "inactive", "recvonly"]),
        WeOffer(lambda slots: slots.send("video"), ["sendonly", "recvonly", "recvonly"]),
    ],
    "slot of ours that the client rejects": [
        CALL,
        # A transceiver that is stopped before the answer is inactive in that, and rejected by the next offer.
        WeOffer(
            lambda slots: slots.send("video", "video"),
            ["sendonly", "sendonly", "inactive", "recvonly"],
            meanwhile=STOP.format(2),
        ),
        ClientOffers("", ["sendonly", "sendonly", "recvonly"], spare=1),
        WeOffer(Slots.again, ["sendonly", "sendonly", "recvonly", "recvonly"]),
    ],
    "offers that cross": [
        CALL,
        WeOffer(
            lambda slots: slots.send("audio", "video"),
            ["sendonly", "sendonly", "recvonly", "recvonly"],
            crossing=add("video", SENDS),
        ),
        ClientOffers("", ["sendonly", "sendonly", "sendonly", "recvonly", "recvonly"]),
    ],
}


class Exchange:
    """One page and one session that take turns."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.slots = Slots()
        self.flipped = 0
        """Header extensions that the page only sends and we only receive, in all answers."""

    async def client_offers(self, step: ClientOffers) -> None:
        """The page offers, we answer."""
        session = self.slots.session
        offer = await self.page.evaluate("(change) => window.offer(change)", step.change)
        session.apply_offer(offer)
        if session.remote_restarted:
            self.slots.restart_ice()
        answer = session.create_answer()
        seen = await self.page.evaluate("(sdp) => window.answered(sdp)", answer)
        assert (seen["state"], seen["directions"]) == ("stable", step.directions)
        assert seen["lines"] == len(step.directions) + step.spare
        if step.encodings is not None:
            assert seen["encodings"][-1] == step.encodings
        self.flipped += flipped_extensions(offer, answer)

    async def we_offer(self, step: WeOffer) -> None:
        """We offer, the page answers; an offer of its own is rolled back for that."""
        session = self.slots.session
        if step.crossing is not None:
            await self.page.evaluate("(change) => window.offer(change)", step.crossing)
        step.change(self.slots)
        assert session.needs_offer
        offer = session.create_offer()
        answer, seen = await self.page.evaluate(
            "(...arguments) => window.offered(...arguments)", offer, step.meanwhile
        )
        session.apply_answer(answer)
        assert (seen["state"], seen["directions"]) == ("stable", step.directions)
        assert seen["lines"] == len(step.directions)
        assert session.state is SignalingState.STABLE


def flipped_extensions(offer: str, answer: str) -> int:
    """Check that what the client only sends we only receive (RFC 8285 section 6); return how many those are."""
    flipped = {None: None, "sendonly": "recvonly", "recvonly": "sendonly"}
    count = 0
    pairs = zip(SessionDescription.parse(offer).media, SessionDescription.parse(answer).media, strict=True)
    for theirs, ours in pairs:
        directions = {entry.id: entry.direction for entry in theirs.extensions}
        assert all(entry.direction == flipped[directions[entry.id]] for entry in ours.extensions)
        count += sum(entry.direction is not None for entry in ours.extensions)
    return count


async def _all_cases(browser: Browser) -> int:
    """Go through all cases; return in how many extensions the direction was turned round."""
    page = await browser.new_page("about:blank")
    await page.evaluate(SCRIPT)
    failures, flipped = [], 0
    for name, steps in CASES.items():
        await page.evaluate("() => window.open_()")
        exchange = Exchange(page)
        for number, step in enumerate(steps):
            try:
                if isinstance(step, ClientOffers):
                    await exchange.client_offers(step)
                else:
                    await exchange.we_offer(step)
            except (AssertionError, DriverError, SdpError) as error:
                failures.append(f"{name}, step {number}: {error!r}")
                break
        flipped += exchange.flipped
    assert not failures, "\n".join(failures)
    return flipped


async def test_chromium_takes_our_descriptions(chromium: Chromium) -> None:
    await _all_cases(chromium)


async def test_firefox_takes_our_descriptions(firefox: Firefox) -> None:
    assert await _all_cases(firefox) > 0  # it offers some as `extmap:N/sendonly`
