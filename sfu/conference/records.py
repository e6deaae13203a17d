"""What is kept of a session outside the server's memory, so that it outlives the server (docs/state.md)."""

from dataclasses import dataclass, replace
from typing import Annotated

import msgspec

from sfu.conference.grants import Grants
from sfu.conference.messages import Join, PeerMediaState, Source
from sfu.conference.session import TokenHashes, hash_of, rotate
from sfu.sdp.mline import MediaKind

MadeId = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z_-]{1,64}\Z")]
"""An id that a server made. It stands in descriptions, which take 64 token characters at most (RFC 8830)."""


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """A track that the session publishes, and publishes under the same id when it comes back."""

    track_id: MadeId
    kind: MediaKind
    source: Source


@dataclass(frozen=True, slots=True)
class SubscriptionRecord:
    """What the session's client has said about a track: it holds for as long as the track lives.

    About most tracks nothing is said, and the server's default counts (the setting `auto_subscribe`).
    """

    track_id: str
    peer_id: str
    """Of the publisher."""
    layer: str | None = None
    """The highest layer wished for; None for the best that there is."""
    wanted: bool = True
    """Whether to receive it; False: the client has unsubscribed."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session, its peer, and all that a resume puts back without the client asking."""

    session_id: str
    tokens: TokenHashes
    generation: int
    peer_id: MadeId
    room_id: str
    user_id: str
    name: str
    grants: Grants
    media_state: PeerMediaState
    suspended: bool
    """Whether its client was away when this was written."""
    tracks: tuple[TrackRecord, ...] = ()
    subscriptions: tuple[SubscriptionRecord, ...] = ()


def succeed(record: SessionRecord, request: Join, following: str) -> SessionRecord | None:
    """Return what a stored session becomes when `request` resumes it; None: the request does not prove it.

    `following` is the token that the client gets next. A session is proven in its own room, for its own user.
    """
    tokens = rotate(record.tokens, hash_of(request.session_token or ""), hash_of(following))
    named = (request.session_id, request.room_id, request.user_id)
    if tokens is None or named != (record.session_id, record.room_id, record.user_id):
        return None
    return replace(record, tokens=tokens, generation=record.generation + 1, suspended=False)


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the store said to a resume: it has the last word where several servers share it."""

    record: SessionRecord | None
    """The session as it is stored now, this server's own; None: not proven, or not there."""
    token: str = ""
    """The session's next token, for the client alone."""
