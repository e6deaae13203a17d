"""What breaks between a browser and the server, and how a call survives it (docs/sessions.md)."""

from collections.abc import AsyncIterator, Callable

import pytest
import trio
from browser.chromium import Chromium
from browser.firefox import Firefox
from browser.page import Browser
from browser.participant import Participant, Snapshot, enter
from browser.relay import LossyRelay, host_address, open_relay
from browser.sfu_process import SfuProcess, free_udp_port, open_sfu
from browser.tcp_relay import TcpRelay, open_tcp_relay

pytestmark = pytest.mark.browser

TRACKS = ("mic", "camera")


@pytest.fixture
async def signaling(server: SfuProcess) -> AsyncIterator[tuple[TcpRelay, str]]:
    """A way to the server's TCP port that can be cut, and its URL."""
    async with open_tcp_relay(server.url) as opened:
        yield opened


@pytest.fixture
async def media(deadline: None) -> AsyncIterator[tuple[SfuProcess, LossyRelay]]:
    """A server with a relay before its UDP port; all else reaches it directly."""
    host = host_address()
    if host is None:
        pytest.skip("this host has no address beside loopback")
    port = free_udp_port()
    settings = {"SFU_UDP_ADDR": f"127.0.0.1:{port}", "SFU_ANNOUNCED_IPS": host}
    async with open_sfu(settings) as server, open_relay(host, port, ("127.0.0.1", port), seed=2) as relay:
        yield server, relay


async def meet(anna: Participant, ben: Participant) -> None:
    """Assert that media flows both ways from now on."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(anna.sees_and_hears, ben)
        nursery.start_soon(ben.sees_and_hears, anna)


async def quiet(participant: Participant) -> Snapshot:
    """Return a snapshot from after the last negotiation: joining takes an offer or two of each side."""
    before = await participant.snapshot()
    while True:
        await trio.sleep(0.5)
        now = await participant.snapshot()
        if now.negotiations == before.negotiations:
            return now
        before = now


def frames(snapshot: Snapshot, name: str) -> int:
    """Return how many frames of somebody's camera have been decoded."""
    return snapshot.received[name, "camera"].frames


async def _survives_a_cut(server: SfuProcess, relay: TcpRelay, url: str, browser: Browser) -> None:
    """Cut the signaling of one of two for some seconds: media flows on, and nothing is negotiated."""
    anna, ben = await enter(server, browser, "Anna", url=url), await enter(server, browser, "Ben")
    await anna.join("cut")
    await ben.join("cut")
    await meet(anna, ben)
    anna_before, ben_before = await quiet(anna), await quiet(ben)

    relay.cut()
    await anna.until(lambda now: now.state == "reconnecting", "Anna notices")
    await ben.until(lambda now: now.suspended == ["Anna"], "Ben is told")
    await trio.sleep(3)
    anna_now, ben_now = await anna.snapshot(), await ben.snapshot()
    # Thirty frames a second, so two seconds' worth even where the machine is busy.
    assert frames(anna_now, "Ben") > frames(anna_before, "Ben") + 60
    assert frames(ben_now, "Anna") > frames(ben_before, "Anna") + 60

    relay.restore()
    anna_after = await anna.until(lambda now: now.state == "joined", "Anna is back")
    ben_after = await ben.until(lambda now: now.suspended == [], "Ben is told that she is back")
    await meet(anna, ben)
    for before, after, name in ((anna_before, anna_after, "Ben"), (ben_before, ben_after, "Anna")):
        assert after.session == before.session
        assert (after.connections, after.negotiations) == (1, before.negotiations)
        assert after.errors == []
        for source in TRACKS:
            old, new = before.received[name, source], after.received[name, source]
            assert (new.track_id, new.mid, new.lost) == (old.track_id, old.mid, old.lost)
    assert anna_after.states[-2:] == ["reconnecting", "joined"]
    assert "reconnecting" not in ben_after.states


async def test_cut_websocket_chromium(
    server: SfuProcess, signaling: tuple[TcpRelay, str], chromium: Chromium
) -> None:
    await _survives_a_cut(server, *signaling, chromium)


async def test_cut_websocket_firefox(
    server: SfuProcess, signaling: tuple[TcpRelay, str], firefox: Firefox
) -> None:
    await _survives_a_cut(server, *signaling, firefox)


async def test_changes_during_a_cut(
    server: SfuProcess, signaling: tuple[TcpRelay, str], chromium: Chromium
) -> None:
    """What either side does while the other cannot hear it arrives when it can."""
    relay, url = signaling
    anna, ben = await enter(server, chromium, "Anna", url=url), await enter(server, chromium, "Ben")
    await anna.join("changes")
    await ben.join("changes")
    await meet(anna, ben)
    relay.cut()
    await anna.until(lambda now: now.state == "reconnecting", "Anna notices")
    await anna.publish("screen")
    await anna.set_enabled("mic", False)
    await ben.publish("screen")
    await ben.set_enabled("mic", False)
    carl = await enter(server, chromium, "Carl")
    await carl.join("changes")
    await carl.sees_and_hears(anna, sources=("camera",))
    relay.restore()
    await anna.sees_and_hears(ben, sources=("camera", "screen"))
    await anna.sees_and_hears(carl)
    await ben.sees_and_hears(anna, sources=("camera", "screen"))
    now = await anna.snapshot()
    assert {name: state["micEnabled"] for name, state in now.peers.items()} == {"Ben": False, "Carl": True}
    assert not (await ben.snapshot()).peers["Anna"]["micEnabled"]
    assert (now.connections, now.errors) == (1, [])


BLIND = """() => {
  const { setRemoteDescription } = RTCPeerConnection.prototype;
  let first = null;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    first ??= this;
    const text = this === first ? sdp.replace(/a=candidate:.*\\r\\n/g, "") : sdp;
    return setRemoteDescription.call(this, { type, sdp: text });
  };
}"""
"""Takes the server's candidates out of what the page's first connection is told."""


async def test_connection_that_never_begins(server: SfuProcess, chromium: Chromium) -> None:
    """A browser without a candidate pair waits without end; the library builds a new connection."""
    anna, ben = await enter(server, chromium, "Anna"), await enter(server, chromium, "Ben")
    await anna.join("blind")
    await ben.page.evaluate(BLIND)
    await ben.join("blind")
    await ben.until(lambda now: now.connections == 2, "Ben builds a new connection")
    await meet(anna, ben)
    assert (await ben.snapshot()).errors == []


async def test_silent_network(server: SfuProcess, signaling: tuple[TcpRelay, str], chromium: Chromium) -> None:
    """Nothing gets through and no connection breaks, until the browser reports that the network changed.

    The library then looks at once whether the server still hears it, and has ICE restarted as soon as it does.
    """
    relay, url = signaling
    anna, ben = await enter(server, chromium, "Anna", url=url), await enter(server, chromium, "Ben")
    await anna.join("silent")
    await ben.join("silent")
    await meet(anna, ben)
    before = await quiet(anna)
    ufrag = await remote_ufrag(anna)
    relay.freeze()
    await anna.page.evaluate("() => window.dispatchEvent(new Event('online'))")
    await anna.until(lambda now: now.state == "reconnecting", "Anna notices", seconds=8)
    relay.restore()
    after = await anna.until(
        lambda now: now.state == "joined" and now.negotiations > before.negotiations, "ICE is restarted"
    )
    assert await remote_ufrag(anna) != ufrag
    await meet(anna, ben)
    assert (after.session, after.connections, after.errors) == (before.session, 1, [])
    for source in TRACKS:
        assert after.received["Ben", source].mid == before.received["Ben", source].mid


async def remote_ufrag(participant: Participant) -> str:
    """Return the server's ICE user-name fragment, which every ICE restart changes."""
    ufrag: str = await participant.page.evaluate(
        "() => /a=ice-ufrag:(.*)/.exec(window.participant.connection().remoteDescription.sdp)[1]"
    )
    return ufrag


async def _survives_a_reload(
    server: SfuProcess, browser: Browser, user: str, record: Callable[[str, object], None]
) -> None:
    """Reload one of two pages: the same session, the same tracks for the other, media both ways soon."""
    anna, ben = await enter(server, browser, "Anna"), await enter(server, browser, "Ben")
    await anna.join("reload", user=user)
    await ben.join("reload")
    await meet(anna, ben)
    before, ben_before = await anna.snapshot(), await ben.snapshot()

    await anna.reload()
    started = trio.current_time()
    await anna.join("reload", user=user)
    await meet(anna, ben)
    seconds = trio.current_time() - started
    print(f"{browser.name}: media both ways {seconds:.2f} s after the join of the reloaded page")
    record(f"reload_to_media_s_{browser.name}", seconds)
    after, ben_after = await anna.snapshot(), await ben.snapshot()
    assert after.session == before.session
    assert ben_after.suspended == []
    for source in TRACKS:
        assert ben_after.received["Anna", source].track_id == ben_before.received["Anna", source].track_id
    assert ben_after.connections == 1
    assert after.errors == ben_after.errors == []
    assert seconds < 5


@pytest.mark.alone
async def test_reload_chromium(
    server: SfuProcess, chromium: Chromium, record_property: Callable[[str, object], None]
) -> None:
    await _survives_a_reload(server, chromium, "anna", record_property)


@pytest.mark.alone
async def test_reload_firefox(
    server: SfuProcess, firefox: Firefox, record_property: Callable[[str, object], None]
) -> None:
    """Here the library chose the user id, and has to remember it."""
    await _survives_a_reload(server, firefox, "", record_property)


async def test_media_path_breaks(media: tuple[SfuProcess, LossyRelay], chromium: Chromium) -> None:
    """No UDP until the connection has failed: the session goes on with a new one."""
    server, relay = media
    anna, ben = await enter(server, chromium, "Anna"), await enter(server, chromium, "Ben")
    await anna.join("path")
    await ben.join("path")
    await meet(anna, ben)
    before = await anna.snapshot()
    relay.loss = 1.0
    now = await anna.until(lambda now: now.connections > 1, "Anna builds a new connection", seconds=45)
    assert now.session == before.session
    relay.loss = 0.0
    await meet(anna, ben)
    for participant, name in ((anna, "Ben"), (ben, "Anna")):
        after = await participant.snapshot()
        assert (after.state, after.connection, after.errors) == ("joined", "connected", [])
        assert set(after.peers) == {name}
    assert (await anna.snapshot()).session == before.session
