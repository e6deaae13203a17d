"""What is kept of a session outside the server's memory, so that it outlives the server (SPEC section 5)."""

from dataclasses import dataclass

from sfu.conference.grants import Grants
from sfu.conference.messages import Kind, PeerMediaState, Source
from sfu.conference.session import TokenHashes


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """A track that the session publishes, and publishes under the same id when it comes back."""

    track_id: str
    kind: Kind
    source: Source


@dataclass(frozen=True, slots=True)
class SubscriptionRecord:
    """A track that the session receives, and receives again when it comes back."""

    track_id: str
    peer_id: str
    """Of the publisher."""
    layer: str | None = None
    """The highest layer wished for; None for the best that there is."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session, its peer, and all that a resume puts back without the client asking."""

    session_id: str
    tokens: TokenHashes
    generation: int
    peer_id: str
    room_id: str
    user_id: str
    name: str
    grants: Grants
    media_state: PeerMediaState
    suspended: bool
    """Whether its client was away when this was written."""
    tracks: tuple[TrackRecord, ...] = ()
    subscriptions: tuple[SubscriptionRecord, ...] = ()
