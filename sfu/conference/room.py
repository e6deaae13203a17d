"""A room: who is in it, what they publish, and who receives it.

Every method is one complete step: it either refuses (`Refused`) and changes nothing, or leaves the room in
order and the messages about it with the peers. Peers whose messages, datagrams or timers may have changed are
put into `touched`, for the shell to look at.
"""

from collections.abc import Callable, Iterable

from sfu.conference.connection import Connection
from sfu.conference.errors import BadRequest, Conflict, Forbidden
from sfu.conference.ledger import Ledger
from sfu.conference.limits import Limits
from sfu.conference.messages import (
    Answer,
    ClientMessage,
    IceCandidate,
    IceRestartOffer,
    IceRestartRequest,
    IceServer,
    Join,
    Joined,
    Kind,
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
from sfu.sdp import Receiver, SdpError, SessionDescription
from sfu.sdp.grammar import sends
from sfu.transport.demux import TransportTable
from sfu.transport.receiver import ReceiveStream

RECLAIM_TIMEOUT = 10.0
"""Seconds that a session which has come back with a new connection may take to publish its tracks again."""

DEFAULT_SOURCE: dict[str, Source] = {"audio": "mic", "video": "camera"}


class Room:
    """One room. Tracks are forwarded to everybody but their publisher."""

    def __init__(
        self,
        room_id: str,
        limits: Limits,
        random: Callable[[int], bytes],
        table: TransportTable[Peer],
        touched: set[Peer],
        ledger: Ledger,
        ice_servers: tuple[IceServer, ...] = (),
    ) -> None:
        self.id = room_id
        self.peers: dict[str, Peer] = {}
        self._limits = limits
        self._random = random
        self._table = table
        self._touched = touched
        self._ledger = ledger
        self._ice_servers = ice_servers

    # --- coming and going ---

    def find_user(self, user_id: str) -> Peer | None:
        """Return the peer of a user, if that is in the room."""
        return next((peer for peer in self.peers.values() if peer.user_id == user_id), None)

    def add(self, peer: Peer, token: str) -> None:
        """Let `peer` in: it is acknowledged, told the room, and subscribed to everything.

        `token` is its session's, which nobody but the client ever gets to see.
        """
        others = tuple(self.peers.values())
        self._tell(others, peer.joined())
        self.peers[peer.id] = peer
        self._table.add(peer)
        for other in others:
            for track in other.tracks.values():
                self._subscribe(peer, track)
        self._welcome(peer, token, resumed=False, keep=False)

    def suspend(self, peer: Peer, deadline: float) -> None:
        """`peer` has no signaling any more. Its media goes on; without a resume it expires at `deadline`."""
        if peer.ended is not None or peer.suspended:
            return
        peer.session.suspend(deadline)
        self._touched.add(peer)
        self._tell(self._others(peer), peer.away())

    def resume(self, peer: Peer, token: str, connection: Connection | None, now: float) -> None:
        """`peer` is back: with the connection that it had, or with a new one that continues the old.

        `token` is the session's new one. A session that was not suspended is taken over from a signaling
        connection that its client has given up; others need not know.
        """
        was_suspended = peer.suspended
        following = peer.session.resume(token, self._random)
        if connection is None:
            peer.connection.negotiate_again()
        else:
            self._replace_connection(peer, connection, now)
        self._welcome(peer, following, resumed=True, keep=connection is None)
        if was_suspended:
            self._tell(self._others(peer), peer.back())

    def remove(self, peer: Peer, reason: str, now: float) -> None:
        """Take `peer` out for good: its tracks end, its connection says goodbye, others are told."""
        if self.peers.pop(peer.id, None) is None:
            return
        peer.ended = reason
        peer.session.end()
        self._touched.add(peer)
        self._table.remove(peer)
        for track in tuple(peer.tracks.values()):
            self._unpublish(track, now)
        self._close(peer.connection, now)
        self._tell(self.peers.values(), peer.left())

    def handle_timeout(self, peer: Peer, now: float) -> None:
        """Do what is due for `peer` itself; its connection has timers of its own."""
        if peer.session.is_expired(now):
            self.remove(peer, "expired", now)
        elif peer.reclaim_deadline is not None and now >= peer.reclaim_deadline:
            peer.reclaim_deadline = None
            for track in tuple(peer.tracks.values()):
                if track.mid is None:
                    self._unpublish(track, now)

    def _welcome(self, peer: Peer, token: str, *, resumed: bool, keep: bool) -> None:
        peer.tell(
            Joined(
                peer_id=peer.id,
                room_id=self.id,
                session_id=peer.session.id,
                session_token=token,
                resumed=resumed,
                transport="keep" if keep else "new",
                ice_servers=self._ice_servers,
            )
        )
        subscriptions = tuple(subscription.info() for subscription in peer.connection.subscriptions)
        peer.tell(RoomState(tuple(other.info() for other in self._others(peer)), subscriptions))
        for track in peer.tracks.values():
            if track.mid is not None:
                peer.tell(track.published(to_publisher=True))  # its answer may have got lost
        self._touched.add(peer)

    def _replace_connection(self, peer: Peer, connection: Connection, now: float) -> None:
        """Go on with a new connection: its subscriptions, and its tracks once they are published again."""
        old = peer.connection
        for subscription in old.subscriptions:
            connection.subscribe(subscription.track)
        self._close(old, now)
        peer.farewell += old.outgoing(now)
        peer.last_ice_requests += old.take_ice_requests()
        self._table.remove(peer)
        peer.connection = connection
        self._table.add(peer)
        for track in peer.tracks.values():
            track.sleep()
        peer.reclaim_deadline = now + RECLAIM_TIMEOUT if peer.tracks else None

    def _close(self, connection: Connection, now: float) -> None:
        connection.close(now)
        self._ledger.add(connection.statistics())

    # --- signaling ---

    def handle(self, peer: Peer, message: ClientMessage, now: float) -> None:
        """Do what a client's message asks.

        Raises:
            Refused: it is not done, and why.
        """
        peer.session.confirm()
        match message:
            case Offer():
                self._handle_offer(peer, message, now)
            case Answer():
                self._handle_answer(peer, message, now)
            case IceCandidate():
                self._add_candidate(peer, message)
            case IceRestartRequest():
                peer.connection.restart_ice(now)
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
        if peer.suspended:
            return
        restarts = peer.connection.restarts_ice
        offer = peer.connection.make_offer(now)
        if offer is None:
            return
        if restarts:
            peer.tell(IceRestartOffer(sdp=offer, peer_id=peer.id))
        else:
            peer.tell(Offer(sdp=offer, type="offer", peer_id=peer.id))
        self._touched.add(peer)

    def _handle_offer(self, peer: Peer, message: Offer, now: float) -> None:
        try:
            description = SessionDescription.parse(message.sdp)
            published = sum(1 for media in description.media if not media.stopped and sends(media.direction))
            if published > self._limits.max_tracks_per_peer:
                raise Forbidden(
                    f"a peer may publish {self._limits.max_tracks_per_peer} tracks, not {published}"
                )
            sources = {track.mid: track.source for track in message.tracks}
            self._check_grants(peer, description, sources)
            answer = peer.connection.answer_offer(description, now)
        except SdpError as error:
            raise BadRequest(f"offer: {error}") from None
        if answer is None:
            return
        peer.tell(Answer(sdp=answer, type="answer", peer_id=peer.id))
        self._wake_publishers(peer)
        self._update_tracks(peer, sources, now)

    def _check_grants(self, peer: Peer, offer: SessionDescription, sources: dict[str, Source]) -> None:
        """Refuse an offer that publishes what the peer may not."""
        for media in offer.media:
            if media.kind in DEFAULT_SOURCE and not media.stopped and sends(media.direction):
                kind: Kind = "audio" if media.kind == "audio" else "video"
                source = self._source(peer, kind, media.mid, sources)
                if not peer.grants.may_publish(kind, source):
                    raise Forbidden(f"you may not publish {'a screen' if source == 'screen' else kind}")

    def _source(self, peer: Peer, kind: Kind, mid: str | None, sources: dict[str, Source]) -> Source:
        """What an m-line of the client carries: as it says now, as it said before, or as most do."""
        known = peer.track_on(mid)
        return sources.get(mid or "") or (known.source if known else DEFAULT_SOURCE[kind])

    def _handle_answer(self, peer: Peer, message: Answer, now: float) -> None:
        try:
            applied = peer.connection.apply_answer(message.sdp, now)
        except SdpError as error:
            raise BadRequest(f"answer: {error}") from None
        if applied:
            self._wake_publishers(peer)
            self._update_tracks(peer, {}, now)

    def _add_candidate(self, peer: Peer, message: IceCandidate) -> None:
        try:
            candidate = parse_trickled(message.candidate)
        except BadPacket as error:
            raise BadRequest(f"candidate: {error}") from None
        if candidate is not None:
            peer.connection.add_candidate(candidate)

    def tell_candidates(self, peer: Peer) -> None:
        """Tell `peer` where else it may reach us, if that is due."""
        if not peer.suspended:
            for candidate in peer.connection.take_candidates():
                peer.tell(candidate)

    # --- media ---

    def start_stream(self, peer: Peer, stream: ReceiveStream, now: float) -> None:
        """Forward a stream whose first packet has come. One that belongs to no track goes nowhere."""
        track = peer.track_on(stream.mid)
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
        for track in tuple(peer.tracks.values()):
            if track.mid is None:
                continue
            receiver = receivers.pop(track.mid, None)
            if receiver is None:
                self._unpublish(track, now)
            elif sources.get(track.mid, track.source) != track.source:
                self._unpublish(track, now)
                receivers[receiver.mid] = receiver
        for mid, receiver in receivers.items():
            source = sources.get(mid, DEFAULT_SOURCE[receiver.kind])
            dormant = peer.dormant_track(receiver.kind, source)
            if dormant is None:
                self._publish(peer, receiver, source, now)
            else:
                self._bring_back(dormant, receiver, now)

    def _publish(self, peer: Peer, receiver: Receiver, source: Source, now: float) -> None:
        track = Track(self._random(8).hex(), peer, receiver.kind, source)
        track.carry(receiver.mid, receiver.codecs)
        peer.tracks[track.id] = track
        for stream in peer.connection.transport.streams:
            if stream.mid == track.mid:
                track.start(stream, now)  # it ran already, as another source
        peer.tell(track.published(to_publisher=True))
        for other in self._others(peer):
            other.tell(track.published())
            self._subscribe(other, track)
            self._touched.add(other)

    def _bring_back(self, track: Track, receiver: Receiver, now: float) -> None:
        """A dormant track is published again: others go on receiving it, in the same slots where that fits."""
        same = {codec.identity for codec in track.codecs} == {codec.identity for codec in receiver.codecs}
        track.carry(receiver.mid, receiver.codecs)
        track.publisher.tell(track.published(to_publisher=True))
        if not same:
            for other in self._others(track.publisher):
                other.connection.unsubscribe(track, now)
                self._subscribe(other, track)
                self._touched.add(other)

    def _subscribe(self, peer: Peer, track: Track) -> None:
        if peer.grants.subscribe:
            peer.connection.subscribe(track)

    def _unpublish(self, track: Track, now: float) -> None:
        peer = track.publisher
        del peer.tracks[track.id]
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
