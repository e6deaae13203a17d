"""The conference: all rooms of a server, as one machine that messages, datagrams and deadlines go into."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sfu.conference.admission import Admission
from sfu.conference.connection import Connection
from sfu.conference.directory import Directory
from sfu.conference.envelope import BadMessage, parse
from sfu.conference.errors import Forbidden, Refused, TooManyRequests
from sfu.conference.grants import Authenticate, allow_everyone
from sfu.conference.limits import Limits
from sfu.conference.messages import (
    CLIENT_MESSAGES,
    ClientMessage,
    IceServer,
    LayerSwitch,
    ServerMessage,
    Subscribe,
    SubscriptionAck,
    Unsubscribe,
    refusal,
)
from sfu.conference.peer import Peer, PeerOutput
from sfu.conference.rate import weight_of
from sfu.conference.room import Room, RoomContext, no_ice_servers
from sfu.conference.session import Departure
from sfu.ice.events import (
    CredentialsAdded,
    CredentialsRetired,
    IceState,
    PathRetired,
    PathValidated,
    StateChanged,
)
from sfu.ice.full_messages import IceReport
from sfu.ice.path import IcePath
from sfu.transport.egress import Egress
from sfu.transport.events import (
    KeyFrameRequested,
    Secured,
    StreamStarted,
    TransportClosed,
    TransportFailed,
)
from sfu.transport.fan_out import fan_out
from sfu.transport.peer import TransportEvent
from sfu.transport.receive_stream import Forwarder


@dataclass(frozen=True, slots=True)
class ConferenceStatistics:
    """Counts since the process began, and current numbers."""

    rooms: int
    peers: int
    routes: int
    """Paths and username fragments that lead to a peer."""
    messages: dict[tuple[str, str], int]
    """Clients' messages by type (``"?"`` if unknown) and result: ``ok`` or the code of the error."""
    drops: dict[str, int]
    """Datagrams that belonged to no peer, by reason."""
    suspended: int
    """Sessions whose client is disconnected."""
    resumes: int
    """Sessions that were resumed."""
    failed_resumes: int
    """Joins that named a session and did not resume it."""
    handshakes: dict[str, int]
    """DTLS handshakes by result: ``ok``, or the reason of the failure."""


class Changes(NamedTuple):
    """What has happened to sessions, for the store."""

    changed: list[Peer]
    """Peers whose `Peer.record` may have changed."""
    ended: list[str]
    """Ids of sessions that cannot be resumed any more: the store has to forget them."""


class Conference:
    """Rooms and peers by id: the machine that the Trio shell drives.

    Nothing here waits. The shell calls a method for each message, datagram and deadline. Then it calls `flush`,
    which says what to send, to post and to wait for.
    """

    def __init__(
        self,
        limits: Limits,
        make_connection: Callable[[float], Connection],
        egress: Egress,
        random: Callable[[int], bytes],
        authenticate: Authenticate = allow_everyone,
        *,
        auto_subscribe: bool = True,
        ice_servers: Callable[[str], tuple[IceServer, ...]] = no_ice_servers,
    ) -> None:
        """`authenticate` is called at each fresh join. A resume is authenticated by the session's token.

        With `auto_subscribe` a peer receives each track of its room that it has not unsubscribed from; without,
        only the tracks that it has subscribed to. `ice_servers` returns those for the client
        of a user.
        """
        context = RoomContext(
            limits=limits, random=random, auto_subscribe=auto_subscribe, ice_servers=ice_servers
        )
        self.directory = Directory(context)
        """The rooms and the sessions, by id."""
        self.admission = Admission(self.directory, context, make_connection, authenticate)
        """Lets clients in, and restores sessions."""
        self.totals = context.totals
        """The counts of connections that have ended."""
        self.table = context.table
        """Finds the peer of a datagram."""
        self._pending = context.pending
        self._receiving: set[Peer] = set()
        """Peers of which only packets have come since the last `flush`: they have nothing to be told."""
        self._failed: dict[Peer, Exception] = {}
        """Peers to which a packet could not be forwarded since the last `flush`."""
        self._session_ttl = limits.session_ttl
        self._egress = egress
        self._messages: Counter[tuple[str, str]] = Counter()
        self._handshakes: Counter[str] = Counter()

    # --- coming and going ---

    @property
    def rooms(self) -> Mapping[str, Room]:
        """The rooms, by id; empty ones that have not been forgotten too."""
        return self.directory.rooms

    def suspend(self, peer: Peer, now: float) -> None:
        """Note that the signaling connection of `peer` has ended without a leave message."""
        if peer.ended is None:
            self.directory.room_of(peer).suspend(peer, now + self._session_ttl)

    def remove(self, peer: Peer, reason: str, now: float, departure: Departure = Departure.LEFT) -> None:
        """Take `peer` out of its room. Harmless if it is out already."""
        if peer.ended is None:
            self.directory.room_of(peer).remove(peer, reason, now, departure)

    def abandon(self, peer: Peer) -> None:
        """Drop a peer whose removal has failed, so that it is found no more, and tell the others."""
        peer.session.end("internal error")
        self.table.remove(peer)
        self.directory.forget_session(peer)
        pending = self._pending
        pending.dirty.discard(peer)
        pending.changed.discard(peer)
        pending.ended.add(peer.session.id)
        room = self.rooms.get(peer.room_id)
        if room is not None and room.peers.get(peer.id) is peer:
            del room.peers[peer.id]
            for other in room.peers.values():
                other.tell(peer.left())
                pending.dirty.add(other)

    def drain(self, deadline_ms: int) -> None:
        """Tell all clients that the server stops in `deadline_ms` milliseconds at the latest."""
        for room in self.rooms.values():
            room.drain(deadline_ms)

    # --- signaling ---

    def receive_message(self, peer: Peer, text: str | bytes, now: float) -> None:
        """Do what a message asks. A refusal is sent to the client as an `error` message.

        A message that arrives after the peer has ended has no effect.
        """
        if peer.ended is not None:
            return
        message: ClientMessage | None = None
        message_type = None
        result = "ok"
        try:
            may_pass = peer.bucket.take(now, weight_of(text))
            # Parsed also if it is refused: the error names the message.
            message = parse(text)
            message_type = message.message_type
            if not may_pass:
                raise TooManyRequests("too many messages: slow down")
            self.directory.room_of(peer).handle(peer, message, now)
            self._take_events(peer, now)
        except Refused as error:
            if isinstance(error, BadMessage):
                message_type = error.message_type
            result = str(error.code)
            peer.tell(_answer_to(message, message_type, error))
            self._pending.dirty.add(peer)
        self.count_message(message_type, result)

    def count_message(self, message_type: str | None, result: str) -> None:
        """Count a message of a client; `result` is ``ok`` or the code of the error that answered it.

        `receive_message` counts by itself. Messages before the join are counted by the caller.
        """
        # Clients can invent types, so unknown types share one label.
        label = message_type if message_type is not None and message_type in CLIENT_MESSAGES else "?"
        self._messages[label, result] += 1

    # --- packets and time ---

    def receive(self, peer: Peer, data: bytes, path: IcePath, now: float) -> None:
        """Take a datagram of `peer`. A media packet is in the egress for its receivers when this returns.

        The packet path: most datagrams are media, and lead to nothing else. Then nothing of what `_finish` does
        is needed.
        """
        transport = peer.connection.transport
        media = transport.receive(data, path, now)
        events = transport.events()
        if events:
            self._handle_events(peer, events, now)  # before the packet: its stream may begin with it
        else:
            self._receiving.add(peer)
        if media is not None:
            failures = fan_out(media, media.stream.senders, self._egress, now)
            if failures is not None:
                self._note_receivers(peer, failures)

    def _note_receivers(self, publisher: Peer, failures: Iterable[tuple[Forwarder, Exception]]) -> None:
        """Note what failed in forwarding a packet: it is a failure of the receivers, not of the publisher.

        A receiver that is not in the room is one that has failed before, and could not be removed completely.
        """
        for sender, error in failures:
            for peer in self.directory.room_of(publisher).peers.values():
                if peer.connection.transport.send_context is sender.send_context:
                    self._failed[peer] = error

    def lose_path(self, peer: Peer, path: IcePath, now: float) -> None:
        """Note that the TCP connection that carried `path`, one of `peer`'s, has ended."""
        peer.connection.transport.lose_path(path, now)
        self._take_events(peer, now)

    def set_path_full(self, peer: Peer, path: IcePath, full: bool, now: float) -> None:
        """Note whether too much waits on `path`, one of `peer`'s: then no video frame begins there."""
        peer.connection.transport.set_path_full(path, full, now)
        if not full:
            self._take_events(peer, now)

    def report_ice(self, peer: Peer, reports: Iterable[IceReport], now: float) -> None:
        """Take what the sockets of a peer's full ICE agents have found."""
        for report in reports:
            peer.connection.report_ice(report, now)
        self._take_events(peer, now)

    def handle_timeout(self, peer: Peer, now: float) -> None:
        """Do what is due for `peer` at `now`."""
        peer.connection.handle_timeout(now)
        if peer.ended is None:
            self.directory.room_of(peer).handle_timeout(peer, now)
        self._take_events(peer, now)

    def statistics(self) -> ConferenceStatistics:
        """Return the counts so far."""
        return ConferenceStatistics(
            rooms=len(self.rooms),
            peers=sum(len(room.peers) for room in self.rooms.values()),
            routes=self.table.routes(),
            messages=dict(self._messages),
            drops=dict(self.table.drops),
            suspended=sum(peer.suspended for room in self.rooms.values() for peer in room.peers.values()),
            resumes=self.admission.resumes,
            failed_resumes=self.admission.failed_resumes,
            handshakes=dict(self._handshakes),
        )

    def flush(self, now: float) -> Iterator[PeerOutput]:
        """Yield what the shell has to do for each peer that something has happened to, until there is no more.

        To finish one peer may change others, which then follow. What fails in that is handed out as the `error`
        of that peer, and the others go on.
        """
        pending, receiving = self._pending, self._receiving
        while pending.dirty or receiving or self._failed:
            if self._failed:
                peer, error = self._failed.popitem()
                yield PeerOutput(peer, error=error)
            elif pending.dirty:
                dirty, pending.dirty = pending.dirty, set()
                receiving -= dirty
                for peer in dirty:
                    yield self._finish(peer, now)
            else:
                peer = receiving.pop()
                try:
                    output = peer.take_packet_output(now)
                except Exception as error:
                    output = PeerOutput(peer, error=error)
                yield output

    def _finish(self, peer: Peer, now: float) -> PeerOutput:
        """Make the offer that is due for `peer`, or forget its session if it has ended; return its output."""
        try:
            if peer.ended is None:
                room = self.directory.room_of(peer)
                if room.offer_if_due(peer, now):
                    self._take_events(peer, now)  # it may have brought new credentials
                room.tell_candidates(peer)
            else:
                self.directory.forget_session(peer)
            return peer.take_output(now)
        except Exception as error:
            self._pending.dirty.discard(peer)
            return PeerOutput(peer, error=error)

    def take_changed(self) -> Changes:
        """Return what has to be stored, or dropped from the store, since the last call."""
        changes = Changes(list(self._pending.changed), list(self._pending.ended))
        self._pending.changed.clear()
        self._pending.ended.clear()
        return changes

    def _take_events(self, peer: Peer, now: float) -> None:
        """Do what the events of a peer's transport lead to, after something has been done with it."""
        self._handle_events(peer, peer.connection.transport.events(), now)

    def _handle_events(self, peer: Peer, events: Iterable[TransportEvent], now: float) -> None:
        self._pending.dirty.add(peer)
        for event in events:
            match event:
                case Secured():
                    self._note_handshake(peer, "ok")
                case TransportFailed(reason):
                    self._note_handshake(peer, reason)
                case PathValidated(path):
                    before = self.table.owner(path)
                    if before is not None and before is not peer:
                        # That peer has no consent any more (see `RouteTable`): the address has passed on.
                        self.lose_path(before, path, now)
                    self.table.apply(peer, (event,))
                case PathRetired() | CredentialsAdded() | CredentialsRetired():
                    self.table.apply(peer, (event,))
                case _:
                    pass  # for the room, or for statistics only
            if peer.ended is None:
                self._tell_room(peer, event, now)

    def _tell_room(self, peer: Peer, event: TransportEvent, now: float) -> None:
        """Do in the room of `peer` what an event of its transport leads to."""
        room = self.directory.room_of(peer)
        match event:
            case KeyFrameRequested(stream):
                room.wake_publisher(peer, stream)
            case StreamStarted(stream):
                room.start_stream(peer, stream, now)
            case StateChanged(IceState.FAILED) if not peer.suspended:
                # The client is connected, but its network has changed.
                peer.connection.restart_ice()
            case TransportFailed("fingerprint-mismatch" as reason):
                peer.tell(refusal(Forbidden("the DTLS certificate is not the one of the description")))
                room.remove(peer, reason, now)
            case TransportClosed() | TransportFailed():
                room.lose_connection(peer, now)
            case _:
                pass

    def _note_handshake(self, peer: Peer, result: str) -> None:
        if peer.connection.handshake is None:  # what fails later is no handshake
            peer.connection.handshake = result
            self._handshakes[result] += 1


def _answer_to(message: ClientMessage | None, message_type: str | None, error: Refused) -> ServerMessage:
    """Return the message that tells a client that its message was refused."""
    match message:
        case Subscribe() | Unsubscribe() | LayerSwitch():
            return SubscriptionAck(message.track_id, success=False, reason=str(error))
        case _:
            return refusal(error, message_type)
