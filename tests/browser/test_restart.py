"""A server that is killed or told to stop, and the next one: clients keep their sessions."""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path

import pytest
import trio
from browser.chromium import Chromium
from browser.firefox import Firefox
from browser.participant import Participant, Snapshot, Source, enter
from browser.sfu_process import free_tcp_port, open_sfu
from support.redis import RedisServer, needs_redis, redis_server

pytestmark = [pytest.mark.browser, pytest.mark.alone, needs_redis]

TRACKS: tuple[Source, ...] = ("mic", "camera")


@pytest.fixture
async def redis(deadline: None) -> AsyncIterator[RedisServer]:
    """A Redis of its own."""
    with tempfile.TemporaryDirectory(prefix="sfu-redis-") as folder:
        async with redis_server(Path(folder)) as running:
            yield running


@pytest.fixture
def settings(redis: RedisServer) -> Mapping[str, str]:
    """The settings that a server and its restarted successor share."""
    return {
        "SFU_HTTP_ADDR": f"127.0.0.1:{free_tcp_port()}",
        "SFU_REDIS_URL": str(redis.address),
        "SFU_SESSION_TTL_SEC": "60",
    }


WATCHED: Mapping[tuple[str, str], tuple[Source, ...]] = {
    ("Anna", "Ben"): ("camera",),
    ("Anna", "Carla"): ("mic", "camera"),
    ("Ben", "Anna"): ("mic", "camera"),
    ("Ben", "Carla"): ("mic", "camera"),
    ("Carla", "Anna"): ("mic",),
    ("Carla", "Ben"): ("camera",),
}
"""What each (first) receives of each (second) after Ben has muted himself and Carla does not watch Anna."""


def everything(pairs: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], tuple[Source, ...]]:
    """Return that the first of each pair receives microphone and camera of the second."""
    return dict.fromkeys(pairs, TRACKS)


async def meet(people: list[Participant], watched: Mapping[tuple[str, str], tuple[Source, ...]]) -> None:
    """Assert that the `watched` sources flow from now on."""
    named = {person.name: person for person in people}

    async def sees_and_hears(viewer: str, other: str, sources: tuple[Source, ...]) -> None:
        await named[viewer].sees_and_hears(named[other], sources=sources)

    async with trio.open_nursery() as nursery:
        for (viewer, other), sources in watched.items():
            nursery.start_soon(sees_and_hears, viewer, other, sources)


def tracks(snapshot: Snapshot) -> dict[tuple[str, str], str]:
    """Return the ids of all tracks that somebody receives."""
    return {key: track.track_id for key, track in snapshot.received.items()}


async def test_killed_server(
    settings: Mapping[str, str],
    chromium: Chromium,
    firefox: Firefox,
    record_property: Callable[[str, object], None],
) -> None:
    """After `kill -9` and a start all clients resume by themselves, with their session and tracks."""
    async with open_sfu(settings) as first:
        browsers = {"Anna": chromium, "Ben": chromium, "Carla": firefox}
        people = [await enter(first, browser, name) for name, browser in browsers.items()]
        anna, ben, carla = people
        for person in people:
            await person.join("restart")
        await meet(people, everything(WATCHED))
        await ben.set_enabled("mic", False)
        await anna.until(lambda now: not now.peers["Ben"]["micEnabled"], "Anna sees that Ben is mute")
        await carla.unsubscribe("Anna", "camera")
        await carla.until(lambda now: ("Anna", "camera") not in now.received, "Carla does not watch Anna")
        before = [await person.snapshot() for person in people]
        await first.kill()
    async with open_sfu(settings):
        listening = trio.current_time()
        for person in people:
            await person.until(lambda now: now.state == "joined", f"{person.name} is back")
        await meet(people, WATCHED)
        seconds = trio.current_time() - listening
        print(f"all media flows {seconds:.2f} s after the server listens")
        record_property("restart_to_media_s", seconds)
        for person, old in zip(people, before, strict=True):
            new = await person.until(lambda now: now.suspended == [], f"{person.name} sees everybody")
            assert (new.session, new.peers, tracks(new)) == (old.session, old.peers, tracks(old))
            assert new.errors == []
        assert seconds < 5


async def test_drained_server(
    settings: Mapping[str, str], chromium: Chromium, record_property: Callable[[str, object], None]
) -> None:
    """SIGTERM: clients go to the next server, which is there before this one has ended."""
    async with open_sfu({**settings, "SFU_DRAIN_SEC": "10"}) as first:
        people = [await enter(first, chromium, name) for name in ("Anna", "Ben")]
        for person in people:
            await person.join("drain")
        both = everything([("Anna", "Ben"), ("Ben", "Anna")])
        await meet(people, both)
        before = [await person.snapshot() for person in people]
        first.terminate()
        await first.logs("draining")
        started = trio.current_time()
        async with open_sfu(settings):
            for person in people:
                await person.until(lambda now: now.connections == 2, f"{person.name} has moved")
            await meet(people, both)
            seconds = trio.current_time() - started
            print(f"media flows again {seconds:.2f} s after SIGTERM, the next start included")
            record_property("drain_to_media_s", seconds)
            for person, old in zip(people, before, strict=True):
                new = await person.snapshot()
                assert (new.session, new.peers, tracks(new)) == (old.session, old.peers, tracks(old))
                assert (new.suspended, new.errors) == ([], [])
            # Long before the time that it gives its clients: they have all gone.
            with trio.fail_after(5):
                assert await first.stop() == 0
