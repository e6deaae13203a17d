"""A session in its room: its user, its tracks, its connection, and the messages that wait for its client."""

from collections.abc import Sequence
from typing import NamedTuple

from sfu.conference.connection import Connection
from sfu.conference.grants import Grants
from sfu.conference.messages import (
    MediaState,
    PeerInfo,
    PeerJoined,
    PeerLeft,
    PeerMediaState,
    PeerResumed,
    PeerSuspended,
    ServerMessage,
)
from sfu.conference.rate import TokenBucket
from sfu.conference.records import SessionRecord, SubscriptionRecord, TrackRecord
from sfu.conference.session import Session, SessionState
from sfu.conference.track import Track
from sfu.deadlines import earliest
from sfu.ice.full_messages import IceRequest
from sfu.ice.path import IcePath


class PeerOutput(NamedTuple):
    """What the shell has to do for a peer, after something has happened to it."""

    peer: "Peer"
    datagrams: Sequence[tuple[bytes, IcePath]] = ()
    """To send. Forwarded media is not among them."""
    messages: Sequence[ServerMessage] = ()
    """To post to the client, oldest first."""
    ice_requests: Sequence[IceRequest] = ()
    """For the sockets of its full ICE agents."""
    wake_at: float | None = None
    """When `Conference.handle_timeout` is due next, on the clock of `now`; None if never."""
    ended: str | None = None
    """Why it is no longer in its room; None while it is."""
    error: Exception | None = None
    """What failed when this was put together. The other fields say nothing then."""


class Peer:
    """One peer of one room. The room changes it. The shell takes its output."""

    def __init__(
        self,
        peer_id: str,
        user_id: str,
        name: str,
        room_id: str,
        session: Session,
        connection: Connection,
        bucket: TokenBucket,
        grants: Grants,
    ) -> None:
        self.id = peer_id
        self.user_id = user_id
        self.name = name
        self.room_id = room_id
        self.session = session
        self.connection = connection
        """The current one. A session may use several, one after the other."""
        self.grants = grants
        """What it may do, as long as its session lasts."""
        self.bucket = bucket
        """Limits the rate of its client's messages."""
        self.media_state = PeerMediaState(mic_enabled=False, camera_enabled=False, screen_enabled=False)
        self.tracks: dict[str, Track] = {}
        """Its published tracks by track id, dormant ones included."""
        self.reclaim_deadline: float | None = None
        """When tracks that are still dormant then will end."""
        self.preferences: dict[str, SubscriptionRecord] = {}
        """Its client's preferences for tracks of others, by track id. The default applies to the rest."""
        self.preferences_deadline: float | None = None
        """When preferences for tracks that are not there are dropped."""
        self.restored = False
        """Whether its session was restored from the store and has not been resumed since."""
        self.closing_datagrams: list[tuple[bytes, IcePath]] = []
        """The last datagrams of a replaced connection."""
        self.closing_ice_requests: list[IceRequest] = []
        """The last requests of a replaced connection, which release its sockets."""
        self._messages: list[ServerMessage] = []

    @property
    def ended(self) -> str | None:
        """Why the peer is no longer in its room; None while it is."""
        return self.session.end_reason

    @property
    def suspended(self) -> bool:
        """Whether its client is disconnected."""
        return self.session.state is SessionState.SUSPENDED

    def track_on(self, mid: str | None) -> Track | None:
        """Return the track that is published on an m-line."""
        return next((track for track in self.tracks.values() if mid and track.mid == mid), None)

    def take_output(self, now: float) -> PeerOutput:
        """Return all that the shell has to do."""
        return PeerOutput(
            peer=self,
            datagrams=self.outgoing(now),
            messages=self.take_messages(),
            ice_requests=self.take_ice_requests(),
            wake_at=self.next_timeout() if self.ended is None else None,
            ended=self.ended,
        )

    def take_packet_output(self, now: float) -> PeerOutput:
        """Return what the shell has to do after datagrams that changed nothing but counters and deadlines."""
        wake_at = self.next_timeout() if self.ended is None else None
        return PeerOutput(self, self.connection.transport.outgoing(now), wake_at=wake_at, ended=self.ended)

    def outgoing(self, now: float) -> list[tuple[bytes, IcePath]]:
        """Return the datagrams to send that are not forwarded media."""
        datagrams, self.closing_datagrams = self.closing_datagrams, []
        return datagrams + self.connection.outgoing(now)

    def take_ice_requests(self) -> list[IceRequest]:
        """Return the requests to the shell, which has the sockets of full ICE agents."""
        requests, self.closing_ice_requests = self.closing_ice_requests, []
        return requests + self.connection.take_ice_requests()

    def next_timeout(self) -> float | None:
        """Return when `Conference.handle_timeout` is due for this peer, or None."""
        # A disconnected client gets no offers and sends no answers, so negotiation has no deadline meanwhile.
        connection = self.connection.transport if self.suspended else self.connection
        return earliest(
            connection.next_timeout(),
            self.session.deadline,
            self.reclaim_deadline,
            self.preferences_deadline,
        )

    def tell(self, message: ServerMessage) -> None:
        """Queue a message to the client. The shell takes the queue at each flush, so it stays short.

        Nothing is queued for a disconnected client, which gets the state of the room when it resumes. Nor is
        anything queued after the peer has ended.
        """
        if not self.suspended and self.ended is None:
            self._messages.append(message)

    def take_messages(self) -> list[ServerMessage]:
        """Return and clear the queued messages, oldest first."""
        messages, self._messages = self._messages, []
        return messages

    def record(self) -> SessionRecord:
        """Return the record of the session, from which `Admission.restore` can restore it."""
        return SessionRecord(
            session_id=self.session.id,
            tokens=self.session.tokens,
            generation=self.session.generation,
            peer_id=self.id,
            room_id=self.room_id,
            user_id=self.user_id,
            name=self.name,
            grants=self.grants,
            media_state=self.media_state,
            suspended=self.suspended,
            tracks=tuple(TrackRecord(track.id, track.kind, track.source) for track in self.tracks.values()),
            subscriptions=tuple(self.preferences.values()),
        )

    def info(self) -> PeerInfo:
        """Describe the peer to one that joins later."""
        tracks = tuple(track.info() for track in self.tracks.values())
        return PeerInfo(
            self.id, self.user_id, self.name, self.media_state, suspended=self.suspended, tracks=tracks
        )

    def joined(self) -> PeerJoined:
        """Return the announcement of the peer."""
        return PeerJoined(self.id, self.user_id, self.name)

    def left(self) -> PeerLeft:
        """Return the announcement that the peer is gone."""
        return PeerLeft(self.id, self.user_id, self.name)

    def away(self) -> PeerSuspended:
        """Return the announcement that the peer is suspended."""
        return PeerSuspended(self.id, self.user_id, self.name)

    def back(self) -> PeerResumed:
        """Return the announcement that the peer has resumed its session."""
        return PeerResumed(self.id, self.user_id, self.name)

    def set_media_state(self, state: MediaState) -> MediaState:
        """Store which devices the client says are on; return what the others are told."""
        self.media_state = PeerMediaState(state.mic_enabled, state.camera_enabled, state.screen_enabled)
        return MediaState(state.mic_enabled, state.camera_enabled, state.screen_enabled, self.id)
