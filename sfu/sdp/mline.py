"""One m-line of a session, seen from our side: what arrives on it and what we send on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, cast

from sfu.sdp.attributes import ExtMap, Msid, Rid
from sfu.sdp.capabilities import EXTENSIONS_BY_URI
from sfu.sdp.codecs import Codec, Identity
from sfu.sdp.errors import SdpError
from sfu.sdp.grammar import receives, sends
from sfu.sdp.model import MediaDescription

MediaKind = Literal["audio", "video"]

MAX_SSRCS = 32
"""SSRCs that one m-line may announce. Three simulcast layers with retransmissions and FEC make nine."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """What the client sends, or has sent, on one m-line. A new object after every negotiation."""

    mid: str
    kind: MediaKind
    active: bool
    """The client sends here now."""
    codecs: tuple[Codec, ...]
    """What may arrive, by payload type, best liked first."""
    extensions: Mapping[int, str]
    """URI of each header-extension id that may arrive."""
    ssrcs: tuple[int, ...] = ()
    """Announced SSRCs without those of retransmissions. Chromium announces none with simulcast by rid."""
    rtx_ssrcs: Mapping[int, int] = field(default_factory=dict)
    """SSRC of the retransmissions of an announced SSRC."""
    rids: tuple[str, ...] = ()
    """Simulcast encodings that the client may send, in its order; empty without simulcast."""
    msid: Msid | None = None
    """The client's own stream and track ids."""


class Announced(NamedTuple):
    """What a completed exchange has told the client about a slot; by default nothing, or that it is free."""

    msid: Msid | None = None
    codecs: tuple[Identity, ...] = ()


NOTHING_ANNOUNCED = Announced()


class SendSlot:
    """An m-line on which we send, with one SSRC (and one for retransmissions) for its whole life.

    libwebrtc ties a decoder to the SSRC in the description, so a slot keeps its SSRCs from track to track. Made
    by `BundleSession.acquire_slot`; read-only for others.
    """

    __slots__ = (
        "_sending",
        "announced",
        "cname",
        "codecs",
        "extensions",
        "kind",
        "mid",
        "msid",
        "reserved_mid",
        "rtx_ssrc",
        "ssrc",
        "stopped",
        "wanted",
    )  # fmt: skip

    def __init__(self, kind: MediaKind, ssrc: int, rtx_ssrc: int | None) -> None:
        self.kind: MediaKind = kind
        self.ssrc = ssrc
        self.rtx_ssrc = rtx_ssrc
        """None for audio."""
        self.cname = "-"
        self.msid: Msid | None = None
        """Stream and track that it should carry; None while it is free."""
        self.wanted: tuple[Codec, ...] = ()
        """The track's codecs in the publisher's numbers."""
        self.mid: str | None = None
        """The m-line, once the client has agreed to it."""
        self.reserved_mid: str | None = None
        """The mid of its first offer. It stays after a rollback, because the client may have applied that
        offer."""
        self.codecs: tuple[Codec, ...] = ()
        """What the client accepts on it, in the client's numbers; empty before it has agreed."""
        self.extensions: Mapping[str, int] = {}
        """Id of each header extension that may be sent."""
        self.stopped = False
        """Its m-line has ended: acquire another slot."""
        self.announced = NOTHING_ANNOUNCED
        self._sending: Msid | None = None

    @property
    def active(self) -> bool:
        """The client has agreed to receive exactly this track here: media may flow."""
        return self.msid is not None and self.msid == self._sending and not self.stopped

    def agree(
        self, mid: str, announced: Announced, codecs: Sequence[Codec], extensions: Sequence[ExtMap]
    ) -> None:
        """Store the outcome of a negotiation. Without codecs the client does not receive on this m-line."""
        self.mid = mid
        self.announced = announced
        self.codecs = tuple(codecs)
        self.extensions = sent_extensions(self.kind, extensions)
        self._sending = announced.msid if codecs else None

    def stop(self) -> None:
        """Note that the m-line has ended."""
        self.stopped = True
        self.codecs = ()

    def __repr__(self) -> str:
        return f"<SendSlot {self.kind} mid={self.mid} ssrc={self.ssrc} msid={self.msid} active={self.active}>"


@dataclass(slots=True, eq=False)
class MLine:
    """State of one m-line. Negotiation works on copies, so a refused description changes nothing."""

    mid: str
    kind: str
    protocol: str
    formats: tuple[str, ...] = ()
    """Of a stopped line: the offered formats, which an answer repeats."""
    stopped: bool = False
    codecs: tuple[Codec, ...] = ()
    """The client's codecs that we forward, with upstream feedback; empty while only we have described the line.
    """
    offered_extensions: tuple[ExtMap, ...] = ()
    """As the client offered them."""
    rids: tuple[Rid, ...] = ()
    """Encodings accepted from the client."""
    simulcast: bool = False
    rtcp_rsize: bool = False
    allow_mixed: bool = False
    """The client says extmap-allow-mixed on the line itself (RFC 8285 section 6); we answer where it asks."""
    remote_receives: bool = True
    """Whether the client was willing to receive when last asked."""
    receiver: Receiver | None = None
    slot: SendSlot | None = None

    @property
    def receives(self) -> bool:
        """Whether the client sends here."""
        return self.receiver is not None and self.receiver.active

    def copy(self) -> "MLine":
        """An independent copy; the slot is the same object."""
        return replace(self)


def sent_extensions(kind: str, ours: Sequence[ExtMap]) -> dict[str, int]:
    """Of the extensions in a description of ours, those that we may send: id by URI."""
    return {
        extension.uri: extension.id
        for extension in ours
        if kind in EXTENSIONS_BY_URI[extension.uri].downstream and sends(extension.direction)
    }


def received_extensions(kind: str, ours: Sequence[ExtMap]) -> dict[int, str]:
    """Of the extensions in a description of ours, those that may arrive: URI by id."""
    return {
        extension.id: extension.uri
        for extension in ours
        if kind in EXTENSIONS_BY_URI[extension.uri].upstream and receives(extension.direction)
    }


def make_receiver(
    mid: str,
    media: MediaDescription,
    codecs: Sequence[Codec],
    extensions: Sequence[ExtMap],
    rids: Sequence[Rid],
) -> Receiver:
    """What a client's m-line says about the media it sends. Raises `SdpError` for too many SSRCs."""
    names = dict.fromkeys(entry.ssrc for entry in media.ssrc_attributes)
    if len(names) > MAX_SSRCS:
        raise SdpError("sdp-too-large", f"more than {MAX_SSRCS} SSRCs on one m-line", media.line)
    pairs = [group.ssrcs for group in media.ssrc_groups if group.semantics == "FID" and len(group.ssrcs) == 2]
    rtx = {primary: repair for primary, repair in pairs if primary in names and repair in names}
    return Receiver(
        mid=mid,
        kind=cast(MediaKind, media.kind),
        active=sends(media.direction),
        codecs=tuple(codecs),
        extensions=received_extensions(media.kind, extensions),
        ssrcs=tuple(name for name in names if name not in rtx.values()),
        rtx_ssrcs=rtx,
        rids=tuple(rid.id for rid in rids),
        msid=media.msids[0] if media.msids else _msid_of_ssrcs(media),
    )


def _msid_of_ssrcs(media: MediaDescription) -> Msid | None:
    """The msid in its older place, ``a=ssrc:… msid:…``; some clients use only that."""
    for entry in media.ssrc_attributes:
        if entry.name == "msid" and entry.value:
            try:
                return Msid.parse(entry.value)
            except ValueError:
                return None
    return None
