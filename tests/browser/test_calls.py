"""Calls of real browsers through a real server: participants see and hear each other."""

import pytest
import trio
from browser.chromium import Chromium
from browser.firefox import Firefox
from browser.page import Browser
from browser.participant import AUDIBLE, Participant, Snapshot, enter
from browser.sfu_process import SfuProcess

pytestmark = pytest.mark.browser

TRIES = 4
"""Periods of three seconds, one of which must be without a freeze or loss."""


async def call(server: SfuProcess, room: str, *people: tuple[Browser, str]) -> list[Participant]:
    """Make participants join a room one after the other, all with microphone and camera."""
    await trio.lowlevel.checkpoint()
    participants = [await enter(server, browser, name) for browser, name in people]
    for participant in participants:
        await participant.join(room)
    return participants


async def everybody_sees_everybody(*participants: Participant) -> None:
    """Assert that media flows from each to each other, from now on."""
    async with trio.open_nursery() as nursery:
        for receiver in participants:
            for publisher in participants:
                if publisher is not receiver:
                    nursery.start_soon(receiver.sees_and_hears, publisher)


async def nobody_complains(*participants: Participant) -> None:
    """Assert that neither the client library nor the console has reported an error."""
    await trio.lowlevel.checkpoint()
    for participant in participants:
        assert (await participant.snapshot()).errors == []
        assert participant.page.errors() == []


async def is_smooth(receiver: Participant, publisher: Participant) -> None:
    """Assert three seconds of video without a freeze or a loss, and what a browser needs for lip sync.

    On a machine that is busy with other things a browser may freeze by itself, so there are a few tries; what
    is wrong with the forwarding shows in each of them.
    """
    mic, camera = (publisher.name, "mic"), (publisher.name, "camera")
    for _ in range(TRIES):
        before = (await receiver.snapshot()).received

        def later(now: Snapshot, frames: int = before[camera].frames + 90) -> bool:
            reports = now.received[mic].report_ntp > 0 and now.received[camera].report_ntp > 0
            return reports and now.received[camera].frames >= frames

        now = await receiver.until(later, "three seconds of video, and a sender report for both tracks")
        after = now.received
        flaws = [
            (new.freezes - old.freezes, new.lost - old.lost)
            for new, old in ((after[mic], before[mic]), (after[camera], before[camera]))
        ]
        if flaws == [(0, 0), (0, 0)]:
            break
    else:
        pytest.fail(f"freezes and losses of microphone and camera in the last try: {flaws}")
    assert now.connection == "connected"
    assert after[mic].codec == "audio/opus"
    assert after[camera].width / after[camera].height == pytest.approx(16 / 9, rel=0.02)


async def both_ways_are_smooth(one: Participant, other: Participant) -> None:
    """Assert `is_smooth` for both at the same time."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(is_smooth, one, other)
        nursery.start_soon(is_smooth, other, one)


async def test_two_in_chromium(server: SfuProcess, chromium: Chromium) -> None:
    anna, ben = await call(server, "two", (chromium, "Anna"), (chromium, "Ben"))
    await everybody_sees_everybody(anna, ben)
    await both_ways_are_smooth(anna, ben)
    await nobody_complains(anna, ben)


async def test_chromium_and_firefox(server: SfuProcess, chromium: Chromium, firefox: Firefox) -> None:
    """Different browsers, whichever comes first."""
    anna, ben = await call(server, "chromium first", (chromium, "Anna"), (firefox, "Ben"))
    await everybody_sees_everybody(anna, ben)
    await both_ways_are_smooth(anna, ben)
    await nobody_complains(anna, ben)
    await anna.leave()
    await ben.leave()
    carl, dora = await call(server, "firefox first", (firefox, "Carl"), (chromium, "Dora"))
    await everybody_sees_everybody(carl, dora)
    await nobody_complains(carl, dora)


async def test_three(server: SfuProcess, chromium: Chromium, firefox: Firefox) -> None:
    people = await call(server, "three", (chromium, "Anna"), (chromium, "Ben"), (firefox, "Carl"))
    await everybody_sees_everybody(*people)
    await nobody_complains(*people)


async def test_late_comer_gets_a_picture_at_once(server: SfuProcess, chromium: Chromium) -> None:
    """A participant who joins a running call decodes video without waiting for a periodic key frame."""
    anna, ben = await call(server, "late", (chromium, "Anna"), (chromium, "Ben"))
    await everybody_sees_everybody(anna, ben)
    before = (await ben.snapshot()).received["Anna", "camera"].frames
    await ben.until(lambda now: now.received["Anna", "camera"].frames > before + 60, "the call goes on")
    (carl,) = await call(server, "late", (chromium, "Carl"))
    await everybody_sees_everybody(anna, ben, carl)
    assert (await carl.snapshot()).first_frame_ms is not None
    await nobody_complains(anna, ben, carl)


async def test_leave_and_come_back(server: SfuProcess, chromium: Chromium) -> None:
    anna, ben = await call(server, "back", (chromium, "Anna"), (chromium, "Ben"))
    await everybody_sees_everybody(anna, ben)
    for _ in range(2):
        await ben.leave()
        await anna.until(lambda now: now.peers == {} and now.received == {}, "Ben is gone")
        await ben.join("back")
        await everybody_sees_everybody(anna, ben)
    await nobody_complains(anna, ben)


async def test_publisher_reloads(server: SfuProcess, chromium: Chromium) -> None:
    """A page is reloaded in a call and joins as the same user: the user is not in the room twice."""
    anna, ben = await call(server, "reload", (chromium, "Anna"), (chromium, "Ben"))
    await everybody_sees_everybody(anna, ben)
    await ben.reload()
    await ben.join("reload")
    await everybody_sees_everybody(anna, ben)
    await anna.until(lambda now: len(now.received) == 2, "Ben is there once")
    await nobody_complains(anna, ben)


async def test_fifty_joins_and_leaves(server: SfuProcess, chromium: Chromium) -> None:
    """Slots are re-used: the others' session descriptions do not grow, and media flows at the end as before."""
    anna, ben = await call(server, "fifty", (chromium, "Anna"), (chromium, "Ben"))
    await everybody_sees_everybody(anna, ben)
    m_lines = (await anna.snapshot()).m_lines
    for visit in range(50):
        await ben.leave()
        await anna.until(lambda now: now.peers == {}, f"Ben is gone after visit {visit}")
        await ben.join("fifty")
        await anna.until(lambda now: len(now.received) == 2, f"Ben is back for visit {visit}")
    await everybody_sees_everybody(anna, ben)
    # A track that arrives before the last visit's slot is free takes a new slot: a few more, never fifty.
    assert (await anna.snapshot()).m_lines <= m_lines + 4
    await nobody_complains(anna, ben)


async def test_mute_and_unmute(server: SfuProcess, chromium: Chromium) -> None:
    anna, ben = await call(server, "mute", (chromium, "Anna"), (chromium, "Ben"))
    await everybody_sees_everybody(anna, ben)

    await ben.set_enabled("mic", False)
    await ben.set_enabled("camera", False)
    await anna.until(
        lambda now: now.peers["Ben"] == {"micEnabled": False, "cameraEnabled": False, "screenEnabled": False},
        "Ben is shown as muted",
    )
    # What is off costs nothing: after what was still on its way, no frame arrives, and the sound is silence.
    await trio.sleep(1)
    before = (await anna.snapshot()).received
    await trio.sleep(1)
    after = (await anna.snapshot()).received
    assert after["Ben", "camera"].frames == before["Ben", "camera"].frames
    assert after["Ben", "mic"].audio_energy < before["Ben", "mic"].audio_energy + AUDIBLE

    await ben.set_enabled("mic", True)
    await ben.set_enabled("camera", True)
    await anna.until(
        lambda now: now.peers["Ben"] == {"micEnabled": True, "cameraEnabled": True, "screenEnabled": False},
        "Ben is shown as unmuted",
    )
    await everybody_sees_everybody(anna, ben)
    await nobody_complains(anna, ben)


async def test_screen_as_third_track(server: SfuProcess, chromium: Chromium) -> None:
    """Adding and removing a track in a call does not disturb the other tracks."""
    anna, ben = await call(server, "screen", (chromium, "Anna"), (chromium, "Ben"))
    await everybody_sees_everybody(anna, ben)
    for _ in range(2):
        await ben.publish("screen")
        now = await anna.sees_and_hears(ben, sources=("mic", "camera", "screen"))
        assert now.received["Ben", "screen"].track_id != now.received["Ben", "camera"].track_id
        await ben.unpublish("screen")
        await anna.until(lambda now: ("Ben", "screen") not in now.received, "Ben's screen is gone")
        await everybody_sees_everybody(anna, ben)
    await nobody_complains(anna, ben)


async def test_only_receiving(server: SfuProcess, chromium: Chromium) -> None:
    """A participant who publishes nothing sees and hears the others."""
    (anna,) = await call(server, "audience", (chromium, "Anna"))
    ben = await enter(server, chromium, "Ben")
    await ben.join("audience", publish=())
    await ben.sees_and_hears(anna)
    await nobody_complains(anna, ben)


async def test_codecs(server: SfuProcess, chromium: Chromium) -> None:
    """Each codec that Chromium sends (VP8 is in every other test) arrives as that codec and decodes."""
    for codec in ("vp9", "h264", "av1"):
        anna, ben = await enter(server, chromium, "Anna"), await enter(server, chromium, "Ben")
        await anna.join(codec, codec=codec)
        await ben.join(codec, publish=())
        now = await ben.sees_and_hears(anna)
        assert now.received["Anna", "camera"].codec.lower() == f"video/{codec}"
        await nobody_complains(anna, ben)
        await anna.page.close()
        await ben.page.close()


async def test_both_sides_offer_at_once(server: SfuProcess, chromium: Chromium) -> None:
    """Glare: each publishes while the server offers the other's track to it. Everything arrives in the end."""
    people = await call(server, "glare", *((chromium, name) for name in ("Anna", "Ben", "Carl")))
    for _ in range(3):
        async with trio.open_nursery() as nursery:
            for person in people:
                nursery.start_soon(person.publish, "screen")
        for person in people:
            await person.until(
                lambda now: len(now.received) == 6 and all(track.packets for track in now.received.values()),
                "microphone, camera and screen of two others",
            )
        async with trio.open_nursery() as nursery:
            for person in people:
                nursery.start_soon(person.unpublish, "screen")
        for person in people:
            await person.until(lambda now: len(now.received) == 4, "no screens any more")
    await everybody_sees_everybody(*people)
    await nobody_complains(*people)


async def test_the_server_stops_during_a_call(server: SfuProcess, chromium: Chromium) -> None:
    """SIGTERM in a call: clients are told and try to reconnect; the server exits soon, with code 0."""
    anna, ben = await call(server, "stop", (chromium, "Anna"), (chromium, "Ben"))
    await everybody_sees_everybody(anna, ben)
    with trio.fail_after(3):
        assert await server.stop() == 0
    for person in (anna, ben):
        await person.until(lambda now: now.state == "reconnecting", "the loss of the server is noticed")
