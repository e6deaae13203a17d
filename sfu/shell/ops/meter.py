"""What has to be measured over time, because no count says it: rates, and how late the event loop is.

A rate is the difference between two readings of a counter. Were they taken whenever somebody reads the
metrics, two readers would disturb each other, so they are taken here at a fixed interval.
"""

from typing import Final, NamedTuple

import trio

from sfu.conference.conference import Conference
from sfu.conference.peer import Peer
from sfu.histogram import Distribution, Histogram

INTERVAL: Final = 5.0
"""Seconds between two readings of all counters: several reports of a peer fall into it."""

LAG_INTERVAL: Final = 0.1
"""Seconds between two looks at how late the loop is."""

LAG_BOUNDS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Milliseconds. The first is as exact as epoll is."""

TrackKey = tuple[str, str, str]
"""Peer id, track id, and ``in`` (the peer publishes) or ``out`` (it receives)."""


class _Reading(NamedTuple):
    """A counter when it was last read."""

    source: int
    """SSRC of what is counted: another one begins anew."""
    octets: int
    time: float
    rate: float | None
    """Per second since the reading before; `None` for a first one."""


class _Loss(NamedTuple):
    """What a peer had reported when it was last looked at."""

    source: int
    """Our SSRC in its connection: another connection begins anew."""
    expected: int
    lost: int
    ratio: float | None


class Meter:
    """Bit rates of tracks and loss of peers over the last interval."""

    def __init__(self, conference: Conference) -> None:
        self._conference = conference
        self._tracks: dict[TrackKey, _Reading] = {}
        self._losses: dict[str, _Loss] = {}

    async def run(self) -> None:
        """Take readings until cancelled."""
        while True:
            await trio.sleep(INTERVAL)
            await self.read()

    async def read(self) -> None:
        """Read all counters once; what is no longer there is forgotten.

        A checkpoint after each peer keeps packets from waiting for all of them.
        """
        tracks: dict[TrackKey, _Reading] = {}
        losses: dict[str, _Loss] = {}
        for room in tuple(self._conference.rooms.values()):
            for peer in tuple(room.peers.values()):
                now = trio.current_time()
                for key, ssrc, octets in _octets(peer):
                    tracks[key] = _next(self._tracks.get(key), ssrc, octets, now)
                losses[peer.id] = self._next_loss(peer)
                await trio.lowlevel.checkpoint()
        self._tracks, self._losses = tracks, losses

    def byte_rate(self, key: TrackKey) -> float | None:
        """Payload bytes per second of a track; `None` until it has been there for an interval."""
        reading = self._tracks.get(key)
        return None if reading is None else reading.rate

    def loss(self, peer_id: str) -> float | None:
        """What share (0 … 1) of its packets a peer has reported lost; `None` if it reported on none."""
        loss = self._losses.get(peer_id)
        return None if loss is None else loss.ratio

    def _next_loss(self, peer: Peer) -> _Loss:
        transport = peer.connection.transport
        quality = transport.quality
        before = self._losses.get(peer.id)
        ratio = None
        if before is not None and before.source == transport.local_ssrc:
            expected, lost = quality.expected - before.expected, quality.lost - before.lost
            if expected:
                # Duplicates make it negative; a peer can claim to have lost more than there was.
                ratio = min(max(lost / expected, 0.0), 1.0)
        return _Loss(transport.local_ssrc, quality.expected, quality.lost, ratio)


class LoopLag:
    """How late a task runs that should run now: what a packet or a timer waits for others' work."""

    def __init__(self) -> None:
        self._histogram = Histogram(LAG_BOUNDS)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = trio.current_time() + LAG_INTERVAL
            await trio.sleep_until(due)
            self._histogram.observe((trio.current_time() - due) * 1000)

    def statistics(self) -> Distribution:
        """Return the lags in milliseconds so far."""
        return self._histogram.statistics()


def track_keys(peer: Peer) -> list[TrackKey]:
    """Return what a peer sends and receives now."""
    return [key for key, _ssrc, _octets in _octets(peer)]


def _octets(peer: Peer) -> list[tuple[TrackKey, int, int]]:
    """Key, SSRC and payload bytes so far of each track that a peer sends or receives now."""
    counts = [
        ((peer.id, track.id, "in"), track.stream.ssrc, track.stream.statistics().octets)
        for track in peer.tracks.values()
        if track.stream is not None
    ]
    counts += [
        ((peer.id, subscription.track.id, "out"), subscription.stream.ssrc, subscription.stream.octets)
        for subscription in peer.connection.subscriptions
        if subscription.stream is not None
    ]
    return counts


def _next(before: _Reading | None, ssrc: int, octets: int, now: float) -> _Reading:
    if before is None or before.source != ssrc or octets < before.octets or now <= before.time:
        # Nothing to compare with; a sender that goes on after a pause may count from 0 with the same SSRC.
        return _Reading(ssrc, octets, now, None)
    return _Reading(ssrc, octets, now, (octets - before.octets) / (now - before.time))
