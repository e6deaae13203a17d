"""The signaling protocol: one class per message (docs/signaling.md). How they are written is `envelope`'s part.

To add a message, write its class and name it in `ClientMessage`, `ServerMessage` or both. Types, required
fields and ranges stand in the annotations; msgspec holds the clients to them.
"""

from typing import Annotated, ClassVar, Literal, get_args

import msgspec

from sfu.conference.errors import Refused
from sfu.sdp.mline import MediaKind

Source = Literal["mic", "camera", "screen"]

MAX_SDP = 1_000_000
"""Characters of one session description: what Chromium writes about 150 people seen and heard. It fits into
`max_message_bytes` as that is by default, with two bytes for every character, so that JSON may escape all."""

MAX_TRACK_SOURCES = 128
"""Entries in an offer's `tracks`: well above what a peer may publish, so that *that* limit answers."""

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
"""An id that a client chose. The setting `max_id_length` bounds it further."""

Mid = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Layer = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z_-]+\Z")]
"""The RID of a simulcast encoding (RFC 8851 section 10)."""

Text = Annotated[str, msgspec.Meta(max_length=1024)]
Sdp = Annotated[str, msgspec.Meta(max_length=MAX_SDP)]


class Message(msgspec.Struct, frozen=True, rename="camel"):
    """Base of every message: its fields are what stands in `data`."""

    message_type: ClassVar[str]


class Join(Message, frozen=True):
    """C→S. The first message: enter a room, or come back to it.

    `session_id` and `session_token` prove the session to resume; `transport` says whether the client still has
    the RTCPeerConnection that the session had.
    """

    message_type = "join"
    room_id: Identifier
    user_id: Identifier
    name: Text = ""
    session_id: Text | None = None
    session_token: Text | None = None
    transport: Literal["new", "keep"] = "new"
    token: Annotated[str, msgspec.Meta(max_length=8192)] | None = None
    """A signed token (JWT) that says who may enter, where the server asks for one."""


class TrackSource(msgspec.Struct, frozen=True):
    """What the m-line `mid` of a client's offer carries."""

    mid: Mid
    source: Source


class Offer(Message, frozen=True, omit_defaults=True):
    """Both ways. A description to be answered; `tracks` names the sources of what a client publishes."""

    message_type = "offer"
    sdp: Sdp
    type: Literal["offer"] | None = None
    peer_id: str | None = None
    tracks: Annotated[tuple[TrackSource, ...], msgspec.Meta(max_length=MAX_TRACK_SOURCES)] = ()


class Answer(Message, frozen=True, omit_defaults=True):
    """Both ways. The answer to the other side's offer."""

    message_type = "answer"
    sdp: Sdp
    type: Literal["answer"] | None = None
    peer_id: str | None = None


class IceCandidate(Message, frozen=True):
    """Both ways. A trickled candidate; an empty one is the end of candidates.

    A server that is ICE-lite sends no checks and so has no use for a client's candidates (RFC 8445 section
    2.5), and its own stand in its descriptions. One with full agents uses and sends them.
    """

    message_type = "ice-candidate"
    candidate: Text = ""
    sdp_mid: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    sdp_m_line_index: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = msgspec.field(
        default=None, name="sdpMLineIndex"
    )


class MediaState(Message, frozen=True, omit_defaults=True):
    """Both ways. What of its media a peer has switched on; the server adds whose state it is."""

    message_type = "media-state"
    mic_enabled: bool
    camera_enabled: bool
    screen_enabled: bool
    peer_id: str | None = None


class IceRestartRequest(Message, frozen=True):
    """C→S. The client's network has changed or is broken: offer new ICE credentials."""

    message_type = "ice-restart-request"


class IceRestartOffer(Message, frozen=True):
    """S→C. An offer with new ICE credentials; the client answers as it answers every offer."""

    message_type = "ice-restart-offer"
    sdp: str
    peer_id: str
    type: Literal["offer"] = "offer"


class Subscribe(Message, frozen=True):
    """C→S. Receive a track, or change the layer of one that is received; answered by a `SubscriptionAck`."""

    message_type = "subscribe"
    track_id: Text
    peer_id: Text
    layer: Layer | None = None
    """The highest layer wanted; None for the best that there is."""


class Unsubscribe(Message, frozen=True):
    """C→S. Receive a track no longer, until it is subscribed to; answered by a `SubscriptionAck`."""

    message_type = "unsubscribe"
    track_id: Text
    peer_id: Text


class LayerSwitch(Message, frozen=True):
    """C→S. Receive no higher layer of a track than this; answered by a `SubscriptionAck`."""

    message_type = "layer-switch"
    track_id: Text
    target_rid: Layer


class SubscriptionAck(Message, frozen=True, omit_defaults=True):
    """S→C. Whether a request about a subscription is granted; `reason` says why not."""

    message_type = "subscription-ack"
    track_id: str
    success: bool
    reason: str | None = None


class ServerDraining(Message, frozen=True):
    """S→C. The server is about to stop: come back within `deadline_ms`, and the session goes on elsewhere."""

    message_type = "server-draining"
    deadline_ms: int


class Leave(Message, frozen=True):
    """C→S. End the peer's presence for good."""

    message_type = "leave"


class Ping(msgspec.Struct, frozen=True):
    """Both ways. Liveness; `data` is anything and comes back in the `Pong`."""

    message_type: ClassVar[str] = "ping"
    data: msgspec.Raw


class Pong(msgspec.Struct, frozen=True):
    """Both ways. Returns the `data` of a `Ping`."""

    message_type: ClassVar[str] = "pong"
    data: msgspec.Raw


class IceServer(msgspec.Struct, frozen=True, omit_defaults=True):
    """STUN or TURN servers with the same credentials, as RTCPeerConnection's `iceServers` have them."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None


class Joined(Message, frozen=True):
    """S→C. Acknowledges a `Join`; a `RoomState` follows.

    `transport` says what the client's own came to: "keep" that the connection goes on, "new" that the client
    has to make one.
    """

    message_type = "join"
    peer_id: str
    room_id: str
    session_id: str
    session_token: str
    resumed: bool
    transport: Literal["new", "keep"]
    success: bool = True
    ice_servers: tuple[IceServer, ...] = ()


class TrackInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A published track as others see it."""

    track_id: str
    kind: MediaKind
    source: Source
    layers: tuple[str, ...]


class PeerMediaState(msgspec.Struct, frozen=True, rename="camel"):
    """What of its media a peer has switched on, inside a `PeerInfo`."""

    mic_enabled: bool
    camera_enabled: bool
    screen_enabled: bool


class PeerInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A peer as others see it."""

    peer_id: str
    user_id: str
    name: str
    media_state: PeerMediaState
    suspended: bool
    tracks: tuple[TrackInfo, ...]


class SubscriptionInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A track that the reader of the message receives, or will once it is negotiated."""

    track_id: str
    peer_id: str
    layer: str | None


class RoomState(Message, frozen=True):
    """S→C. Everybody else in the room, and the reader's own subscriptions."""

    message_type = "room-state"
    peers: tuple[PeerInfo, ...]
    subscriptions: tuple[SubscriptionInfo, ...]


class PeerNotice(Message, frozen=True):
    """What is told of a peer that comes or goes."""

    peer_id: str
    user_id: str
    name: str


class PeerJoined(PeerNotice, frozen=True):
    """S→C. Somebody came."""

    message_type = "peer-joined"


class PeerLeft(PeerNotice, frozen=True):
    """S→C. Somebody left for good."""

    message_type = "peer-left"


class PeerSuspended(PeerNotice, frozen=True):
    """S→C. Somebody's connection is gone; it may come back."""

    message_type = "peer-suspended"


class PeerResumed(PeerNotice, frozen=True):
    """S→C. Somebody came back."""

    message_type = "peer-resumed"


class TrackNotice(Message, frozen=True, omit_defaults=True):
    """What is told of a track that begins or ends; `mid` stands in the publisher's own copy alone."""

    track_id: str
    kind: MediaKind
    peer_id: str
    source: Source
    layers: tuple[str, ...]
    mid: str | None = None


class TrackPublished(TrackNotice, frozen=True):
    """S→C. A track can be had."""

    message_type = "track-published"


class TrackUnpublished(TrackNotice, frozen=True):
    """S→C. A track has ended."""

    message_type = "track-unpublished"


class Error(Message, frozen=True, omit_defaults=True):
    """S→C. Something was refused; `type` is the message that it answers."""

    message_type = "error"
    code: int
    message: str
    type: str | None = None


SubscriptionRequest = Subscribe | Unsubscribe | LayerSwitch
"""What a `SubscriptionAck` answers, whatever becomes of it."""

ClientMessage = (
    Join
    | Offer
    | Answer
    | IceCandidate
    | IceRestartRequest
    | MediaState
    | SubscriptionRequest
    | Leave
    | Ping
    | Pong
)
ServerMessage = (
    Joined
    | RoomState
    | PeerJoined
    | PeerLeft
    | PeerSuspended
    | PeerResumed
    | Offer
    | IceCandidate
    | IceRestartOffer
    | Answer
    | TrackPublished
    | TrackUnpublished
    | SubscriptionAck
    | MediaState
    | ServerDraining
    | Ping
    | Pong
    | Error
)

CLIENT_MESSAGES: dict[str, type[ClientMessage]] = {cls.message_type: cls for cls in get_args(ClientMessage)}
"""What a client may send, by the envelope's `type`."""

SERVER_MESSAGES: dict[str, type[ServerMessage]] = {cls.message_type: cls for cls in get_args(ServerMessage)}
"""What the server may send, by the envelope's `type`."""


def refusal(error: Refused, message_type: str | None = None) -> Error:
    """Turn a refusal into the `error` message that answers a message of type `message_type`."""
    return Error(code=error.code, message=str(error), type=message_type)
