"""Builders for tests of the media path: codecs, a published stream, a subscriber that decrypts."""

import itertools
from collections.abc import Mapping
from typing import Literal

from cffi import FFI

from sfu.ice.path import Address, IcePath
from sfu.rtp import extensions
from sfu.rtp.packet import RtpPacket
from sfu.rtp.srtp import PROFILES, InboundSrtp, OutboundSrtp
from sfu.sdp.codecs import Codec
from sfu.transport.egress import PACKET_BUFFER_SIZE, Egress
from sfu.transport.receive_stream import MediaPacket, ReceiveStream
from sfu.transport.send_context import SendContext
from sfu.transport.send_stream import SendStream

FEEDBACK = frozenset({"nack", "nack pli", "ccm fir", "transport-cc"})
VP8 = Codec(96, "VP8", 90000, feedback=FEEDBACK, rtx_payload_type=97)
OPUS = Codec(111, "opus", 48000, channels=2)
PUBLISHER_IDS: Mapping[int, str] = {
    1: extensions.AUDIO_LEVEL.uri,
    3: extensions.TRANSPORT_SEQUENCE_NUMBER.uri,
    4: extensions.MID.uri,
    13: extensions.VIDEO_ORIENTATION.uri,
}
SUBSCRIBER_IDS: Mapping[str, int] = {
    extensions.AUDIO_LEVEL.uri: 6,
    extensions.TRANSPORT_SEQUENCE_NUMBER.uri: 3,
    extensions.MID.uri: 9,
    extensions.VIDEO_ORIENTATION.uri: 2,
}
KEY_FRAME = b"\x10\x00\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00"
"""The beginning of a VP8 key frame: payload descriptor with S, then an even first byte."""
DELTA_FRAME = b"\x10\x01\x00\x00"


def published(
    ssrc: int = 1000, kind: Literal["audio", "video"] = "video", codec: Codec | None = None
) -> ReceiveStream:
    """A published stream with one codec, VP8 or Opus."""
    codec = codec or (VP8 if kind == "video" else OPUS)
    return ReceiveStream(ssrc=ssrc, kind=kind, codecs=[codec], extensions=PUBLISHER_IDS, local_ssrc=5)


class Publisher:
    """Makes the packets of one stream and gives them to it."""

    def __init__(self, stream: ReceiveStream, first: int = 100, timestamp: int = 9000) -> None:
        self.stream = stream
        self.number = first
        self.timestamp = timestamp

    def packet(self, payload: bytes = DELTA_FRAME, **changes: int) -> RtpPacket:
        """The next packet, a frame of its own 1/30 s after the one before; not yet received."""
        payload_type = self.stream.codecs[0].payload_type
        elements = ((4, b"0"), (13, b"\1"), (3, b"\0\7"))
        packet = RtpPacket(
            payload_type, True, self.number, self.timestamp, self.stream.ssrc, (), elements, payload
        )
        for name, value in changes.items():
            setattr(packet, name, value)
        self.number = (self.number + 1) & 0xFFFF
        self.timestamp = (self.timestamp + self.stream.clock_rate // 30) & 0xFFFF_FFFF
        return packet

    def receive(self, packet: RtpPacket, now: float) -> MediaPacket | None:
        """The stream receives this packet."""
        return self.stream.receive(packet, packet.serialize(), now)

    def send(self, payload: bytes = DELTA_FRAME, now: float = 0.0) -> MediaPacket:
        """The stream receives the next packet, which is to be forwarded."""
        media = self.receive(self.packet(payload), now)
        assert media is not None
        return media


class Wire:
    """A batch, and the datagrams that have left through it."""

    def __init__(self, capacity: int = 4) -> None:
        self.egress = Egress(self._send, capacity)
        self.sent: list[tuple[bytes, IcePath]] = []

    def _send(self, egress: Egress) -> None:
        for index in range(egress.count):
            path = egress.paths[index]
            assert path is not None
            memory = egress.memory + index * PACKET_BUFFER_SIZE
            self.sent.append((FFI().buffer(memory, egress.lengths[index])[:], path))


class Subscriber:
    """One receiving peer with one slot: its stream, and the keys to read what it is sent."""

    _ports = itertools.count(40000)

    def __init__(
        self,
        *,
        kind: Literal["audio", "video"] = "video",
        codecs: tuple[Codec, ...] = (),
        ids: Mapping[str, int] = SUBSCRIBER_IDS,
        mid: str | None = "v0",
        ssrc: int = 7000,
        profile: str = "AEAD_AES_128_GCM",
        connected: bool = True,
    ) -> None:
        row = PROFILES[profile]
        self._material = (profile, b"k" * row.key_length, b"s" * row.salt_length)
        self.inbound = InboundSrtp(*self._material)
        self.path = IcePath(None, Address("192.0.2.7", next(self._ports)))
        self.send_context = SendContext()
        if connected:
            self.connect()
        self.stream = SendStream(
            kind=kind, ssrc=ssrc, rtx_ssrc=ssrc + 1, cname="alice", send_context=self.send_context, random=bytes
        )
        theirs = Codec(100, "VP8", 90000, feedback=FEEDBACK, rtx_payload_type=101)
        self.codecs = codecs or (theirs if kind == "video" else OPUS,)
        """The codecs negotiated at the start."""
        self.stream.negotiate(self.codecs, ids, mid)

    def connect(self) -> None:
        """DTLS is done, a path is selected."""
        self.send_context.open(OutboundSrtp(*self._material), self.path)

    def read(self, wire: Wire) -> list[RtpPacket]:
        """Decrypt what has been sent to this subscriber since the last time."""
        wire.egress.flush()
        mine = [data for data, path in wire.sent if path == self.path]
        wire.sent = [(data, path) for data, path in wire.sent if path != self.path]
        return [RtpPacket.parse(self.inbound.unprotect(data)) for data in mine]
