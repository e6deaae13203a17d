"""What is stored of a session outside the server's memory, so that it survives the server (docs/state.md)."""

from dataclasses import dataclass, replace
from typing import Annotated

import msgspec

from sfu.conference.grants import Grants
from sfu.conference.messages import Identifier, Join, Layer, Name, PeerMediaState, Source, Text
from sfu.conference.session import TokenHashes, rotate
from sfu.sdp.mline import MediaKind

MadeId = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z_-]{1,64}\Z")]
"""An id that a server made. It is used in descriptions, which take 64 token characters at most (RFC 8830)."""


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """A track that the session publishes. After a resume it is published again under the same id."""

    track_id: MadeId
    kind: MediaKind
    source: Source


@dataclass(frozen=True, slots=True)
class SubscriptionRecord:
    """The preference that the session's client has stated for a track. It holds for the life of the track.

    Most tracks have none; the server's default applies to them (the setting `auto_subscribe`).
    """

    track_id: Text
    peer_id: Text
    """Of the publisher."""
    layer: Layer | None = None
    """The highest layer to receive; None for the best that there is."""
    wanted: bool = True
    """Whether to receive it; False: the client has unsubscribed."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session, its peer, and everything that a resume restores without the client asking."""

    session_id: str
    tokens: TokenHashes
    generation: int
    peer_id: MadeId
    room_id: Identifier
    user_id: Identifier
    name: Name
    grants: Grants
    media_state: PeerMediaState
    suspended: bool
    """Whether its client was disconnected when this was written."""
    tracks: tuple[TrackRecord, ...] = ()
    subscriptions: tuple[SubscriptionRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Proof:
    """A session that a join has proven, and what a resume makes of it. `Admission.join` takes it."""

    session_id: str
    tokens: TokenHashes
    """The session's tokens from the resume on."""
    generation: int
    """The session's generation from the resume on."""
    token: str
    """The session's next token, for the client alone."""
    record: SessionRecord | None = None
    """The session as it was claimed from the store; None if it was proven on this server."""

    @classmethod
    def of_claimed(cls, record: SessionRecord, token: str) -> "Proof":
        """Return the proof that the store has checked, when it made `resume_record` the stored session."""
        return cls(record.session_id, record.tokens, record.generation, token, record)


def resume_record(record: SessionRecord, request: Join, following: str) -> SessionRecord | None:
    """Return what a stored session becomes when `request` resumes it; None if the request does not prove it.

    `following` is the token that the client gets next. A session is proven in its own room by its own user.
    """
    tokens = rotate(record.tokens, request.session_token or "", following)
    named = (request.session_id, request.room_id, request.user_id)
    if tokens is None or named != (record.session_id, record.room_id, record.user_id):
        return None
    return replace(record, tokens=tokens, generation=record.generation + 1, suspended=False)
