"""The tracks that the peers of a room publish.

Peers know a track by its id. The track keeps the id as long as possible: when its connection ends (it is then
*dormant* until it is published again), and when it moves to another m-line.
"""

from collections.abc import Callable, Iterable

from sfu.conference.errors import Forbidden
from sfu.conference.limits import Limits
from sfu.conference.messages import Source
from sfu.conference.peer import Peer
from sfu.conference.records import TrackRecord
from sfu.conference.roster import Roster
from sfu.conference.session import Departure
from sfu.conference.subscriptions import Subscriptions
from sfu.conference.track import Track
from sfu.sdp import Receiver, SessionDescription
from sfu.sdp.grammar import sends
from sfu.sdp.mline import MediaKind

RECLAIM_TIMEOUT = 10.0
"""Seconds that a resumed session has to publish its tracks again."""

DEFAULT_SOURCE: dict[str, Source] = {"audio": "mic", "video": "camera"}


class Publications:
    """The tracks of one room."""

    def __init__(
        self,
        roster: Roster,
        subscriptions: Subscriptions,
        limits: Limits,
        random: Callable[[int], bytes],
    ) -> None:
        self._roster = roster
        self._subscriptions = subscriptions
        self._limits = limits
        self._random = random

    # --- negotiation ---

    def check(self, peer: Peer, offer: SessionDescription, sources: dict[str, Source]) -> None:
        """Check that `peer` may publish what it offers. `sources` are the sources named in the offer, by mid.

        Raises:
            Forbidden: there are too many tracks, or one that was not granted.
        """
        published = [
            media
            for media in offer.media
            if media.kind in DEFAULT_SOURCE and not media.stopped and sends(media.direction)
        ]
        if len(published) > self._limits.max_tracks_per_peer:
            raise Forbidden(
                f"a peer may publish {self._limits.max_tracks_per_peer} tracks, not {len(published)}"
            )
        for media in published:
            kind: MediaKind = "audio" if media.kind == "audio" else "video"
            known = peer.track_on(media.mid)
            # As the offer says; or as an earlier offer said; or the usual one.
            source = sources.get(media.mid or "") or (known.source if known else DEFAULT_SOURCE[kind])
            if not peer.grants.may_publish(kind, source):
                raise Forbidden(f"you may not publish {'a screen' if source == 'screen' else kind}")

    def update_from_offer(self, peer: Peer, sources: dict[str, Source], now: float) -> None:
        """Make `peer.tracks` what the client's offer publishes."""
        self._update(peer, sources, now, leave_dormant=False)

    def update_from_answer(self, peer: Peer, now: float) -> None:
        """Make `peer.tracks` what the client's answer publishes.

        Shortly after a resume a track that the answer does not publish stays, as dormant: the client may have
        rolled back an offer whose answer was lost, and its next offer publishes the same sources on other
        m-lines.
        """
        self._update(peer, {}, now, leave_dormant=peer.reclaim_deadline is not None)

    def _update(self, peer: Peer, sources: dict[str, Source], now: float, *, leave_dormant: bool) -> None:
        receivers = {receiver.mid: receiver for receiver in peer.connection.sdp.receivers if receiver.active}
        missing: list[Track] = []
        for track in peer.tracks.values():
            receiver = receivers.get(track.mid or "")
            if receiver is not None and _carries(receiver, track, sources):
                del receivers[receiver.mid]
                self._add_codecs(track, receiver, now)
            else:
                missing.append(track)
        for mid, receiver in receivers.items():
            source = sources.get(mid, DEFAULT_SOURCE[receiver.kind])
            same = (track for track in missing if (track.kind, track.source) == (receiver.kind, source))
            known = next(same, None)
            if known is None:
                self._publish(peer, receiver, source, now)
            else:
                missing.remove(known)
                self._republish(peer, known, receiver, now)
        for track in missing:
            if track.mid is None:
                continue  # dormant already; it ends at the deadline
            if leave_dormant:
                track.make_dormant(now)
            else:
                self._unpublish(peer, track, now)

    # --- begin and end of tracks ---

    def restore(self, peer: Peer, records: Iterable[TrackRecord]) -> None:
        """Give a restored session its tracks, as dormant ones."""
        for record in records:
            track = Track(record.track_id, peer.id, record.kind, record.source)
            peer.tracks[track.id] = track
            self._announce(track)

    def make_dormant(self, peer: Peer, now: float) -> None:
        """Make all tracks of `peer` dormant: its connection has ended, and the next may publish them again."""
        for track in peer.tracks.values():
            track.make_dormant(now)

    def start_reclaim_timer(self, peer: Peer, now: float) -> None:
        """Give the client of `peer` `RECLAIM_TIMEOUT` to publish its dormant tracks again.

        It begins when the session is resumed, or when the connection of a connected client ends. While the
        client is disconnected, the deadline of the session counts instead.
        """
        if peer.tracks:
            peer.reclaim_deadline = now + RECLAIM_TIMEOUT

    def end_dormant(self, peer: Peer, now: float) -> None:
        """End the tracks that were not published again in time."""
        peer.reclaim_deadline = None
        for track in tuple(peer.tracks.values()):
            if track.mid is None:
                self._unpublish(peer, track, now)

    def end(self, peer: Peer, now: float, departure: Departure) -> None:
        """End all tracks of `peer`, which is no longer in the room."""
        for track in tuple(peer.tracks.values()):
            self._unpublish(peer, track, now, departure)

    def _publish(self, peer: Peer, receiver: Receiver, source: Source, now: float) -> None:
        track = Track(self._random(8).hex(), peer.id, receiver.kind, source)
        peer.tracks[track.id] = track
        self._roster.mark_changed(peer)
        self._negotiated(peer, track, receiver, now)
        self._announce(track)

    def _add_codecs(self, track: Track, receiver: Receiver, now: float) -> None:
        """Renegotiate a track with its receivers if the publisher has added codecs.

        Codecs that were dropped do no harm. Besides, Firefox answers our offers with one codec of many.
        """
        known = {codec.identity for codec in track.codecs}
        if any(codec.identity not in known for codec in receiver.codecs):
            track.negotiated(receiver.mid, receiver.codecs)
            self._subscriptions.renegotiate(track, now)

    def _republish(self, peer: Peer, track: Track, receiver: Receiver, now: float) -> None:
        """Publish a known track on another m-line. With the same codecs, its receivers keep their m-lines."""
        track.make_dormant(now)  # its old m-line may carry another track by now
        same = {codec.identity for codec in track.codecs} == {codec.identity for codec in receiver.codecs}
        self._negotiated(peer, track, receiver, now)
        if not same:
            self._subscriptions.renegotiate(track, now)

    def _negotiated(self, peer: Peer, track: Track, receiver: Receiver, now: float) -> None:
        track.negotiated(receiver.mid, receiver.codecs)
        for stream in peer.connection.transport.streams:
            if (stream.mid, stream.kind) == (track.mid, track.kind):
                track.start(stream, now)  # the stream ran before, as another source or on another m-line
        peer.tell(track.published(to_publisher=True))

    def _announce(self, track: Track) -> None:
        self._roster.tell(self._roster.others(track.publisher_id), track.published())
        self._subscriptions.subscribe_peers(track)

    def _unpublish(self, peer: Peer, track: Track, now: float, departure: Departure = Departure.LEFT) -> None:
        del peer.tracks[track.id]
        self._roster.mark_changed(peer)
        peer.tell(track.unpublished(to_publisher=True))
        self._subscriptions.end_track(track, now, departure)
        self._roster.tell(self._roster.others(peer.id), track.unpublished())


def _carries(receiver: Receiver, track: Track, sources: dict[str, Source]) -> bool:
    """Return whether the m-line of a track still carries that track.

    A client that has rolled back its offer may use the mid again for something else.
    """
    return receiver.kind == track.kind and sources.get(receiver.mid, track.source) == track.source
