"""The signaling protocol: one class per message (docs/signaling.md). `envelope` parses and serializes them.

To add a message, write its class and add it to `ClientMessage`, `ServerMessage` or both. The annotations state
types, required fields and ranges; msgspec checks the messages of clients against them.
"""

from typing import Annotated, ClassVar, Literal, get_args

import msgspec

from sfu.conference.errors import Refused
from sfu.conference.identifiers import check_visible
from sfu.sdp.mline import MediaKind

Source = Literal["mic", "camera", "screen"]

MAX_SDP = 1_000_000
"""Characters of one session description. Chromium's description of 150 people with audio and video is as long.
It fits into the default of `max_message_bytes` with two bytes for each character, as JSON escapes may need."""

MAX_TRACK_SOURCES = 128
"""Entries in an offer's `tracks`. This is well above the number of tracks that a peer may publish, so that an
offer with too many tracks is refused by that limit."""

MAX_IDENTIFIER = 1024
"""Characters of an id or a name, whatever the setting `max_id_length` says."""

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_IDENTIFIER)]
"""An id that a client chose. The setting `max_id_length` limits it further."""

Mid = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Layer = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z_-]+\Z")]
"""The RID of a simulcast encoding (RFC 8851 section 10)."""

Name = Annotated[str, msgspec.Meta(max_length=MAX_IDENTIFIER)]
Text = Annotated[str, msgspec.Meta(max_length=1024)]
Sdp = Annotated[str, msgspec.Meta(max_length=MAX_SDP)]


class Message(msgspec.Struct, frozen=True, rename="camel"):
    """Base of every message. Its fields are those of `data`."""

    message_type: ClassVar[str]


class Join(Message, frozen=True):
    """C→S. The first message: enter a room, or resume a session.

    `session_id` and `session_token` prove the session to resume. `transport` tells whether the client still has
    the session's RTCPeerConnection.
    """

    message_type = "join"
    room_id: Identifier
    user_id: Identifier
    name: Name = ""
    session_id: Text | None = None
    session_token: Text | None = None
    transport: Literal["new", "keep"] = "new"
    token: Annotated[str, msgspec.Meta(max_length=8192)] | None = None
    """A signed token (JWT) that allows the user to enter. Some servers require one."""

    def __post_init__(self) -> None:
        """Check the characters of ids and name. Raises `ValueError`."""
        check_visible("roomId", self.room_id)
        check_visible("userId", self.user_id)
        check_visible("name", self.name)


class TrackSource(msgspec.Struct, frozen=True):
    """The source of the media on the m-line `mid` of a client's offer."""

    mid: Mid
    source: Source


class Offer(Message, frozen=True, omit_defaults=True):
    """Both ways. A description to be answered. `tracks` names the sources of what a client publishes."""

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
    """Both ways. A trickled candidate. An empty one is the end of candidates.

    An ICE-lite server sends no checks and does not need a client's candidates (RFC 8445 section 2.5). Its own
    are in its descriptions. A server with full agents uses and sends candidates.
    """

    message_type = "ice-candidate"
    candidate: Text = ""
    sdp_mid: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    sdp_m_line_index: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = msgspec.field(
        default=None, name="sdpMLineIndex"
    )


class MediaState(Message, frozen=True, omit_defaults=True):
    """Both ways. Which media a peer has switched on. The server adds the peer's id."""

    message_type = "media-state"
    mic_enabled: bool
    camera_enabled: bool
    screen_enabled: bool
    peer_id: str | None = None


class IceRestartRequest(Message, frozen=True):
    """C→S. Asks for an offer with new ICE credentials, since the client's network has changed or fails."""

    message_type = "ice-restart-request"


class IceRestartOffer(Message, frozen=True):
    """S→C. An offer with new ICE credentials. The client answers it as every offer."""

    message_type = "ice-restart-offer"
    sdp: str
    peer_id: str
    type: Literal["offer"] = "offer"


class Subscribe(Message, frozen=True):
    """C→S. Receive a track, or change its layer. Answered by a `SubscriptionAck`."""

    message_type = "subscribe"
    track_id: Text
    peer_id: Text
    layer: Layer | None = None
    """The highest layer to receive; None for the best that there is."""


class Unsubscribe(Message, frozen=True):
    """C→S. Stop receiving a track until the next `Subscribe`. Answered by a `SubscriptionAck`."""

    message_type = "unsubscribe"
    track_id: Text
    peer_id: Text


class LayerSwitch(Message, frozen=True):
    """C→S. Receive no higher layer of a track than this. Answered by a `SubscriptionAck`."""

    message_type = "layer-switch"
    track_id: Text
    target_rid: Layer


class SubscriptionAck(Message, frozen=True, omit_defaults=True):
    """S→C. The result of a request about a subscription. `reason` tells why it was refused."""

    message_type = "subscription-ack"
    track_id: str
    success: bool
    reason: str | None = None


class ServerDraining(Message, frozen=True):
    """S→C. The server stops. A client that joins again within `deadline_ms` resumes its session elsewhere."""

    message_type = "server-draining"
    deadline_ms: int


class Leave(Message, frozen=True):
    """C→S. End the session."""

    message_type = "leave"


class Ping(msgspec.Struct, frozen=True):
    """Both ways. A test of the connection. The `Pong` returns `data`, which may be anything."""

    message_type: ClassVar[str] = "ping"
    data: msgspec.Raw


class Pong(msgspec.Struct, frozen=True):
    """Both ways. Returns the `data` of a `Ping`."""

    message_type: ClassVar[str] = "pong"
    data: msgspec.Raw


class IceServer(msgspec.Struct, frozen=True, omit_defaults=True):
    """STUN or TURN servers with the same credentials, in the form of RTCPeerConnection's `iceServers`."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None


class Joined(Message, frozen=True):
    """S→C. Acknowledges a `Join`; a `RoomState` follows.

    `transport` is "keep" if the client's RTCPeerConnection goes on, "new" if the client must make a new one.
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
    """A published track, as described to others."""

    track_id: str
    kind: MediaKind
    source: Source
    layers: tuple[str, ...]


class PeerMediaState(msgspec.Struct, frozen=True, rename="camel"):
    """Which media a peer has switched on, inside a `PeerInfo`."""

    mic_enabled: bool
    camera_enabled: bool
    screen_enabled: bool


class PeerInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A peer, as described to others."""

    peer_id: str
    user_id: str
    name: str
    media_state: PeerMediaState
    suspended: bool
    tracks: tuple[TrackInfo, ...]


class SubscriptionInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A track that the receiver of the message receives, or will receive once it is negotiated."""

    track_id: str
    peer_id: str
    layer: str | None


class RoomState(Message, frozen=True):
    """S→C. The other peers in the room, and the receiver's own subscriptions."""

    message_type = "room-state"
    peers: tuple[PeerInfo, ...]
    subscriptions: tuple[SubscriptionInfo, ...]


class PeerNotice(Message, frozen=True):
    """Base of messages about a peer that comes or goes."""

    peer_id: str
    user_id: str
    name: str


class PeerJoined(PeerNotice, frozen=True):
    """S→C. A peer has joined."""

    message_type = "peer-joined"


class PeerLeft(PeerNotice, frozen=True):
    """S→C. A peer has left; its session has ended."""

    message_type = "peer-left"


class PeerSuspended(PeerNotice, frozen=True):
    """S→C. A peer has lost its signaling connection. It may resume its session."""

    message_type = "peer-suspended"


class PeerResumed(PeerNotice, frozen=True):
    """S→C. A peer has resumed its session."""

    message_type = "peer-resumed"


class TrackNotice(Message, frozen=True, omit_defaults=True):
    """Base of messages about a track that begins or ends. Only the publisher's own copy has `mid`."""

    track_id: str
    kind: MediaKind
    peer_id: str
    source: Source
    layers: tuple[str, ...]
    mid: str | None = None


class TrackPublished(TrackNotice, frozen=True):
    """S→C. A track is published."""

    message_type = "track-published"


class TrackUnpublished(TrackNotice, frozen=True):
    """S→C. A track has ended."""

    message_type = "track-unpublished"


class Error(Message, frozen=True, omit_defaults=True):
    """S→C. A message was refused. `type` is the type of that message."""

    message_type = "error"
    code: int
    message: str
    type: str | None = None


SubscriptionRequest = Subscribe | Unsubscribe | LayerSwitch
"""The messages that a `SubscriptionAck` answers, whether granted or refused."""

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
"""The messages of clients, by the envelope's `type`."""

SERVER_MESSAGES: dict[str, type[ServerMessage]] = {cls.message_type: cls for cls in get_args(ServerMessage)}
"""The messages of the server, by the envelope's `type`."""


def refusal(error: Refused, message_type: str | None = None) -> Error:
    """Return the `error` message that answers a refused message of type `message_type`."""
    return Error(code=error.code, message=str(error), type=message_type)
