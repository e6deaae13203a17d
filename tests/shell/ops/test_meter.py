"""Rates, loss and event loop lag, on a clock that jumps."""

import pytest
import trio
import trio.testing
from support.in_memory_server import Client, InMemoryServer, in_memory_server
from support.media import DELTA_FRAME, KEY_FRAME
from trio.testing import MockClock

from sfu.rtp.rtcp import ReceiverReport, ReportBlock
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS
from sfu.shell.ops.meter import LoopLag, RateMeter, track_keys
from sfu.transport.receive_stream import ReceiveStream


def peer_id(server: InMemoryServer, user: str) -> str:
    """Return the id of the user's peer."""
    return next(
        peer.id
        for room in server.sfu.conference.rooms.values()
        for peer in room.peers.values()
        if peer.user_id == user
    )


async def call(alice: Client, bob: Client) -> None:
    """Let alice send a video to bob."""
    for client in (alice, bob):
        await client.join()
    await alice.publish("video")
    await alice.connect()
    await bob.connect()
    alice.send(alice.browser.transceivers[0], KEY_FRAME)
    await bob.until(lambda: bob.machine.rtp)


async def report(server: InMemoryServer, client: Client, highest: int, lost: int) -> None:
    """Let `client` send a receiver report."""
    ssrc = client.machine.rtp[0].ssrc
    client.machine.send_rtcp([ReceiverReport(1, (ReportBlock(ssrc, 0, lost, highest, 0, 0, 0),))])
    client.flush()
    await trio.sleep(0.1)


async def test_rates_of_tracks(autojump_clock: MockClock) -> None:
    async with in_memory_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        await call(alice, bob)
        meter = RateMeter(server.sfu.conference)
        (track,) = alice.heard("track-published")
        sent = (peer_id(server, "alice"), track["trackId"], "in")
        received = (peer_id(server, "bob"), track["trackId"], "out")
        await meter.read()
        assert meter.byte_rate(sent) is meter.byte_rate(received) is None
        for _ in range(10):
            alice.send(alice.browser.transceivers[0], DELTA_FRAME)
            await trio.sleep(0.5)
        await meter.read()
        assert meter.byte_rate(sent) == pytest.approx(10 * len(DELTA_FRAME) / 5, rel=0.01)
        assert meter.byte_rate(received) == pytest.approx(10 * len(DELTA_FRAME) / 5, rel=0.01)
        await trio.sleep(DEFAULT_TIMEOUTS.meter_interval)
        await meter.read()
        assert meter.byte_rate(sent) == meter.byte_rate(received) == 0
        await alice.say("leave")
        await bob.until(lambda: bob.heard("peer-left"))
        await meter.read()
        assert meter.byte_rate(sent) is meter.byte_rate(received) is None
        assert meter._tracks == {}


async def test_a_stream_that_counts_from_0_again_has_no_rate_yet(autojump_clock: MockClock) -> None:
    """A publisher that pauses may go on with the same SSRC. Rates are never negative."""
    async with in_memory_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        await call(alice, bob)
        meter = RateMeter(server.sfu.conference)
        alices = server.sfu.conference.rooms["room"].peers[peer_id(server, "alice")]
        (track,) = alices.tracks.values()
        key = (alices.id, track.id, "in")
        for rate in (None, 0.0):
            await meter.read()
            assert meter.byte_rate(key) == rate
            await trio.sleep(DEFAULT_TIMEOUTS.meter_interval)
        assert track.stream is not None
        track.start(
            ReceiveStream(
                ssrc=track.stream.ssrc, kind="video", codecs=track.codecs, extensions={}, local_ssrc=1
            ),
            trio.current_time(),
        )
        for rate in (None, 0.0):
            await meter.read()
            assert meter.byte_rate(key) == rate
            await trio.sleep(DEFAULT_TIMEOUTS.meter_interval)


async def test_loss_of_a_peer(autojump_clock: MockClock) -> None:
    async with in_memory_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        await call(alice, bob)
        meter = RateMeter(server.sfu.conference)
        bobs = peer_id(server, "bob")
        await report(server, bob, 1000, 0)
        await meter.read()
        assert meter.loss(bobs) is None
        for highest, lost, ratio in [(1100, 5, 0.05), (1100, 5, None), (1200, 4, 0.0), (1210, 400, 1.0)]:
            await report(server, bob, highest, lost)
            await meter.read()
            assert meter.loss(bobs) == ratio
        await bob.say("leave")
        await alice.until(lambda: alice.heard("peer-left"))
        await meter.read()
        assert meter.loss(bobs) is None


async def test_readings_are_taken_at_an_interval(autojump_clock: MockClock) -> None:
    async with in_memory_server() as server, server.client("alice") as alice, server.client("bob") as bob:
        await call(alice, bob)
        meter = RateMeter(server.sfu.conference)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(meter.run)
            await trio.sleep(2 * DEFAULT_TIMEOUTS.meter_interval + 1)
            nursery.cancel_scope.cancel("the test is over")
        peers = next(iter(server.sfu.conference.rooms.values())).peers.values()
        keys = [key for peer in peers for key in track_keys(peer)]
        assert len(keys) == 2
        assert all(meter.byte_rate(key) == 0 for key in keys)


async def test_lag_is_the_time_of_other_work(mock_clock: MockClock) -> None:
    lag = LoopLag()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lag.run)
        for late in (0.0, 0.030, 0.2):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(0.1 + late)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel("the test is over")
    statistics = lag.statistics()
    assert sum(statistics.counts) == 3
    assert statistics.total == pytest.approx(230.0)
