"""Values that must be measured over time: rates, loss, and the event loop's lag.

A rate is the difference between two readings of a counter. The readings are taken here at a fixed interval. If
they were taken whenever the metrics are read, two readers of the metrics would disturb each other.
"""

from typing import Final, NamedTuple

import trio

from sfu.conference.conference import Conference
from sfu.conference.peer import Peer
from sfu.histogram import Distribution, Histogram
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS

LAG_BOUNDS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Milliseconds. Epoll measures no shorter time than the first."""

TrackKey = tuple[str, str, str]
"""Peer id, track id, and ``in`` (the peer publishes the track) or ``out`` (it receives the track)."""


class _Reading(NamedTuple):
    """A track's counter at its last reading."""

    source: int
    """SSRC of the counted stream. With another SSRC, counting starts again."""
    octets: int
    time: float
    rate: float | None
    """Bytes per second since the reading before; `None` for the first one."""


class _Loss(NamedTuple):
    """What a peer had reported at the last reading."""

    source: int
    """Our SSRC in the peer's connection. In another connection, counting starts again."""
    expected: int
    lost: int
    ratio: float | None


class RateMeter:
    """Bit rates of tracks and packet loss of peers, over the last interval."""

    def __init__(self, conference: Conference, interval: float = DEFAULT_TIMEOUTS.meter_interval) -> None:
        """Readings are `interval` seconds apart."""
        self._conference = conference
        self._interval = interval
        self._tracks: dict[TrackKey, _Reading] = {}
        self._losses: dict[str, _Loss] = {}

    async def run(self) -> None:
        """Take readings until cancelled."""
        while True:
            await trio.sleep(self._interval)
            await self.read()

    async def read(self) -> None:
        """Read all counters once, and forget tracks and peers that no longer exist.

        There is a checkpoint after each peer, so that packets do not wait for all of them.
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
        """Return the payload bytes per second of a track; `None` before its second reading."""
        reading = self._tracks.get(key)
        return None if reading is None else reading.rate

    def loss(self, peer_id: str) -> float | None:
        """Return the share (0 … 1) of packets that a peer reported lost; `None` if it reported on none."""
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
                # Duplicates make it negative, and a peer can report more lost packets than there were.
                ratio = min(max(lost / expected, 0.0), 1.0)
        return _Loss(transport.local_ssrc, quality.expected, quality.lost, ratio)


class LoopLag:
    """How much later than planned a task runs: the time that packets and timers wait for other work."""

    def __init__(self, interval: float = DEFAULT_TIMEOUTS.lag_interval) -> None:
        """Measurements are `interval` seconds apart."""
        self._interval = interval
        self._histogram = Histogram(LAG_BOUNDS)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = trio.current_time() + self._interval
            await trio.sleep_until(due)
            self._histogram.observe((trio.current_time() - due) * 1000)

    def statistics(self) -> Distribution:
        """Return the lags so far, in milliseconds."""
        return self._histogram.statistics()


def track_keys(peer: Peer) -> list[TrackKey]:
    """Return the keys of the tracks that a peer sends and receives now."""
    return [key for key, _ssrc, _octets in _octets(peer)]


def _octets(peer: Peer) -> list[tuple[TrackKey, int, int]]:
    """Return key, SSRC and payload bytes so far of each track that a peer sends or receives now."""
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
        # There is nothing to compare with. After a pause, a sender may count from 0 with the same SSRC.
        return _Reading(ssrc, octets, now, None)
    return _Reading(ssrc, octets, now, (octets - before.octets) / (now - before.time))
