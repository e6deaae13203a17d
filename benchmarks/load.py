"""CPU time per forwarded packet of a real server: one publisher, N receivers, one run.

    python -m benchmarks.load --receivers 50 --profile gcm --rate 300

starts a server with default settings, lets everybody join, connect and settle, and then measures: the
publisher sends 1200-byte packets, and the server's CPU time is divided by the packets that arrived. What is
printed is one JSON object.

With a rate the publisher sends evenly spaced packets, so that nearly every packet wakes the server. Without one
it keeps `WINDOW` packets on the way, and the server works in full batches as fast as it can.

The generator does not sleep while it measures: with a sleeping reader, the server's `sendmmsg` would pay for
waking it. (The C yardstick's generator does not sleep either.)
"""

import argparse
import json
import math
import os
from dataclasses import asdict, dataclass
from typing import Final

import trio
from support.browser_model import Transceiver

from benchmarks.crowd import TICK, Crowd, Member, all_connected, until
from benchmarks.modes import MODES, open_crowd, open_server
from benchmarks.usage import cpu_seconds, separate
from sfu.dtls import SrtpProtectionProfile
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import PictureLossIndication, SenderReport

PROFILES: Final = {
    "gcm": SrtpProtectionProfile.AEAD_AES_128_GCM,
    "cm": SrtpProtectionProfile.AES128_CM_HMAC_SHA1_80,
}

TRAILERS: Final = {"gcm": 16, "cm": 10}
"""Bytes that SRTP adds."""

DATAGRAM: Final = 1200
"""Bytes of an encrypted packet, as browsers make them and as the yardstick sends them."""

FRAME: Final = 10
"""Packets of one video frame: at 300 packets/s that is 30 frames/s and 2.9 Mbit/s, usual for 720p."""

WINDOW: Final = 2048
"""Packets on their way to receivers at a time when there is no rate; at least four per receiver."""

WARM_UP: Final = 1.5
"""Seconds of media before measuring: the first packets of each stream take another way through the server (they
carry a MID), until the receivers' first reports."""

SILENCE: Final = 2.0
"""Seconds without a packet after which what has not come is lost. Long, since on a busy machine the server may
have to wait for a CPU: it is late then, and loses nothing."""


class Publisher:
    """Sends what looks like VP8 from Chromium."""

    def __init__(self, crowd: Crowd, member: Member, profile: str) -> None:
        self.sent = 0
        self._crowd = crowd
        self._member = member
        self._track: Transceiver = member.published[0]
        self._payload_type = int(member.browser.numbers.formats["video"].split()[0])
        mid = str(self._track.mid).encode()
        self._mid = mid
        # 12 bytes of header, extensions: 4 of block header, and id 2 (3 bytes), 3 (2), 4 (the mid), padded.
        block = 4 + -(-(4 + 3 + 1 + len(mid)) // 4) * 4
        self._payload_size = DATAGRAM - TRAILERS[profile] - 12 - block

    def send(self) -> None:
        """Send the next packet."""
        number = self.sent
        machine = self._member.machine
        frame, part = divmod(number, FRAME)
        if part == 0:
            key = frame == 0 or self._asked()
            # Payload descriptor with a 15-bit picture id (RFC 7741 section 4.2); bit 0 of what follows is 0
            # in a key frame.
            self._first = bytes((0x90, 0x80)) + (0x8000 | frame & 0x7FFF).to_bytes(2) + bytes((not key,))
            self._rest = b"\x80" + self._first[1:4] + b"\x5a"
        start = self._first if part == 0 else self._rest
        now = trio.current_time()
        elements = (
            (2, (int(now * 2**18) & 0xFF_FFFF).to_bytes(3)),
            (3, (number & 0xFFFF).to_bytes(2)),
            (4, self._mid),
        )
        packet = RtpPacket(
            self._payload_type,
            part == FRAME - 1,
            number & 0xFFFF,
            frame * 3000 & 0xFFFF_FFFF,
            self._track.ssrc,
            (),
            elements,
            start.ljust(self._payload_size, b"\x5a"),
        )
        machine.send_rtp(packet)
        if number % 300 == 0:
            ntp = int((now + 3_900_000_000) * 2**32)
            machine.send_rtcp([SenderReport(self._track.ssrc, ntp, packet.timestamp, number, number * 1000)])
        self.sent += 1
        self._member.flush(now)

    def _asked(self) -> bool:
        """Whether the server has asked for a key frame since the last look."""
        rtcp = self._member.machine.rtcp
        asked = any(isinstance(packet, PictureLossIndication) for packet in rtcp)
        rtcp.clear()
        return asked


@dataclass(frozen=True)
class Result:
    """What one run gave."""

    receivers: int
    profile: str
    rate: float | None
    """Packets per second sent to the server; `None` for as fast as it can."""
    seconds: float
    """Length of the measuring window."""
    packets_in: int
    """Packets that the publisher sent in it."""
    packets_out: int
    """Packets that arrived at receivers in it."""
    cpu_us: float
    """CPU time of the server per packet that arrived, in microseconds."""
    busy: float
    """CPU time of the server per second."""
    lost: int
    """Packets that the server should have sent and did not, from the end of the warm-up on."""
    generator_drops: int
    """Packets that the server sent and the generator's own socket had no room for: it was too slow."""
    disorder: int
    """Packets that arrived out of order, or after a gap."""
    verified: int
    """Packets decrypted; all that were tried."""


async def measure(
    receivers: int, profile: str, rate: float | None, seconds: float, mode: str = "lite"
) -> Result:
    """Do one run against a server of its own; `mode` is one of `MODES`."""
    async with open_server(mode) as server:
        separate(os.getpid(), server.child.pid)
        async with open_crowd(mode, server) as crowd:
            profiles = (PROFILES[profile],)
            publishing = await crowd.join("publisher", "bench", ("video",), profiles)
            await all_connected(crowd)
            audience = [await crowd.join(f"receiver{i}", "bench", profiles=profiles) for i in range(receivers)]
            await all_connected(crowd)
            run = _Run(crowd, Publisher(crowd, publishing, profile), audience, rate)
            # A first packet makes the stream known; receivers' streams begin with the key frame asked for then.
            await run.send_for(WARM_UP / 2, rate=300.0)
            await until(lambda: all(member.packets for member in audience), "media at every receiver")
            await run.send_for(WARM_UP, rate=300.0)
            await run.stragglers()
            return await run.measure(profile, seconds, server.child.pid)


class _Run:
    """The measuring part."""

    def __init__(self, crowd: Crowd, publisher: Publisher, audience: list[Member], rate: float | None) -> None:
        self._crowd = crowd
        self._publisher = publisher
        self._audience = audience
        self._rate = rate

    @property
    def _received(self) -> int:
        return sum(member.packets for member in self._audience)

    async def measure(self, profile: str, seconds: float, pid: int) -> Result:
        audience, publisher = self._audience, self._publisher
        drops = self._crowd.socket.statistics().kernel_drops
        disorder = sum(member.disorder for member in audience)
        sent, received = publisher.sent, self._received
        cpu, start = cpu_seconds(pid), trio.current_time()
        await self.send_for(seconds, self._rate)
        cpu, elapsed = cpu_seconds(pid) - cpu, trio.current_time() - start
        arrived = self._received - received
        packets_in = publisher.sent - sent
        await self.stragglers(received + packets_in * len(audience))
        missing = packets_in * len(audience) - (self._received - received)
        drops = self._crowd.socket.statistics().kernel_drops - drops
        return Result(
            receivers=len(audience),
            profile=profile,
            rate=self._rate,
            seconds=elapsed,
            packets_in=packets_in,
            packets_out=arrived,
            cpu_us=cpu / arrived * 1e6,
            busy=cpu / elapsed,
            lost=max(0, missing - drops),
            generator_drops=drops,
            disorder=sum(member.disorder for member in audience) - disorder,
            verified=sum(member.verified for member in audience),
        )

    async def stragglers(self, total: int | None = None) -> None:
        """Wait until the receivers have `total` packets together, or nothing comes any more."""
        newest = trio.current_time()
        while True:
            before = self._received
            await trio.sleep(TICK)
            if self._received != before:
                newest = trio.current_time()
            if self._received == total or trio.current_time() > newest + SILENCE:
                return

    async def send_for(self, seconds: float, rate: float | None) -> None:
        """Send at `rate`, or as fast as it goes, for a time. The loop never sleeps, see the module's text."""
        publisher, flush = self._publisher, self._crowd.socket.egress.flush
        copies = len(self._audience)
        window = max(WINDOW, 4 * copies)
        start, first, received = trio.current_time(), publisher.sent, self._received
        while (elapsed := trio.current_time() - start) < seconds:
            if rate is None:
                on_the_way = (publisher.sent - first) * copies - (self._received - received)
                room = (window - on_the_way) // copies
            else:
                room = int(elapsed * rate) - (publisher.sent - first)
            for _ in range(min(room, 32)):
                publisher.send()
            flush()
            await trio.lowlevel.checkpoint()


def main() -> None:
    """Parse the command line, measure, print JSON."""
    parser = argparse.ArgumentParser(description="CPU time per forwarded packet, one run")
    parser.add_argument("--receivers", type=int, default=50)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="gcm")
    parser.add_argument("--rate", type=float, default=300.0, help="packets/s in; 0: as fast as it goes")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--ice", choices=MODES, default="lite")
    arguments = parser.parse_args()
    rate = arguments.rate if arguments.rate and math.isfinite(arguments.rate) else None
    result = trio.run(measure, arguments.receivers, arguments.profile, rate, arguments.seconds, arguments.ice)
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
