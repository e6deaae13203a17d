"""The drivers by themselves: two RTCPeerConnections looped in one page, no server of ours involved.

When a call through the server fails and these pass, the fault is not in the driver nor in the browser.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest
import trio
from browser.chromium import open_chromium
from browser.firefox import open_firefox
from browser.page import Browser, Page
from browser.process import living_processes
from browser.rpc import DriverError

pytestmark = pytest.mark.browser

PAGE = b"<!doctype html><html lang=en><title>Empty</title><link rel=icon href=data:,></html>"

LOOP = """
async () => {
  const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 640, height: 480}});
  const sender = new RTCPeerConnection(), receiver = new RTCPeerConnection();
  sender.onicecandidate = ({candidate}) => receiver.addIceCandidate(candidate);
  receiver.onicecandidate = ({candidate}) => sender.addIceCandidate(candidate);
  receiver.ontrack = ({track}) => {
    const element = document.createElement(track.kind);
    element.autoplay = true;
    element.srcObject = new MediaStream([track]);
    document.body.append(element);
  };
  for (const track of stream.getTracks()) sender.addTrack(track, stream);
  await sender.setLocalDescription();
  await receiver.setRemoteDescription(sender.localDescription);
  await receiver.setLocalDescription();
  await sender.setRemoteDescription(receiver.localDescription);
  for (;;) {
    const reports = [...(await receiver.getStats()).values()].filter(({type}) => type === "inbound-rtp");
    const video = reports.find(({kind}) => kind === "video");
    const audio = reports.find(({kind}) => kind === "audio");
    if (video?.framesDecoded > 10 && audio?.totalAudioEnergy > 0)
      return {width: video.frameWidth, height: video.frameHeight, connection: receiver.connectionState};
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
"""


@pytest.fixture(params=[open_chromium, open_firefox], ids=["chromium", "firefox"])
async def browser(request: pytest.FixtureRequest, deadline: None) -> AsyncIterator[Browser]:
    """Each browser in turn."""
    opener: Callable[[], AbstractAsyncContextManager[Browser]] = request.param
    async with opener() as opened:
        yield opened


@pytest.fixture
async def url(nursery: trio.Nursery, deadline: None) -> str:
    """Address of an empty page; loopback is a secure context, which getUserMedia needs."""

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            received = b""
            while b"\r\n\r\n" not in received:
                chunk = await stream.receive_some()
                if not chunk:
                    return
                received += chunk
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(PAGE)}\r\n"
            await stream.send_all(f"{head}Connection: close\r\n\r\n".encode() + PAGE)

    serve = partial(trio.serve_tcp, answer, 0, host="127.0.0.1")
    listeners: list[trio.SocketListener] = await nursery.start(serve)
    return f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"


async def test_media_flows_in_a_loop(browser: Browser, url: str) -> None:
    page = await browser.new_page(url)
    with trio.fail_after(20):
        result = await page.evaluate(LOOP)
    assert result["connection"] == "connected"
    # Encoders start small (Firefox with 320 x 240) until they know the bandwidth; the shape is right at once.
    assert result["width"] / result["height"] == pytest.approx(640 / 480, rel=0.02)
    assert page.errors() == []


async def test_what_a_page_can_do(browser: Browser, url: str) -> None:
    """All in one browser, since each start of one takes seconds."""
    page = await browser.new_page(url, preload="() => { window.early = document.readyState; }")
    await evaluate_passes_data_and_errors(page)
    await log_collects_console_and_uncaught_errors(page)
    await preload_runs_first_in_every_document(page)
    await pages_are_separate_people(page, await browser.new_page(url))


async def evaluate_passes_data_and_errors(page: Page) -> None:
    """Check that JSON goes both ways, and that an exception comes back as one."""
    assert await page.evaluate("(a, b) => ({sum: a.x + b[0], text: 'é\\u2028'})", {"x": 1}, [2]) == {
        "sum": 3,
        "text": "é\u2028",
    }
    assert await page.evaluate("async () => undefined") is None
    with pytest.raises(DriverError, match="boo"):
        await page.evaluate("async () => { throw new Error('boo'); }")


async def log_collects_console_and_uncaught_errors(page: Page) -> None:
    """Check what the page's log has after two lines and an error in a timer."""
    await page.evaluate("() => { console.log('fine', 1); console.error('bad'); }")
    await page.evaluate("() => { setTimeout(() => { throw new Error('worse'); }); }")
    with trio.fail_after(5):
        assert (await page.logged("worse")).level == "error"
    assert page.log[:2] == [("info", "fine 1"), ("error", "bad")]
    assert len(page.errors()) == 2


async def preload_runs_first_in_every_document(page: Page) -> None:
    """Check that the preloaded function saw a document that was not complete, before and after a reload."""
    assert await page.evaluate("() => window.early") == "loading"
    await page.evaluate("() => { window.early = 'overwritten'; }")
    await page.reload()
    assert await page.evaluate("() => window.early") == "loading"


async def pages_are_separate_people(first: Page, second: Page) -> None:
    """Check that storage is not shared, survives a reload, and that both pages are visible."""
    await first.evaluate("() => { localStorage.setItem('who', 'first'); }")
    assert await second.evaluate("() => localStorage.getItem('who')") is None
    await first.reload()
    assert await first.evaluate("() => localStorage.getItem('who')") == "first"
    # A hidden page would be throttled and decode nothing.
    for page in (first, second):
        assert await page.evaluate("() => document.visibilityState") == "visible"
    await second.close()
    assert (await first.screenshot()).startswith(b"\x89PNG")


@pytest.mark.parametrize("opener", [open_chromium, open_firefox], ids=["chromium", "firefox"])
async def test_no_process_is_left(opener: Callable[[], AbstractAsyncContextManager[Browser]], url: str) -> None:
    """Also when the block is cancelled: nothing of the process tree remains."""
    before = children()
    with trio.CancelScope() as scope:
        async with opener() as browser:
            await browser.new_page(url)
            assert children() > before
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert children() == before


def children() -> set[int]:
    """Return the ids of the living descendants of this process."""
    processes = list(living_processes())
    found = {os.getpid()}
    while grown := {process.pid for process in processes if process.parent in found} - found:
        found |= grown
    return found
