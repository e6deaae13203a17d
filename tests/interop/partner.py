"""The scripted other end of a call: it shows the clip, and keeps every packet that comes."""

import socket
import struct
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trio
from interop.caller import CLIP
from support.browser_model import Transceiver
from support.in_memory_server import Client
from support.real_server import HOST, RealServer

from sfu.ice.path import Address, IcePath
from sfu.rtp.ntp import ntp_from_unix
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import PictureLossIndication, RtcpPacket, SenderReport
from sfu.sdp import SessionDescription

IVF_HEADER = 32
IVF_FRAME_HEADER = struct.Struct("<IQ")
VP8_DESCRIPTOR = b"\x10"
"""RFC 7741 section 4.2: a partition begins here."""

OPUS_SILENCE = b"\xf8\xff\xfe"
FRAME_SECONDS = 0.04
REPORT_EVERY = 20
"""Audio packets."""

MAX_RTCP = 10_000
"""Packets that are kept for the test to read."""


def clip_payloads() -> list[bytes]:
    """The clip as RTP payloads."""
    data = CLIP.read_bytes()
    offset, payloads = IVF_HEADER, []
    while offset < len(data):
        size, _ = IVF_FRAME_HEADER.unpack_from(data, offset)
        offset += IVF_FRAME_HEADER.size
        payloads.append(VP8_DESCRIPTOR + data[offset : offset + size])
        offset += size
    return payloads


class Partner(Client):
    """A scripted client on a UDP socket of its own."""

    def connect_socket(self, sock: socket.socket) -> None:
        """Send and receive datagrams through a connected socket from now on."""
        self.packets: dict[int, list[RtpPacket]] = defaultdict(list)
        """What came, by SSRC, in the order of arrival."""
        self.rtcp: list[RtcpPacket] = []
        self._socket = sock
        self._key_frame_wanted = False

    async def receive_datagrams(self) -> None:
        """Read the socket until cancelled; `run` does the rest."""
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            with suppress(BlockingIOError):
                while True:
                    self.receive_datagram(self._socket.recv(2048))

    def receive_datagram(self, data: bytes) -> None:
        """A datagram comes from the server."""
        super().receive_datagram(data)
        while self.machine.rtp:
            packet = self.machine.rtp.popleft()
            self.packets[packet.ssrc].append(packet)
        while self.machine.rtcp:
            message = self.machine.rtcp.popleft()
            self._key_frame_wanted |= isinstance(message, PictureLossIndication)
            self.rtcp.append(message)
        del self.rtcp[:-MAX_RTCP]

    def tell(self, *messages: RtcpPacket) -> None:
        """Send RTCP."""
        self.machine.send_rtcp(messages)
        self.flush()

    async def play(self, audio: Transceiver, video: Transceiver) -> None:
        """Show the clip over and over, from its beginning whenever somebody has lost the picture."""
        clip = clip_payloads()
        number = frame = 0
        while True:
            for _ in range(2):
                self._play(audio, OPUS_SILENCE, number, 960)
                number += 1
            if self._key_frame_wanted:
                self._key_frame_wanted, frame = False, 0
            self._play(video, clip[frame % len(clip)], number // 2 - 1, 3600)
            frame += 1
            if number % REPORT_EVERY == 0:
                self._report(audio, number, number * 960)
                self._report(video, number // 2, number // 2 * 3600)
            await trio.sleep(FRAME_SECONDS)

    def _play(self, transceiver: Transceiver, payload: bytes, number: int, ticks: int) -> None:
        payload_type = int(self.browser.numbers.formats[transceiver.kind].split()[0])
        number &= 0xFFFF
        packet = RtpPacket(
            payload_type, True, number, number * ticks & 0xFFFF_FFFF, transceiver.ssrc, (), (), payload
        )
        self.machine.send_rtp(packet)
        self.flush()

    def _report(self, transceiver: Transceiver, packets: int, timestamp: int) -> None:
        ntp = ntp_from_unix(time.time())
        octets = packets * 100  # not checked by the server
        self.tell(SenderReport(transceiver.ssrc, ntp, timestamp & 0xFFFF_FFFF, packets, octets))

    # --- what it knows of a stream that it receives ---

    def line(self, kind: str) -> Transceiver:
        """The m-line on which it receives that kind."""
        return next(line for line in self.browser.lines if line.kind == kind and line.track)

    def stream(self, kind: str) -> list[RtpPacket]:
        """The packets of that kind, without retransmissions."""
        return self.packets[self.ssrcs(kind)[0]]

    def ssrcs(self, kind: str) -> tuple[int, ...]:
        """The stream's SSRC, and that of its retransmissions (RTX) if there is one."""
        mid = self.line(kind).mid
        assert mid is not None
        return self.browser.ssrc_of_mid[mid]

    def missing(self, kind: str) -> set[int]:
        """Sequence numbers of that kind that did not arrive, neither originally nor as a retransmission."""
        numbers = {packet.sequence_number for packet in self.stream(kind)}
        for ssrc in self.ssrcs(kind)[1:]:
            numbers |= {int.from_bytes(packet.payload[:2]) for packet in self.packets[ssrc]}
        first, last = (self.stream(kind)[index].sequence_number for index in (0, -1))
        return {(first + step) & 0xFFFF for step in range((last - first) & 0xFFFF)} - numbers

    def codec(self, packet: RtpPacket) -> str:
        """The name that the server's last offer gives a packet's payload type."""
        offer = SessionDescription.parse(self.heard("offer")[-1]["sdp"])
        rows = (row for media in offer.media for row in media.rtpmaps)
        return next(row.name for row in rows if row.payload_type == packet.payload_type)

    def sender_reports(self, kind: str) -> list[SenderReport]:
        """The server's reports of a stream."""
        ssrc = self.ssrcs(kind)[0]
        return [one for one in self.rtcp if isinstance(one, SenderReport) and one.ssrc == ssrc]


@asynccontextmanager
async def partner(server: RealServer, user: str = "partner") -> AsyncIterator[Partner]:
    """A partner that has not joined."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.bind((HOST, 0))
        sock.connect(server.media.address)
        path = IcePath(server.media.address, Address(*sock.getsockname()))
        async with server.websocket() as (websocket, stream), trio.open_nursery() as nursery:

            def send(data: bytes, _path: IcePath) -> None:
                sock.send(data)

            client = Partner(send, user, websocket, stream, path)
            client.connect_socket(sock)
            nursery.start_soon(client.run)
            nursery.start_soon(client.receive_datagrams)
            yield client
            nursery.cancel_scope.cancel("the partner is gone")
