"""A room: its peers, what they publish, and who receives it.

Every method is complete in itself. It raises `Refused` and changes nothing; or it changes the room and queues
the messages about that with the peers. Peers whose messages, datagrams or timers may have changed are marked,
for the shell to look at.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from sfu.conference.connection import Connection
from sfu.conference.errors import BadRequest, Conflict
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
    LayerSwitch,
    Leave,
    MediaState,
    Offer,
    Ping,
    Pong,
    RoomState,
    ServerDraining,
    Subscribe,
    Unsubscribe,
)
from sfu.conference.peer import Peer
from sfu.conference.publications import Publications
from sfu.conference.records import SessionRecord
from sfu.conference.roster import Pending, Roster
from sfu.conference.session import Departure
from sfu.conference.subscriptions import Subscriptions
from sfu.conference.totals import ConnectionTotals
from sfu.conference.track import Track
from sfu.errors import BadPacket
from sfu.ice.candidate import parse_trickled
from sfu.ice.events import IceState
from sfu.ice.path import IcePath
from sfu.sdp import SdpError, SessionDescription
from sfu.transport.demux import RouteTable
from sfu.transport.receive_stream import ReceiveStream


def _keeps_path(peer: Peer, path: IcePath, now: float) -> bool:
    return peer.connection.transport.has_consent(path, now)


def _make_table() -> RouteTable[Peer]:
    return RouteTable(_keeps_path)


def no_ice_servers(_user_id: str) -> tuple[IceServer, ...]:
    """Return no STUN and TURN servers."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomContext:
    """What all rooms of a conference share."""

    limits: Limits
    random: Callable[[int], bytes]
    """Returns as many random bytes as it is asked for."""
    auto_subscribe: bool = True
    """Whether a peer receives each track of its room that it has not unsubscribed from."""
    ice_servers: Callable[[str], tuple[IceServer, ...]] = no_ice_servers
    """Those that clients are told to use."""
    table: RouteTable[Peer] = field(default_factory=_make_table)
    """Finds the peer of a datagram."""
    pending: Pending = field(default_factory=Pending)
    """What the shell has yet to do for peers and sessions."""
    totals: ConnectionTotals = field(default_factory=ConnectionTotals)
    """The counts of connections that have ended."""


class Room:
    """One room: its peers, their tracks, and their subscriptions."""

    def __init__(self, room_id: str, context: RoomContext) -> None:
        self.id = room_id
        self._context = context
        self._roster = Roster(context.pending)
        self._subscriptions = Subscriptions(self._roster, automatic=context.auto_subscribe)
        self._publications = Publications(self._roster, self._subscriptions, context.limits, context.random)

    # --- peers come and go ---

    @property
    def peers(self) -> dict[str, Peer]:
        """The peers in the room, by peer id."""
        return self._roster.peers

    def find_user(self, user_id: str) -> Peer | None:
        """Return the peer of a user, if it is in the room."""
        return self._roster.find_user(user_id)

    def add(self, peer: Peer, token: str) -> None:
        """Let a new peer in, tell the others, and send it the state of the room.

        `token` is its session's, and is sent to its client only.
        """
        self._roster.tell(self.peers.values(), peer.joined())
        self.peers[peer.id] = peer
        self._context.table.add(peer, peer.connection.transport.ufrags())
        self._subscriptions.subscribe_to_room(peer)
        self._roster.mark_changed(peer)
        self._send_room_state(peer, token, resumed=False, keep=False)

    def restore(self, peer: Peer, record: SessionRecord, deadline: float, now: float) -> None:
        """Let in the suspended peer of a restored session, which expires at `deadline`.

        Its preferences are kept for as long as their tracks may yet be restored as well.
        """
        peer.restored = True
        peer.media_state = record.media_state
        peer.preferences = {preference.track_id: preference for preference in record.subscriptions}
        peer.session.suspend(deadline)
        peer.connection.close(now)  # it was never used; a resume brings a new one
        self._roster.tell(self.peers.values(), peer.joined())
        self.peers[peer.id] = peer
        self._publications.restore(peer, record.tracks)
        self._roster.tell(self._roster.others(peer.id), peer.away())
        self._subscriptions.keep_until(peer, max(deadline, now + self._context.limits.session_ttl))
        self._roster.mark_changed(peer)
        self._roster.mark_dirty(peer)

    def suspend(self, peer: Peer, deadline: float) -> None:
        """Note that `peer` has no signaling. Its media goes on; without a resume it expires at `deadline`."""
        if peer.ended is not None or peer.suspended:
            return
        peer.session.suspend(deadline)
        peer.reclaim_deadline = None  # the session's deadline counts now
        self._roster.mark_changed(peer)
        self._roster.mark_dirty(peer)
        self._roster.tell(self._roster.others(peer.id), peer.away())

    def resume(
        self, peer: Peer, token: str, connection: Connection | None, now: float, *, was_away: bool
    ) -> None:
        """Go on with a resumed session: on its connection, or on a new one if `connection` is given.

        `token` proves the session next time. The others are told if the peer was suspended. If it was not, its
        client has replaced the signaling connection before the server noticed that the old one was lost.
        """
        peer.restored = False
        if connection is None:
            peer.connection.retransmit_signaling()
            if peer.connection.transport.state is IceState.FAILED:
                peer.connection.restart_ice()  # a disconnected client could not be asked to
        else:
            self._replace_connection(peer, connection, now)
        self._publications.start_reclaim_timer(peer, now)
        self._roster.mark_changed(peer)
        self._send_room_state(peer, token, resumed=True, keep=connection is None)
        if was_away:
            self._roster.tell(self._roster.others(peer.id), peer.back())

    def lose_connection(self, peer: Peer, now: float) -> None:
        """Note that the connection of `peer` has ended: the client has closed it, or DTLS has failed.

        The session goes on. So do its tracks, if the client publishes them on another connection soon.
        """
        self._close(peer.connection, now)
        self._publications.make_dormant(peer, now)
        if not peer.suspended:
            self._publications.start_reclaim_timer(peer, now)

    def remove(self, peer: Peer, reason: str, now: float, departure: Departure = Departure.LEFT) -> None:
        """Remove `peer`: end its tracks, close its connection, and tell the others.

        If it has `LEFT`, its session has ended. If it has `MOVED`, its session goes on elsewhere: its stored
        record stays, and others' preferences for its tracks are kept for the session's grace period.
        """
        if self.peers.get(peer.id) is not peer:
            return  # removed already; after a resume elsewhere, another peer may have its id
        del self.peers[peer.id]
        peer.session.end(reason)
        self._context.pending.changed.discard(peer)
        self._roster.mark_dirty(peer)
        self._context.table.remove(peer)
        self._publications.end(peer, now, departure)
        if departure is Departure.LEFT:
            self._context.pending.ended.add(peer.session.id)
            self._subscriptions.forget_publisher(peer.id)
        else:
            for other in self.peers.values():
                self._subscriptions.keep_until(other, now + self._context.limits.session_ttl)
        self._roster.tell(self.peers.values(), peer.left())
        self._close(peer.connection, now)

    def drain(self, deadline_ms: int) -> None:
        """Tell the clients that the server stops."""
        self._roster.tell(self.peers.values(), ServerDraining(deadline_ms))

    def handle_timeout(self, peer: Peer, now: float) -> None:
        """Do what is due for `peer`. Its connection has its own timers."""
        if peer.session.is_expired(now):
            self.remove(peer, "expired", now)
            return
        if peer.reclaim_deadline is not None and now >= peer.reclaim_deadline:
            self._publications.end_dormant(peer, now)
        if peer.preferences_deadline is not None and now >= peer.preferences_deadline:
            self._subscriptions.drop_unused(peer)

    def _send_room_state(self, peer: Peer, token: str, *, resumed: bool, keep: bool) -> None:
        peer.tell(
            Joined(
                peer_id=peer.id,
                room_id=self.id,
                session_id=peer.session.id,
                session_token=token,
                resumed=resumed,
                transport="keep" if keep else "new",
                ice_servers=self._context.ice_servers(peer.user_id),
            )
        )
        others = tuple(other.info() for other in self._roster.others(peer.id))
        peer.tell(RoomState(others, self._subscriptions.describe(peer)))
        for track in peer.tracks.values():
            if track.mid is not None:
                peer.tell(
                    track.published(to_publisher=True)
                )  # the answer that told the client may have been lost
        self._roster.mark_dirty(peer)

    def _replace_connection(self, peer: Peer, connection: Connection, now: float) -> None:
        """Go on with a new connection: with the same subscriptions, and with dormant tracks."""
        old = peer.connection
        self._close(old, now)
        peer.closing_datagrams += old.outgoing(now)
        peer.closing_ice_requests += old.take_ice_requests()
        self._context.table.remove(peer)
        peer.connection = connection
        self._context.table.add(peer, peer.connection.transport.ufrags())
        self._publications.make_dormant(peer, now)
        self._subscriptions.subscribe_to_room(peer)

    def _close(self, connection: Connection, now: float) -> None:
        if not connection.closed:
            connection.close(now)
            self._context.totals.add(connection.statistics())

    # --- signaling ---

    def handle(self, peer: Peer, message: ClientMessage, now: float) -> None:
        """Do what a client's message asks.

        Raises:
            Refused: the message is not allowed, or does not fit the state.
        """
        peer.connection.known = True
        if peer.session.confirm():
            self._roster.mark_changed(peer)
        match message:
            case Offer() | Answer() | IceRestartRequest() if peer.connection.closed:
                raise Conflict("your connection has ended: join again with a new one")
            case Offer():
                self._handle_offer(peer, message, now)
            case Answer():
                self._handle_answer(peer, message, now)
            case IceCandidate():
                self._add_candidate(peer, message)
            case IceRestartRequest():
                peer.connection.restart_ice()
            case MediaState():
                state = peer.set_media_state(message)
                self._roster.mark_changed(peer)
                self._roster.tell(self._roster.others(peer.id), state)
            case Subscribe():
                self._subscriptions.subscribe(peer, message)
            case Unsubscribe():
                self._subscriptions.unsubscribe(peer, message, now)
            case LayerSwitch():
                self._subscriptions.switch_layer(peer, message)
            case Leave():
                self.remove(peer, "left", now)
            case Ping():
                peer.tell(Pong(message.data))
            case Pong():
                pass
            case Join():
                raise Conflict("already in a room: leave it first")
        self._roster.mark_dirty(peer)

    def offer_if_due(self, peer: Peer, now: float) -> bool:
        """Send `peer` an offer if something is to be negotiated and it may be; return whether it was sent."""
        if peer.suspended:
            return False
        offer = peer.connection.make_offer(now)
        if offer is None:
            return False
        if peer.connection.sdp.restarts_ice:
            peer.tell(IceRestartOffer(sdp=offer, peer_id=peer.id))
        else:
            peer.tell(Offer(sdp=offer, type="offer", peer_id=peer.id))
        return True

    def _handle_offer(self, peer: Peer, message: Offer, now: float) -> None:
        try:
            description = SessionDescription.parse(message.sdp)
            sources = {track.mid: track.source for track in message.tracks}
            self._publications.check(peer, description, sources)
            answer = peer.connection.answer_offer(description, now)
        except SdpError as error:
            raise BadRequest(f"offer: {error}") from None
        if answer is None:
            return
        peer.tell(Answer(sdp=answer, type="answer", peer_id=peer.id))
        self._wake_publishers(peer)
        self._publications.update_from_offer(peer, sources, now)

    def _handle_answer(self, peer: Peer, message: Answer, now: float) -> None:
        try:
            applied = peer.connection.apply_answer(message.sdp, now)
        except SdpError as error:
            raise BadRequest(f"answer: {error}") from None
        if applied:
            self._wake_publishers(peer)
            self._publications.update_from_answer(peer, now)

    def _add_candidate(self, peer: Peer, message: IceCandidate) -> None:
        try:
            candidate = parse_trickled(message.candidate)
        except BadPacket as error:
            raise BadRequest(f"candidate: {error}") from None
        if candidate is not None:
            peer.connection.add_candidate(candidate)

    def tell_candidates(self, peer: Peer) -> None:
        """Send `peer` the candidates of ours that it has not been told, if they are due."""
        if not peer.suspended:
            for candidate in peer.connection.take_candidates():
                peer.tell(candidate)

    # --- media ---

    def start_stream(self, peer: Peer, stream: ReceiveStream, now: float) -> None:
        """Forward a stream whose first packet has come. A stream of no track is not forwarded."""
        track = peer.track_on(stream.mid)
        if track is not None:
            track.start(stream, now)

    def wake_publisher(self, peer: Peer, stream: ReceiveStream) -> None:
        """Mark the publisher of `stream`: `peer` has requested a key frame, which changes its timers."""
        for subscription in peer.connection.subscriptions:
            if subscription.track.stream is stream:
                self._mark_publisher_dirty(subscription.track)

    def _wake_publishers(self, peer: Peer) -> None:
        """Mark the publishers of all that `peer` receives: new streams have requested key frames."""
        for subscription in peer.connection.subscriptions:
            self._mark_publisher_dirty(subscription.track)

    def _mark_publisher_dirty(self, track: Track) -> None:
        publisher = self.peers.get(track.publisher_id)
        if publisher is not None:
            self._roster.mark_dirty(publisher)
