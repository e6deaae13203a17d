"""Hostile descriptions: cut, contradictory, and as large as they may be, while others hold a call."""

from collections.abc import Callable

import pytest
import trio
from support.browser_model import Browser
from support.real_server import FAST, attacked, enter, hear, tell
from support.waiting import becomes
from trio_websocket import WebSocketConnection

from sfu.conference.messages import MAX_SDP


def an_offer() -> str:
    """A good one, of a browser that publishes and receives."""
    browser = Browser()
    browser.add("audio")
    browser.add("video")
    return browser.offer()


async def test_an_offer_cut_at_many_lengths() -> None:
    """Each is refused in words, or answered, where what is left of it makes sense."""
    text = an_offer()
    async with attacked(**FAST) as (server, _), server.websocket() as (websocket, _):
        await enter(websocket)
        refused = 0
        for length in range(0, len(text), 13):
            await tell(websocket, "offer", sdp=text[:length], type="offer")
            data = await hear(websocket, "answer", "error")
            if "code" in data:
                refused += 1
                assert (data["code"], data["type"]) == (400, "offer")
                assert data["message"].startswith("offer: ")
        assert refused > 20


def many_m_lines(text: str) -> str:
    """A thousand m-lines, each with an m-line's cost."""
    head, *sections = text.split("m=")
    bundle = " ".join(map(str, range(1000)))
    head = "".join(
        f"a=group:BUNDLE {bundle}\r\n" if line.startswith("a=group") else line for line in head.splitlines(True)
    )
    section = sections[-1][:200].rpartition("\r\n")[0] + "\r\n"
    return head + "".join(f"m={section}".replace("a=mid:1", f"a=mid:{n}") for n in range(1000))


def repeated(line: str, text: str) -> str:
    """Repeat a line (with numbers for braces) until the text is as long as it may be."""
    lines = [text.rstrip()]
    size, number = len(text), 0
    while size + 2 * len(line) + 20 < MAX_SDP:
        number += 1
        lines.append(line.replace("{}", str(number)))
        size += len(lines[-1]) + 2
    return "\r\n".join([*lines, ""])


BOMBS: dict[str, Callable[[str], str]] = {
    "as long as it may be": lambda text: text + "x" * (MAX_SDP - len(text)),
    "longer": lambda text: text + "x" * MAX_SDP,
    "no line ends": lambda text: "v=0" + "a" * (MAX_SDP - 10),
    "only line ends": lambda text: "\r\n" * (MAX_SDP // 2 - 1),
    "m-lines": many_m_lines,
    "formats": lambda text: text.replace("SAVPF 111", "SAVPF " + "111 " * 60_000),
    "big numbers": lambda text: text.replace("m=audio 9", "m=audio " + "9" * 10_000),
    "big version": lambda text: text.replace("o=- 1 ", f"o=- {'9' * 5000} "),
    "attributes": lambda text: repeated("a=x{}", text),
    "empty attributes": lambda text: repeated("a=", text),
    "codecs": lambda text: repeated("a=rtpmap:{} VP8/90000", text),
    "one codec": lambda text: repeated("a=rtpmap:96 VP8/90000", text),
    "parameters": lambda text: repeated("a=fmtp:96 {}=1;" + "x=y;" * 20, text),
    "one line of parameters": lambda text: text.rstrip() + "\r\na=fmtp:96 " + "x=y;" * 50_000 + "\r\n",
    "feedback": lambda text: repeated("a=rtcp-fb:* x{}", text),
    "extensions": lambda text: repeated("a=extmap:{} urn:x:{}", text),
    "streams": lambda text: repeated("a=ssrc:{} cname:x", text),
    "stream groups": lambda text: repeated("a=ssrc-group:FID {} 1", text),
    "one stream group": lambda text: text.rstrip() + "\r\na=ssrc-group:SIM " + "1 " * 100_000 + "\r\n",
    "layers": lambda text: repeated("a=rid:{} send", text),
    "simulcast": lambda text: (
        text.rstrip() + "\r\na=simulcast:send " + ";".join(map(str, range(40_000))) + "\r\n"
    ),
    "media streams": lambda text: repeated("a=msid:{} {}", text),
    "candidates": lambda text: repeated("a=candidate:{} 1 udp 1 192.0.2.1 9 typ host", text),
    "fingerprints": lambda text: repeated("a=fingerprint:sha-256 " + ":".join(["AB"] * 32), text),
    "bundles": lambda text: repeated("a=group:BUNDLE {}", text),
    "one bundle": lambda text: text.replace("BUNDLE 0", "BUNDLE " + "0 " * 100_000),
}


@pytest.mark.parametrize("name", BOMBS)
async def test_an_offer_that_exceeds_a_limit(name: str) -> None:
    async with attacked(**FAST) as (server, _call), server.websocket() as (websocket, _):
        await enter(websocket)
        text = BOMBS[name](an_offer())
        for _ in range(5):
            await tell(websocket, "offer", sdp=text, type="offer")
            data = await hear(websocket, "answer", "error")
            assert data.get("code", 400) == 400


async def test_thousands_of_offers() -> None:
    """Of a browser that never hears an answer, in the room of the call, where the server offers too."""
    async with attacked(**FAST) as (server, _), server.websocket() as (websocket, _):
        await enter(websocket, "call")
        text = an_offer()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, websocket)
            for number in range(1000):
                sdp = text.replace("user0", f"user{number}") if number % 3 else text
                await tell(websocket, "offer" if number % 5 else "answer", sdp=sdp)
                await trio.lowlevel.checkpoint()
            await becomes(lambda: sum(server.messages("offer").values()) >= 800, True)
            nursery.cancel_scope.cancel("enough")


async def read(websocket: WebSocketConnection) -> None:
    """Read and forget."""
    while True:
        await websocket.get_message()
