"""A person in a room, as the server sees it: who it is, what it publishes, and what it is to be told."""

from typing import TYPE_CHECKING

from sfu.conference.connection import Connection
from sfu.conference.messages import (
    MediaState,
    PeerInfo,
    PeerJoined,
    PeerLeft,
    PeerMediaState,
    ServerMessage,
)
from sfu.conference.rate import TokenBucket
from sfu.conference.track import Track

if TYPE_CHECKING:
    from sfu.conference.room import Room


class Peer:
    """One peer of one room. The room changes it; the shell takes its messages and datagrams."""

    def __init__(
        self, peer_id: str, user_id: str, name: str, room: "Room", connection: Connection, bucket: TokenBucket
    ) -> None:
        self.id = peer_id
        self.user_id = user_id
        self.name = name
        self.room = room
        self.connection = connection
        self.bucket = bucket
        """How fast its client may send messages."""
        self.media_state = PeerMediaState(mic_enabled=False, camera_enabled=False, screen_enabled=False)
        self.tracks: dict[str, Track] = {}
        """What it publishes, by mid."""
        self.ended: str | None = None
        """Why it is no longer in its room, once it is not."""
        self._messages: list[ServerMessage] = []

    def ufrags(self) -> list[str]:
        """Return the user-name fragments of connectivity checks that are for this peer."""
        return self.connection.transport.ufrags()

    def tell(self, message: ServerMessage) -> None:
        """Queue a message to the client. The shell takes the queue after every step, so it stays short."""
        self._messages.append(message)

    def take_messages(self) -> list[ServerMessage]:
        """Return the messages that wait, oldest first, and forget them."""
        messages, self._messages = self._messages, []
        return messages

    def info(self) -> PeerInfo:
        """Describe the peer to somebody who comes later."""
        tracks = tuple(track.info() for track in self.tracks.values())
        return PeerInfo(self.id, self.user_id, self.name, self.media_state, suspended=False, tracks=tracks)

    def joined(self) -> PeerJoined:
        """Announce the peer."""
        return PeerJoined(self.id, self.user_id, self.name)

    def left(self) -> PeerLeft:
        """Announce that the peer is gone."""
        return PeerLeft(self.id, self.user_id, self.name)

    def set_media_state(self, state: MediaState) -> MediaState:
        """Take over what the client says of itself; return what others are told."""
        self.media_state = PeerMediaState(state.mic_enabled, state.camera_enabled, state.screen_enabled)
        return MediaState(state.mic_enabled, state.camera_enabled, state.screen_enabled, self.id)
