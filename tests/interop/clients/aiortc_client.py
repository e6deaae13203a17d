"""A participant made of aiortc, in the protocol of `interop.caller`.

aiortc encodes and decodes by itself and has no use for the clip: it sends one grey after the other and silence.
"""

import asyncio
import json
import sys
from collections import Counter
from fractions import Fraction
from typing import Any

from aiortc import (
    AudioStreamTrack,
    MediaStreamTrack,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

REPORT_INTERVAL = 0.1
"""Seconds."""

FRAME_RATE = 30
GOODBYE = 3.0
"""Seconds to wait for the server's close_notify."""


class SmallVideo(VideoStreamTrack):
    """A picture that changes its brightness from frame to frame: cheap to encode."""

    def __init__(self) -> None:
        super().__init__()
        self._number = 0

    async def recv(self) -> VideoFrame:
        """The next frame, when it is time for it."""
        await asyncio.sleep(1 / FRAME_RATE)
        frame = VideoFrame(160, 120, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([self._number % 256]) * plane.buffer_size)
        frame.pts, frame.time_base = self._number * (90000 // FRAME_RATE), Fraction(1, 90000)
        self._number += 1
        return frame


def say(message_type: str, **data: Any) -> None:
    """Print one message."""
    print(json.dumps({"type": message_type, "data": data}), flush=True)


class Participant:
    """One RTCPeerConnection and what it does on each message."""

    def __init__(self) -> None:
        self.frames = Counter[str]()
        self.closed = asyncio.Event()
        self.pc = RTCPeerConnection()
        self.pc.on("track", lambda track: asyncio.ensure_future(self.watch(track)))
        self.pc.on("connectionstatechange", self.follow)

    def follow(self) -> None:
        """Take note of the end."""
        if self.pc.connectionState in ("closed", "failed"):
            self.closed.set()

    async def watch(self, track: MediaStreamTrack) -> None:
        """Count decoded frames."""
        try:
            while True:
                await track.recv()
                self.frames[track.kind] += 1
        except MediaStreamError:
            pass

    async def offer(self) -> None:
        """Publish a microphone and a camera."""
        self.pc.addTransceiver(AudioStreamTrack(), direction="sendonly")
        self.pc.addTransceiver(SmallVideo(), direction="sendonly")
        await self.pc.setLocalDescription(await self.pc.createOffer())
        say("offer", sdp=self.pc.localDescription.sdp, type="offer")

    async def receive(self, message_type: str, data: dict[str, Any]) -> None:
        """Do what a message asks for."""
        if message_type == "publish":
            await self.offer()
        elif message_type == "answer":
            await self.pc.setRemoteDescription(RTCSessionDescription(data["sdp"], "answer"))
        elif message_type == "offer":
            await self.pc.setRemoteDescription(RTCSessionDescription(data["sdp"], "offer"))
            await self.pc.setLocalDescription(await self.pc.createAnswer())
            say("answer", sdp=self.pc.localDescription.sdp, type="answer")

    async def report(self) -> None:
        """Print what has been decoded, again and again."""
        while True:
            await asyncio.sleep(REPORT_INTERVAL)
            received = {kind: self.frames[kind] for kind in ("audio", "video")}
            say("report", connection=self.pc.connectionState, received=received)


async def main(room: str) -> None:
    """Take part until told to finish."""
    participant = Participant()
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say("join", roomId=room, userId="aiortc", name="aiortc")
    reports = asyncio.ensure_future(participant.report())
    finish: dict[str, Any] = {}
    async for line in reader:
        message = json.loads(line)
        if message["type"] == "finish":
            finish = message["data"]
            break
        await participant.receive(message["type"], message["data"])
    reports.cancel()
    if finish["first"] == "close":
        await participant.pc.close()
        say("leave")
    else:
        say("leave")
        await asyncio.wait_for(participant.closed.wait(), GOODBYE)


asyncio.run(main(sys.argv[1]))
