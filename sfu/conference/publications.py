"""What the peers of a room publish: from what they negotiate to send to tracks with ids.

A track is known to others by its id, and the id holds as long as can be: over the end of a connection, when the
track is *dormant* until it is published again, and over a change of m-line.
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
"""Seconds that a session which has come back may take to publish its tracks again."""

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

    # --- what is offered and agreed ---

    def check(self, peer: Peer, offer: SessionDescription, sources: dict[str, Source]) -> None:
        """Refuse an offer that publishes more than `peer` may; `sources` are those it names, by mid.

        Raises:
            Forbidden: it is too much, or not granted.
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
            # As it says now, as it said before, or as most do.
            source = sources.get(media.mid or "") or (known.source if known else DEFAULT_SOURCE[kind])
            if not peer.grants.may_publish(kind, source):
                raise Forbidden(f"you may not publish {'a screen' if source == 'screen' else kind}")

    def follow_offer(self, peer: Peer, sources: dict[str, Source], now: float) -> None:
        """The client has described anew what it publishes: let `peer.tracks` be that."""
        self._follow(peer, sources, now, leave_dormant=False)

    def follow_answer(self, peer: Peer, now: float) -> None:
        """The client has answered what we believe that it publishes.

        Shortly after a resume, what it sends no longer may have been given up together with an offer of its
        own, whose answer got lost; its next offer then brings the same sources on other m-lines.
        """
        self._follow(peer, {}, now, leave_dormant=peer.reclaim_deadline is not None)

    def _follow(self, peer: Peer, sources: dict[str, Source], now: float, *, leave_dormant: bool) -> None:
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
                self._bring_back(peer, known, receiver, now)
        for track in missing:
            if track.mid is None:
                continue  # dormant already, until the deadline
            if leave_dormant:
                track.sleep(now)
            else:
                self._unpublish(peer, track, now)

    # --- tracks come and go ---

    def restore(self, peer: Peer, records: Iterable[TrackRecord]) -> None:
        """Let a session of an earlier life have its tracks, dormant."""
        for record in records:
            track = Track(record.track_id, peer.id, record.kind, record.source)
            peer.tracks[track.id] = track
            self._announce(track)

    def sleep(self, peer: Peer, now: float) -> None:
        """The connection of `peer` is gone, and its tracks may come back on the next."""
        for track in peer.tracks.values():
            track.sleep(now)

    def expect(self, peer: Peer, now: float) -> None:
        """The client of `peer` may publish its tracks again from now on, and has to soon.

        It is back, or its connection has ended; while it is away, it has the time of its session.
        """
        if peer.tracks:
            peer.reclaim_deadline = now + RECLAIM_TIMEOUT

    def give_up(self, peer: Peer, now: float) -> None:
        """End the tracks that were not published again."""
        peer.reclaim_deadline = None
        for track in tuple(peer.tracks.values()):
            if track.mid is None:
                self._unpublish(peer, track, now)

    def end(self, peer: Peer, now: float, departure: Departure) -> None:
        """End all tracks of `peer`, which has left its room."""
        for track in tuple(peer.tracks.values()):
            self._unpublish(peer, track, now, departure)

    def _publish(self, peer: Peer, receiver: Receiver, source: Source, now: float) -> None:
        track = Track(self._random(8).hex(), peer.id, receiver.kind, source)
        peer.tracks[track.id] = track
        self._roster.note_change(peer)
        self._carry(peer, track, receiver, now)
        self._announce(track)

    def _add_codecs(self, track: Track, receiver: Receiver, now: float) -> None:
        """A track goes on where it is: let others agree to the codecs that may come now and could not before.

        Those that may come no longer do no harm; besides, Firefox answers our offers with one codec of many.
        """
        known = {codec.identity for codec in track.codecs}
        if any(codec.identity not in known for codec in receiver.codecs):
            track.carry(receiver.mid, receiver.codecs)
            self._subscriptions.renew(track, now)

    def _bring_back(self, peer: Peer, track: Track, receiver: Receiver, now: float) -> None:
        """A known track is published again: others go on receiving it, in the same slots where that fits."""
        track.sleep(now)  # the stream of its old m-line may be another track's by now
        same = {codec.identity for codec in track.codecs} == {codec.identity for codec in receiver.codecs}
        self._carry(peer, track, receiver, now)
        if not same:
            self._subscriptions.renew(track, now)

    def _carry(self, peer: Peer, track: Track, receiver: Receiver, now: float) -> None:
        track.carry(receiver.mid, receiver.codecs)
        for stream in peer.connection.transport.streams:
            if (stream.mid, stream.kind) == (track.mid, track.kind):
                track.start(stream, now)  # it ran already, as another source or on another m-line
        peer.tell(track.published(to_publisher=True))

    def _announce(self, track: Track) -> None:
        self._roster.tell(self._roster.others(track.publisher_id), track.published())
        self._subscriptions.begin(track)

    def _unpublish(self, peer: Peer, track: Track, now: float, departure: Departure = Departure.LEFT) -> None:
        del peer.tracks[track.id]
        self._roster.note_change(peer)
        peer.tell(track.unpublished(to_publisher=True))
        self._subscriptions.end(track, now, departure)
        self._roster.tell(self._roster.others(peer.id), track.unpublished())


def _carries(receiver: Receiver, track: Track, sources: dict[str, Source]) -> bool:
    """Whether what comes on the m-line of a track is that track still.

    A client that took its offer back may use the mid once more, for something else.
    """
    return receiver.kind == track.kind and sources.get(receiver.mid, track.source) == track.source
