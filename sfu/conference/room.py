"""A room: who is in it, what they publish, and who receives it.

Every method is one complete step: it either refuses (`Refused`) and changes nothing, or leaves the room in
order and the messages about it with the peers. Peers whose messages, datagrams or timers may have changed are
put into `touched`, for the shell to look at.
"""

from collections.abc import Callable, Iterable

from sfu.conference.errors import BadRequest, Conflict, Forbidden
from sfu.conference.limits import Limits
from sfu.conference.messages import (
    Answer,
    ClientMessage,
    IceCandidate,
    Join,
    Joined,
    Leave,
    MediaState,
    Offer,
    Ping,
    Pong,
    RoomState,
    ServerMessage,
    Source,
)
from sfu.conference.peer import Peer
from sfu.conference.track import Track
from sfu.errors import BadPacket
from sfu.ice.candidate import parse_trickled
from sfu.sdp import Receiver, SdpError
from sfu.transport.demux import TransportTable
from sfu.transport.receiver import ReceiveStream

DEFAULT_SOURCE: dict[str, Source] = {"audio": "mic", "video": "camera"}


class Room:
    """One room. Tracks are forwarded to everybody but their publisher."""

    def __init__(
        self,
        room_id: str,
        limits: Limits,
        make_track_id: Callable[[], str],
        table: TransportTable[Peer],
        touched: set[Peer],
    ) -> None:
        self.id = room_id
        self.peers: dict[str, Peer] = {}
        self._limits = limits
        self._make_track_id = make_track_id
        self._table = table
        self._touched = touched

    # --- coming and going ---

    def find_user(self, user_id: str) -> Peer | None:
        """Return the peer of a user, if that is in the room."""
        return next((peer for peer in self.peers.values() if peer.user_id == user_id), None)

    def add(self, peer: Peer) -> None:
        """Let `peer` in: it is acknowledged, told the room, and subscribed to everything."""
        others = tuple(self.peers.values())
        self._tell(others, peer.joined())
        self.peers[peer.id] = peer
        self._table.add(peer)
        peer.tell(Joined(peer.id, self.id))
        for other in others:
            for track in other.tracks.values():
                peer.connection.subscribe(track)
        subscriptions = tuple(subscription.info() for subscription in peer.connection.subscriptions)
        peer.tell(RoomState(tuple(other.info() for other in others), subscriptions))
        self._touched.add(peer)

    def remove(self, peer: Peer, reason: str, now: float) -> None:
        """Take `peer` out for good: its tracks end, its connection says goodbye, others are told."""
        if self.peers.pop(peer.id, None) is None:
            return
        peer.ended = reason
        self._touched.add(peer)
        self._table.remove(peer)
        for track in tuple(peer.tracks.values()):
            self._unpublish(track, now)
        peer.connection.close(now)
        self._tell(self.peers.values(), peer.left())

    # --- signaling ---

    def handle(self, peer: Peer, message: ClientMessage, now: float) -> None:
        """Do what a client's message asks.

        Raises:
            Refused: it is not done, and why.
        """
        match message:
            case Offer():
                self._handle_offer(peer, message, now)
            case Answer():
                self._handle_answer(peer, message, now)
            case IceCandidate():
                self._check_candidate(message)
            case MediaState():
                state = peer.set_media_state(message)
                self._tell(self._others(peer), state)
            case Leave():
                self.remove(peer, "left", now)
            case Ping():
                peer.tell(Pong(message.data))
            case Pong():
                pass
            case Join():
                raise Conflict("already in a room: leave it first")
        self._touched.add(peer)

    def offer_if_due(self, peer: Peer, now: float) -> None:
        """Send `peer` an offer, if what it should receive has changed and it may be asked now."""
        offer = peer.connection.make_offer(now)
        if offer is not None:
            peer.tell(Offer(sdp=offer, type="offer", peer_id=peer.id))
            self._touched.add(peer)

    def _handle_offer(self, peer: Peer, message: Offer, now: float) -> None:
        try:
            answer = peer.connection.answer_offer(message.sdp, now)
        except SdpError as error:
            raise BadRequest(f"offer: {error}") from None
        if answer is None:
            return
        peer.tell(Answer(sdp=answer, type="answer", peer_id=peer.id))
        self._wake_publishers(peer)
        self._update_tracks(peer, {track.mid: track.source for track in message.tracks}, now)

    def _handle_answer(self, peer: Peer, message: Answer, now: float) -> None:
        try:
            applied = peer.connection.apply_answer(message.sdp, now)
        except SdpError as error:
            raise BadRequest(f"answer: {error}") from None
        if applied:
            self._wake_publishers(peer)
            self._update_tracks(peer, {}, now)

    def _check_candidate(self, message: IceCandidate) -> None:
        try:
            parse_trickled(message.candidate)
        except BadPacket as error:
            raise BadRequest(f"candidate: {error}") from None

    # --- media ---

    def start_stream(self, peer: Peer, stream: ReceiveStream, now: float) -> None:
        """Forward a stream whose first packet has come. One that belongs to no track goes nowhere."""
        track = peer.tracks.get(stream.mid or "")
        if track is not None:
            track.start(stream, now)

    def wake_publisher(self, peer: Peer, stream: ReceiveStream) -> None:
        """`peer` asked for a key frame of `stream`: let its publisher's timers be looked at."""
        for subscription in peer.connection.subscriptions:
            if subscription.track.stream is stream:
                self._touched.add(subscription.track.publisher)

    def _wake_publishers(self, peer: Peer) -> None:
        """What `peer` receives has been negotiated: its new streams have asked for key frames."""
        for subscription in peer.connection.subscriptions:
            self._touched.add(subscription.track.publisher)

    # --- tracks ---

    def _update_tracks(self, peer: Peer, sources: dict[str, Source], now: float) -> None:
        """Publish and unpublish until `peer.tracks` is what its connection has negotiated to send."""
        receivers = {receiver.mid: receiver for receiver in peer.connection.sdp.receivers if receiver.active}
        for mid, track in tuple(peer.tracks.items()):
            receiver = receivers.get(mid)
            if receiver is None or sources.get(mid, track.source) != track.source:
                self._unpublish(track, now)
        for mid, receiver in receivers.items():
            if mid in peer.tracks:
                continue
            if len(peer.tracks) >= self._limits.max_tracks_per_peer:
                limit = self._limits.max_tracks_per_peer
                raise Forbidden(f"a peer may publish {limit} tracks: m-line {mid!r} is not forwarded")
            self._publish(peer, receiver, sources.get(mid, DEFAULT_SOURCE[receiver.kind]), now)

    def _publish(self, peer: Peer, receiver: Receiver, source: Source, now: float) -> None:
        track = Track(self._make_track_id(), peer, receiver.mid, receiver.kind, source, receiver.codecs)
        peer.tracks[track.mid] = track
        for stream in peer.connection.transport.streams:
            if stream.mid == track.mid:
                track.start(stream, now)  # it ran already, as another source
        peer.tell(track.published(to_publisher=True))
        for other in self._others(peer):
            other.tell(track.published())
            other.connection.subscribe(track)
            self._touched.add(other)

    def _unpublish(self, track: Track, now: float) -> None:
        peer = track.publisher
        del peer.tracks[track.mid]
        peer.tell(track.unpublished(to_publisher=True))
        for other in self._others(peer):
            other.connection.unsubscribe(track, now)
            other.tell(track.unpublished())
            self._touched.add(other)

    def _others(self, peer: Peer) -> list[Peer]:
        return [other for other in self.peers.values() if other is not peer]

    def _tell(self, peers: Iterable[Peer], message: ServerMessage) -> None:
        for peer in peers:
            peer.tell(message)
            self._touched.add(peer)
