"""A model of a browser that only does offer/answer, and what else the tests of `sfu.sdp` share.

`Browser` behaves as RFC 9429 requires of an RTCPeerConnection. It is independent of `sfu.sdp`: it makes its
descriptions from templates, and asserts that each of our descriptions keeps the rules that a browser checks.
"""

import itertools
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from support.captures import VECTORS

from sfu.sdp import BundleSession, LocalTransport, SessionDescription

FOLDER = VECTORS / "sdp"
VECTOR_NAMES = sorted(file.stem for file in FOLDER.glob("*.sdp"))

FINGERPRINT = "sha-256 " + ":".join(["AB"] * 32)
CANDIDATE = "1 1 udp 2130706431 192.0.2.2 7882 typ host"


def vector(name: str) -> str:
    """A description of tests/vectors/sdp, line ends as recorded."""
    return (FOLDER / f"{name}.sdp").read_bytes().decode()


def local_transport(number: int = 0) -> LocalTransport:
    """Our end of a transport; different numbers have different ICE credentials."""
    return LocalTransport(f"lite{number}", f"passwordpasswordpassword{number}", FINGERPRINT, (CANDIDATE,))


def make_session(*, simulcast: bool = False, first_ssrc: int = 1) -> BundleSession:
    """A session that numbers its SSRCs from `first_ssrc`."""
    ssrcs = itertools.count(first_ssrc)
    return BundleSession(local_transport(), session_id=4711, make_ssrc=lambda: next(ssrcs), simulcast=simulcast)


class Numbers(NamedTuple):
    """How one browser numbers things: rtpmap, fmtp, rtcp-fb and extmap lines of each kind."""

    formats: dict[str, str]
    lines: dict[str, tuple[str, ...]]
    extensions: dict[str, tuple[str, ...]]


VIDEO_FEEDBACK = ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")


def _video(payload_type: int, name: str, rtx: int, fmtp: str = "") -> tuple[str, ...]:
    return (
        f"a=rtpmap:{payload_type} {name}/90000",
        *(f"a=rtcp-fb:{payload_type} {value}" for value in VIDEO_FEEDBACK),
        *([f"a=fmtp:{payload_type} {fmtp}"] if fmtp else []),
        f"a=rtpmap:{rtx} rtx/90000",
        f"a=fmtp:{rtx} apt={payload_type}",
    )


H264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"

CHROMIUM = Numbers(
    {"audio": "111 63 126", "video": "96 97 98 99 108 109 118"},
    {
        "audio": (
            "a=rtpmap:111 opus/48000/2",
            "a=rtcp-fb:111 transport-cc",
            "a=fmtp:111 minptime=10;useinbandfec=1",
            "a=rtpmap:63 red/48000/2",
            "a=fmtp:63 111/111",
            "a=rtpmap:126 telephone-event/8000",
        ),
        "video": (
            *_video(96, "VP8", 97),
            *_video(98, "VP9", 99, "profile-id=0"),
            *_video(108, "H264", 109, H264),
            "a=rtpmap:118 ulpfec/90000",
        ),
    },
    {
        "audio": (
            "1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            "3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            "4 urn:ietf:params:rtp-hdrext:sdes:mid",
        ),
        "video": (
            "3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            "4 urn:ietf:params:rtp-hdrext:sdes:mid",
            "13 urn:3gpp:video-orientation",
        ),
    },
)

FIREFOX = Numbers(
    {"audio": "109 101", "video": "120 124 121 125"},
    {
        "audio": (
            "a=rtpmap:109 opus/48000/2",
            "a=rtcp-fb:109 transport-cc",
            "a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1",
            "a=rtpmap:101 telephone-event/8000",
        ),
        "video": (
            *_video(120, "VP8", 124, "max-fs=12288;max-fr=60"),
            *_video(121, "VP9", 125, "max-fs=12288;max-fr=60"),
        ),
    },
    {
        "audio": (
            "1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            "2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level",
            "3 urn:ietf:params:rtp-hdrext:sdes:mid",
        ),
        "video": (
            "3 urn:ietf:params:rtp-hdrext:sdes:mid",
            "6/recvonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            "9/sendonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        ),
    },
)


@dataclass(eq=False)
class Transceiver:
    """One m-line as the browser sees it."""

    kind: str
    mid: str | None = None
    index: int | None = None
    sends: bool = False
    receives: bool = True
    stopped: bool = False
    agreed_to_send: bool = False
    """As negotiated last. `sends` may have changed since, which needs another offer of the browser."""
    wants_stop: bool = False
    """What transceiver.stop() does until it is negotiated."""
    ssrc: int = 0
    track: str | None = None
    """What our last description put on it: stream and track."""
    ssrcs: tuple[int, ...] = ()
    """The SSRCs by which our descriptions named it."""

    @property
    def direction(self) -> str:
        return ("sendrecv" if self.receives else "sendonly") if self.sends else (
            "recvonly" if self.receives else "inactive"
        )  # fmt: skip


FLIP = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


@dataclass(eq=False)
class Browser:
    """A polite RTCPeerConnection without media. Assertions are about our descriptions."""

    numbers: Numbers = CHROMIUM
    transceivers: list[Transceiver] = field(default_factory=list)
    refused_codecs: frozenset[str] = frozenset()
    ice: int = 0
    version: int = 0
    lines: list[Transceiver] = field(default_factory=list)
    """The m-lines agreed so far, by index."""
    pending: list[Transceiver] | None = None
    offered: list[str] = field(default_factory=list)
    """The directions in the pending offer; those of the transceivers may have changed since."""
    server_is_lite: bool = True
    """Whether the server's descriptions must say that, and contain all candidates."""
    their_version: int = -1
    payload_types: dict[int, str] = field(default_factory=dict)
    extension_ids: dict[int, str] = field(default_factory=dict)
    ssrc_of_mid: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _count: "itertools.count[int]" = field(default_factory=itertools.count)
    _mids: "itertools.count[int]" = field(default_factory=itertools.count)
    """Never the same mid twice, as in libwebrtc: a line that was rolled back gets another one."""

    # --- the page's side ---

    def add(self, kind: str, *, sends: bool = True, receives: bool = True) -> Transceiver:
        """What addTransceiver does."""
        transceiver = Transceiver(kind, sends=sends, receives=receives, ssrc=900_000 + 2 * next(self._count))
        self.transceivers.append(transceiver)
        return transceiver

    def offer(self) -> str:
        """What createOffer and setLocalDescription do."""
        lines = list(self.lines)
        for transceiver in self.transceivers:
            if transceiver.mid is not None or transceiver.stopped or transceiver.wants_stop:
                continue
            free = next((i for i, line in enumerate(lines) if line.stopped and line in self.lines), None)
            taken = {line.mid for line in (*self.lines, *lines)}
            transceiver.mid = next(str(n) for n in self._mids if str(n) not in taken)
            if free is None:
                lines.append(transceiver)
            else:
                lines[free] = transceiver
        self.pending = lines
        self.offered = [line.direction for line in lines]
        self.version += 1
        return self._print([self._section(line, line.direction, FULL) for line in lines], lines, "actpass")

    def rollback(self) -> None:
        """What a rollback does: lines that only the offer had lose their mid."""
        for line in self.pending or ():
            if line not in self.lines:
                line.mid = None
        self.pending = None

    def receive_answer(self, text: str) -> None:
        """What setRemoteDescription does with our answer to the pending offer."""
        assert self.pending is not None
        answer = self._check(text)
        assert len(answer.media) == len(self.pending)
        assert all(media.setup in (None, "passive") for media in answer.media)
        self.lines, self.pending = self.pending, None
        for line, offered, media in zip(self.lines, self.offered, answer.media, strict=True):
            assert (media.kind, media.stopped) == (line.kind, media.stopped or line.stopped)
            assert media.stopped or not line.wants_stop
            if media.stopped:
                line.stopped = True
                continue
            assert media.mid == line.mid
            ours = FLIP[media.direction or "sendrecv"]
            line.agreed_to_send = offered in ("sendrecv", "sendonly")
            assert not (ours in ("sendrecv", "sendonly") and not line.agreed_to_send)
            assert not (ours in ("sendrecv", "recvonly") and offered not in ("sendrecv", "recvonly"))
            # The answer uses the offer's numbers and keeps the order of its codecs.
            formats = self.numbers.formats[line.kind].split()
            assert [name for name in formats if name in media.formats] == list(media.formats)
            known = {re.sub("/.*? ", " ", entry) for entry in self.numbers.extensions[line.kind]}
            assert {f"{entry.id} {entry.uri}" for entry in media.extensions} <= known
            line.track = str(media.msids[0]) if media.msids else None

    def fits(self, text: str) -> bool:
        """Whether the m-lines of the server's answer fit the pending offer."""
        pending, answered = self.pending or [], SessionDescription.parse(text).media
        return len(pending) == len(answered) and all(
            line.stopped or line.mid == media.mid for line, media in zip(pending, answered, strict=True)
        )

    def takes(self, text: str) -> bool:
        """Whether each m-line of the server's offer in the place of a line in use is that line."""
        agreed = zip(self.lines, SessionDescription.parse(text).media, strict=False)
        return all(line.stopped or line.mid == media.mid for line, media in agreed)

    def answer(self, text: str) -> str:
        """What setRemoteDescription, createAnswer and setLocalDescription do with our offer."""
        if self.pending is not None:
            self.rollback()
        offer = self._check(text)
        assert self.takes(text), "a living m-line changed its mid"
        assert len(offer.media) >= len(self.lines)
        sections = []
        for index, media in enumerate(offer.media):
            line = self.lines[index] if index < len(self.lines) else None
            if line is not None and line.mid != media.mid:
                line = None
            if line is None:
                line = Transceiver(media.kind, media.mid, ssrc=900_000 + 2 * next(self._count))
                self.lines[index : index + 1] = [line]
                if not media.stopped:
                    self.transceivers.append(line)
            assert media.kind == line.kind
            if media.stopped or line.stopped or line.wants_stop:
                line.stopped = True
                sections.append(self._section(line, "inactive", ()))
                continue
            assert media.setup == "actpass"
            direction = FLIP[media.direction or "sendrecv"]
            line.agreed_to_send = sends = direction in ("sendrecv", "sendonly") and line.sends
            receives = direction in ("sendrecv", "recvonly") and line.receives
            line.track = str(media.msids[0]) if media.msids else None
            codecs = [row for row in media.rtpmaps if row.name not in self.refused_codecs]
            if not codecs or all(row.name == "rtx" for row in codecs):
                line.stopped = True
                sections.append(self._section(line, "inactive", ()))
                continue
            body = [
                *(f"a=extmap:{entry}" for entry in media.extensions),
                *(f"a=rtpmap:{row}" for row in codecs),
                *(f"a=fmtp:{row}" for row in media.fmtps),
                *(f"a=rtcp-fb:{row}" for row in media.rtcp_feedback),
            ]
            word = {(True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly"}
            names = " ".join(str(row.payload_type) for row in codecs)
            sections.append(self._section(line, word.get((sends, receives), "inactive"), (names, *body)))
        self.version += 1
        return self._print(sections, self.lines, "active")

    # --- printing ---

    def _section(self, line: Transceiver, direction: str, body: tuple[str, ...]) -> list[str]:
        if line.stopped or line.wants_stop:
            return [
                f"m={line.kind} 0 UDP/TLS/RTP/SAVPF 0",
                "c=IN IP4 0.0.0.0",
                f"a=mid:{line.mid}",
                "a=inactive",
            ]
        if body is FULL:
            extensions = (f"a=extmap:{entry}" for entry in self.numbers.extensions[line.kind])
            body = (self.numbers.formats[line.kind], *self.numbers.lines[line.kind], *extensions)
        sends = direction in ("sendrecv", "sendonly")
        names = [f"a=ssrc:{line.ssrc} cname:c", f"a=msid:own track{line.ssrc}"] if sends else []
        if sends and line.kind == "video":
            names += [f"a=ssrc:{line.ssrc + 1} cname:c", f"a=ssrc-group:FID {line.ssrc} {line.ssrc + 1}"]
        return [
            f"m={line.kind} 9 UDP/TLS/RTP/SAVPF {body[0]}",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{line.mid}",
            f"a={direction}",
            "a=rtcp-mux",
            "a=rtcp-rsize",
            *body[1:],
            *names,
        ]

    def _print(self, sections: list[list[str]], lines: list[Transceiver], setup: str) -> str:
        bundle = " ".join(str(line.mid) for line in lines if not (line.stopped or line.wants_stop))
        head = [
            "v=0",
            f"o=- 1 {self.version} IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
            f"a=group:BUNDLE {bundle}",
            f"a=ice-ufrag:user{self.ice}",
            f"a=ice-pwd:secretsecretsecretsecret{self.ice}",
            "a=fingerprint:sha-256 " + ":".join(["CD"] * 32),
            f"a=setup:{setup}",
        ]
        return "\r\n".join([*head, *(row for section in sections for row in section), ""])

    # --- checking the server's descriptions ---

    def _check(self, text: str) -> SessionDescription:
        """Check the rules that each of our descriptions must keep."""
        description = SessionDescription.parse(text)
        assert str(description) == text
        assert description.origin.version > self.their_version
        self.their_version = description.origin.version
        assert description.ice_lite == self.server_is_lite
        live = [media for media in description.media if not media.stopped]
        mids = [media.mid for media in live]
        assert len(set(mids)) == len(mids)
        assert sorted(description.bundle()) == sorted(mid for mid in mids if mid)
        assert len({(media.ice_ufrag, media.ice_pwd, media.fingerprints, media.setup) for media in live}) <= 1
        tagged = description.bundle()[:1]
        payload_types: dict[int, str] = {}
        extension_ids: dict[int, str] = {}
        ssrcs: list[int] = []
        for media in live:
            assert media.rtcp_mux
            assert media.formats
            if self.server_is_lite:
                assert bool(media.candidates) == media.end_of_candidates == ((media.mid,) == tagged)
            sends = media.direction in ("sendrecv", "sendonly")
            assert len(media.msids) == sends
            named = tuple(dict.fromkeys(entry.ssrc for entry in media.ssrc_attributes))
            # A slot that sends nothing is described, too, but by its SSRCs alone.
            assert named or not sends
            assert {entry.name for entry in media.ssrc_attributes} <= {"cname", "msid"}
            assert any(entry.name == "msid" for entry in media.ssrc_attributes) == sends
            ssrcs += named
            if named:
                assert media.mid is not None
                known = self.ssrc_of_mid.setdefault(media.mid, named)
                assert known[0] == named[0], "a slot changed its SSRC"
            # One payload type and one extension id mean one thing in the whole BUNDLE (RFC 9143, RFC 8285).
            fmtps = {row.format: row.text for row in media.fmtps}
            assert {str(row.payload_type) for row in media.rtpmaps} == set(media.formats)
            for row in media.rtpmaps:
                assert not 64 <= row.payload_type <= 95
                meaning = f"{row.name}/{row.clock_rate}/{row.channels} {fmtps.get(str(row.payload_type))}"
                assert payload_types.setdefault(row.payload_type, meaning) == meaning
                if row.name == "rtx":
                    assert meaning.partition("apt=")[2] in media.formats
            for entry in media.extensions:
                assert 1 <= entry.id <= 14
                assert extension_ids.setdefault(entry.id, entry.uri) == entry.uri
            assert len({entry.id for entry in media.extensions}) == len(media.extensions)
        assert len(set(ssrcs)) == len(ssrcs)
        return description


FULL = ("everything",)
