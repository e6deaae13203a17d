"""A session's presence in its room: who it is, what it publishes, and what it is to be told."""

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
from sfu.ice.full_messages import IceRequest
from sfu.ice.path import IcePath


class Peer:
    """One peer of one room. The room changes it; the shell takes its messages and datagrams."""

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
        """The current one: a session may go through several."""
        self.grants = grants
        """What it may do, for as long as its session lasts."""
        self.bucket = bucket
        """How fast its client may send messages."""
        self.media_state = PeerMediaState(mic_enabled=False, camera_enabled=False, screen_enabled=False)
        self.tracks: dict[str, Track] = {}
        """What it publishes, by track id; dormant tracks too."""
        self.reclaim_deadline: float | None = None
        """When tracks that are still dormant end."""
        self.preferences: dict[str, SubscriptionRecord] = {}
        """What its client has said about others' tracks, by track id; else the server's default counts."""
        self.preferences_deadline: float | None = None
        """When preferences about tracks that are not there yet are given up."""
        self.restored = False
        """Whether it is of an earlier life of the server, and its client has not come back since."""
        self.closing_datagrams: list[tuple[bytes, IcePath]] = []
        """The last datagrams of a connection that was replaced."""
        self.closing_ice_requests: list[IceRequest] = []
        """Those of a connection that was replaced: that what it held be released."""
        self._messages: list[ServerMessage] = []

    @property
    def ended(self) -> str | None:
        """Why the peer is no longer in its room; None while it is."""
        return self.session.end_reason

    @property
    def suspended(self) -> bool:
        """Whether its client is away."""
        return self.session.state is SessionState.SUSPENDED

    def track_on(self, mid: str | None) -> Track | None:
        """Return the track that is published on an m-line."""
        return next((track for track in self.tracks.values() if mid and track.mid == mid), None)

    def outgoing(self, now: float) -> list[tuple[bytes, IcePath]]:
        """Return the datagrams to send that are not forwarded media."""
        datagrams, self.closing_datagrams = self.closing_datagrams, []
        return datagrams + self.connection.outgoing(now)

    def take_ice_requests(self) -> list[IceRequest]:
        """Return what whoever has the sockets of full ICE agents is to do."""
        requests, self.closing_ice_requests = self.closing_ice_requests, []
        return requests + self.connection.take_ice_requests()

    def next_timeout(self) -> float | None:
        """Return when something of the peer is due, or None."""
        # Who is away is offered nothing and answers nothing: its negotiation has no deadlines meanwhile.
        connection = self.connection.transport if self.suspended else self.connection
        times = (
            connection.next_timeout(),
            self.session.deadline,
            self.reclaim_deadline,
            self.preferences_deadline,
        )
        return min((time for time in times if time is not None), default=None)

    def ufrags(self) -> list[str]:
        """Return the user-name fragments of connectivity checks that are for this peer."""
        return self.connection.transport.ufrags()

    def tell(self, message: ServerMessage) -> None:
        """Queue a message to the client. The shell takes the queue after every step, so it stays short.

        A client that is away is told nothing: the room's state is what it gets when it comes back. Nor is
        one that has ended: what happens to its tracks then concerns the others.
        """
        if not self.suspended and self.ended is None:
            self._messages.append(message)

    def take_messages(self) -> list[ServerMessage]:
        """Return the messages that wait, oldest first, and forget them."""
        messages, self._messages = self._messages, []
        return messages

    def record(self) -> SessionRecord:
        """Return what is to be stored of the session, so that `Conference.restore` can put it back."""
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
        """Describe the peer to somebody who comes later."""
        tracks = tuple(track.info() for track in self.tracks.values())
        return PeerInfo(
            self.id, self.user_id, self.name, self.media_state, suspended=self.suspended, tracks=tracks
        )

    def joined(self) -> PeerJoined:
        """Announce the peer."""
        return PeerJoined(self.id, self.user_id, self.name)

    def left(self) -> PeerLeft:
        """Announce that the peer is gone."""
        return PeerLeft(self.id, self.user_id, self.name)

    def away(self) -> PeerSuspended:
        """Announce that the peer is away."""
        return PeerSuspended(self.id, self.user_id, self.name)

    def back(self) -> PeerResumed:
        """Announce that the peer is back."""
        return PeerResumed(self.id, self.user_id, self.name)

    def set_media_state(self, state: MediaState) -> MediaState:
        """Take over what the client says of itself; return what others are told."""
        self.media_state = PeerMediaState(state.mic_enabled, state.camera_enabled, state.screen_enabled)
        return MediaState(state.mic_enabled, state.camera_enabled, state.screen_enabled, self.id)
