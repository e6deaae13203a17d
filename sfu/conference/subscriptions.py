"""Which peer receives which track of a room.

The preference that a client has stated for a track decides (`Peer.preferences`); without one, the server's
default does. Preferences survive a connection. They may also name tracks that are not there yet: after a
restart of the server, sessions are restored one by one in any order.

This module keeps preferences. `sfu.conference.downstream` turns them into m-lines and streams.
"""

from sfu.conference.errors import Conflict, Forbidden, NotFound
from sfu.conference.messages import LayerSwitch, Subscribe, SubscriptionAck, SubscriptionInfo, Unsubscribe
from sfu.conference.peer import Peer
from sfu.conference.records import SubscriptionRecord
from sfu.conference.roster import Roster
from sfu.conference.session import Departure
from sfu.conference.track import Track

OWN_TRACK = "this track is your own"


class Subscriptions:
    """The subscriptions of one room."""

    def __init__(self, roster: Roster, *, automatic: bool) -> None:
        """With `automatic`, a peer receives every track for which its client has stated no preference."""
        self._roster = roster
        self._automatic = automatic

    # --- requests of clients ---

    def subscribe(self, peer: Peer, request: Subscribe) -> None:
        """Make `peer` receive a track. A second request changes the layer.

        Raises:
            Refused: receiving was not granted, the track is the peer's own, or there is no such track.
        """
        if not peer.grants.subscribe:
            raise Forbidden("you may not receive tracks")
        track = self._find(peer, request.track_id, request.peer_id)
        self._note(peer, SubscriptionRecord(request.track_id, request.peer_id, request.layer))
        if track is not None:
            self._subscribe_if_wanted(peer, track)

    def unsubscribe(self, peer: Peer, request: Unsubscribe, now: float) -> None:
        """Stop `peer` from receiving a track, whatever the default is. A second request changes nothing.

        Raises:
            Refused: the track is the peer's own, or there is no such track.
        """
        track = self._find(peer, request.track_id, request.peer_id)
        self._note(peer, SubscriptionRecord(request.track_id, request.peer_id, wanted=False))
        if track is not None:
            peer.connection.downstream.unsubscribe(track, now)

    def switch_layer(self, peer: Peer, request: LayerSwitch) -> None:
        """Store which layer of a track `peer` prefers.

        Raises:
            Refused: the track is the peer's own, or the peer does not receive it.
        """
        track = self._roster.find_track(request.track_id)
        preference = peer.preferences.get(request.track_id)
        if track is not None and track.publisher_id == peer.id:
            raise Conflict(OWN_TRACK)
        if track is not None and self._wants(peer, track):
            publisher_id = track.publisher_id
        elif track is None and preference is not None and preference.wanted:
            publisher_id = preference.peer_id
        else:
            raise NotFound("you do not receive this track")
        self._note(peer, SubscriptionRecord(request.track_id, publisher_id, request.target_rid))

    def _find(self, peer: Peer, track_id: str, peer_id: str) -> Track | None:
        """Return the track of a request; None for one whose publisher may yet come back.

        Raises:
            Refused: the track is the peer's own, or there is no such track.
        """
        track = self._roster.find_track(track_id)
        if track is None:
            preference = peer.preferences.get(track_id)
            if preference is not None and preference.peer_id == peer_id:
                return None
        elif track.publisher_id == peer.id:
            raise Conflict(OWN_TRACK)
        elif track.publisher_id == peer_id:
            return track
        raise NotFound("this peer has no such track")

    def _note(self, peer: Peer, preference: SubscriptionRecord) -> None:
        if peer.preferences.get(preference.track_id) != preference:
            peer.preferences[preference.track_id] = preference
            self._roster.mark_changed(peer)
        peer.tell(SubscriptionAck(preference.track_id, success=True))

    # --- changes of tracks and peers ---

    def describe(self, peer: Peer) -> tuple[SubscriptionInfo, ...]:
        """Return what `peer` receives, or will receive once it is negotiated."""
        infos = []
        for subscription in peer.connection.subscriptions:
            track = subscription.track
            preference = peer.preferences.get(track.id)
            infos.append(
                SubscriptionInfo(track.id, track.publisher_id, preference.layer if preference else None)
            )
        return tuple(infos)

    def subscribe_to_room(self, peer: Peer) -> None:
        """Subscribe a peer with a new connection to all tracks of the room that it wants."""
        for other in self._roster.others(peer.id):
            for track in other.tracks.values():
                self._subscribe_if_wanted(peer, track)

    def subscribe_peers(self, track: Track) -> None:
        """Subscribe all peers that want it to a new track."""
        for other in self._roster.others(track.publisher_id):
            self._subscribe_if_wanted(other, track)

    def renegotiate(self, track: Track, now: float) -> None:
        """Negotiate a track again with its receivers, since its codecs have changed."""
        for other in self._roster.others(track.publisher_id):
            other.connection.downstream.renegotiate(track, now)
            self._roster.mark_dirty(other)

    def end_track(self, track: Track, now: float, departure: Departure) -> None:
        """Stop forwarding a track. Preferences for it stay if its publisher has `MOVED`: it may come back."""
        for other in self._roster.others(track.publisher_id):
            other.connection.downstream.unsubscribe(track, now)
            self._roster.mark_dirty(other)
            if departure is Departure.LEFT and other.preferences.pop(track.id, None) is not None:
                self._roster.mark_changed(other)

    def forget_publisher(self, peer_id: str) -> None:
        """Drop all preferences for tracks of a publisher whose session has ended."""
        for peer in self._roster.peers.values():
            self._drop(peer, [one.track_id for one in peer.preferences.values() if one.peer_id == peer_id])

    def keep_until(self, peer: Peer, deadline: float) -> None:
        """Keep preferences for tracks that are not there until `deadline`; their publishers may come back."""
        if peer.preferences:
            peer.preferences_deadline = max(deadline, peer.preferences_deadline or deadline)
            self._roster.mark_dirty(peer)

    def drop_unused(self, peer: Peer) -> None:
        """Drop preferences for tracks that are not there."""
        peer.preferences_deadline = None
        self._drop(peer, [one for one in peer.preferences if self._roster.find_track(one) is None])

    def _drop(self, peer: Peer, track_ids: list[str]) -> None:
        for track_id in track_ids:
            del peer.preferences[track_id]
        if track_ids:
            self._roster.mark_changed(peer)

    def _wants(self, peer: Peer, track: Track) -> bool:
        preference = peer.preferences.get(track.id)
        return peer.grants.subscribe and (self._automatic if preference is None else preference.wanted)

    def _subscribe_if_wanted(self, peer: Peer, track: Track) -> None:
        # The connection of a restored session is closed until the client resumes it with a new one.
        if self._wants(peer, track) and not peer.connection.closed:
            peer.connection.downstream.subscribe(track)
            self._roster.mark_dirty(peer)
