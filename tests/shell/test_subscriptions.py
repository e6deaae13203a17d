"""Subscriptions through the whole server: requested, acknowledged, forwarded, kept across a break."""

from support.in_memory_server import Client, in_memory_server
from support.media import DELTA_FRAME, KEY_FRAME
from trio.testing import MockClock


async def publish(alice: Client) -> str:
    """Join and publish a video; return its id."""
    await alice.join()
    await alice.publish("video")
    await alice.until(lambda: alice.heard("track-published"))
    await alice.connect()
    track_id: str = alice.heard("track-published")[0]["trackId"]
    return track_id


async def ask(client: Client, request: str, **data: str) -> dict[str, object]:
    """Send a request; return its acknowledgement."""
    before = len(client.heard("subscription-ack"))
    await client.say(request, **data)
    await client.until(lambda: len(client.heard("subscription-ack")) > before)
    answer: dict[str, object] = client.heard("subscription-ack")[-1]
    return answer


async def test_without_auto_subscribe_only_requested_tracks_are_received(autojump_clock: MockClock) -> None:
    async with (
        in_memory_server(auto_subscribe=False, session_ttl_sec=30) as server,
        server.client("alice") as alice,
    ):
        track = await publish(alice)
        (owner,) = server.sfu.conference.rooms["room"].peers
        async with server.client("bob") as bob:
            await bob.join()
            assert bob.heard("room-state")[0]["subscriptions"] == []
            wrong = await ask(bob, "subscribe", trackId=track, peerId="nobody")
            assert (wrong["success"], wrong["trackId"]) == (False, track)
            assert (await ask(bob, "subscribe", trackId=track, peerId=owner, layer="h"))["success"]
            await bob.connect()
            await bob.until(lambda: any(line.track for line in bob.browser.lines))
            camera = alice.browser.transceivers[0]
            alice.send(camera, KEY_FRAME)
            await bob.until(lambda: bob.machine.rtp)
            assert (await ask(bob, "layer-switch", trackId=track, targetRid="m"))["success"]
            assert (await ask(bob, "unsubscribe", trackId=track, peerId=owner))["success"]
            assert not camera.stopped
            alice.send(camera, DELTA_FRAME)
            await bob.until(lambda: not any(line.track for line in bob.browser.lines))
            assert [packet.payload for packet in bob.machine.rtp] == [KEY_FRAME]
        statistics = server.sfu.conference.statistics()
        assert statistics.messages["subscribe", "404"] == 1
        assert statistics.messages["subscribe", "ok"] == 1


async def test_an_unsubscribed_track_stays_so_after_a_reload(autojump_clock: MockClock) -> None:
    async with in_memory_server(session_ttl_sec=30) as server, server.client("alice") as alice:
        track = await publish(alice)
        (owner,) = server.sfu.conference.rooms["room"].peers
        async with server.client("bob") as bob:
            await bob.join()
            (joined,) = bob.heard("join")
            await ask(bob, "unsubscribe", trackId=track, peerId=owner)
            await bob.vanish()
        async with server.client("bob") as bob:
            assert (await bob.resume(joined))["resumed"]
            assert bob.heard("room-state")[0]["subscriptions"] == []
            assert (await ask(bob, "subscribe", trackId=track, peerId=owner))["success"]
            await bob.until(lambda: any(line.track for line in bob.browser.lines))
