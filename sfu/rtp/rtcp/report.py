r"""Sender and receiver reports (RFC 3550 sections 6.4.1 and 6.4.2).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |V=2|P|   RC    |    PT=200     |             length            |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                         SSRC of sender                        |
    +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
    |              NTP timestamp, most significant word             |
    |              NTP timestamp, least significant word            |  sender report only
    |                         RTP timestamp                         |  (201 has none of it)
    |                     sender's packet count                     |
    |                      sender's octet count                     |
    +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
    |                             SSRC                              |
    | fraction lost |       cumulative number of packets lost       |
    |           extended highest sequence number received           |  RC report blocks
    |                      interarrival jitter                      |
    |                         last SR (LSR)                         |
    |                   delay since last SR (DLSR)                  |
    +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
    |                  profile-specific extensions                  |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

import struct
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self

from sfu.errors import BadPacket
from sfu.rtp.rtcp.header import join

_SSRC: Final = Struct(">I")
_SENDER_INFO: Final = Struct(">IQIII")
_BLOCK: Final = Struct(">IIIIII")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver reports about one stream that it receives."""

    ssrc: int
    """The stream reported on."""
    fraction_lost: int
    """Packets lost since the previous report, in 1/256 of those expected: 0 … 255."""
    cumulative_lost: int
    """Packets lost since the start, -2**23 … 2**23 - 1; negative when duplicates outnumber losses."""
    highest_sequence: int
    """Highest sequence number received in the low 16 bits, the number of its wraps in the high 16."""
    jitter: int
    """Interarrival jitter in RTP clock ticks."""
    last_sender_report: int
    """Compact NTP time of the newest sender report from that stream, 0 before the first."""
    delay_since_last_sender_report: int
    """How long ago that report came, in 1/65536 s; 0 before the first."""

    @classmethod
    def decode(cls, data: bytes, offset: int) -> Self:
        """The block at `offset`, which must have 24 bytes."""
        ssrc, loss, highest, jitter, last, delay = _BLOCK.unpack_from(data, offset)
        lost = loss & 0xFF_FFFF
        if lost & 0x80_0000:
            lost -= 0x100_0000
        return cls(ssrc, loss >> 24, lost, highest, jitter, last, delay)

    def encode(self) -> bytes:
        """The block's 24 bytes. `ValueError` for a field out of range."""
        if not 0 <= self.fraction_lost <= 255 or not -0x80_0000 <= self.cumulative_lost <= 0x7F_FFFF:
            raise ValueError(f"loss out of range: {self.fraction_lost}/256, {self.cumulative_lost} packets")
        loss = self.fraction_lost << 24 | self.cumulative_lost & 0xFF_FFFF
        try:
            return _BLOCK.pack(
                self.ssrc,
                loss,
                self.highest_sequence,
                self.jitter,
                self.last_sender_report,
                self.delay_since_last_sender_report,
            )
        except struct.error as error:
            raise ValueError(f"report block: {error}") from None


@dataclass(frozen=True, slots=True)
class SenderReport:
    """SR: what a sender has sent so far, and one instant in wall clock time and in its RTP clock."""

    PACKET_TYPE: ClassVar = 200

    ssrc: int
    """The stream that the sender information is about."""
    ntp_time: int
    """Wall clock time of the report as a 64-bit NTP timestamp: seconds since 1900 in units of 2**-32 s."""
    rtp_timestamp: int
    """The same instant in ticks of the stream's RTP clock."""
    packet_count: int
    """RTP packets sent since the start, modulo 2**32."""
    octet_count: int
    """Payload bytes sent since the start, without headers and padding, modulo 2**32."""
    reports: tuple[ReportBlock, ...] = ()
    """About the streams that the sender of this report receives, at most 31."""
    profile_extension: bytes = b""
    """What a profile appended; WebRTC has none."""

    @classmethod
    def decode(cls, count: int, body: bytes) -> Self:
        """Parse a body with `count` report blocks. Raises `BadPacket` when it is too short."""
        if len(body) < 24 + 24 * count:
            raise BadPacket("rtcp-sr", f"{count} report blocks in {len(body)} bytes")
        ssrc, ntp_time, rtp_timestamp, packets, octets = _SENDER_INFO.unpack_from(body)
        return cls(ssrc, ntp_time, rtp_timestamp, packets, octets, *_decode_rest(count, body, 24))

    def encode(self) -> bytes:
        """Return the whole packet. Raises `ValueError` for a field out of range."""
        try:
            info = _SENDER_INFO.pack(
                self.ssrc, self.ntp_time, self.rtp_timestamp, self.packet_count, self.octet_count
            )
        except struct.error as error:
            raise ValueError(f"sender report: {error}") from None
        body = info + _encode_rest(self.reports, self.profile_extension)
        return join(self.PACKET_TYPE, len(self.reports), body)


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """RR: report blocks of an endpoint that has sent no RTP since its last report."""

    PACKET_TYPE: ClassVar = 201

    ssrc: int
    """The SSRC of the reporter."""
    reports: tuple[ReportBlock, ...] = ()
    """About the streams that it receives, at most 31."""
    profile_extension: bytes = b""
    """What a profile appended; WebRTC has none."""

    @classmethod
    def decode(cls, count: int, body: bytes) -> Self:
        """Parse a body with `count` report blocks. Raises `BadPacket` when it is too short."""
        if len(body) < 4 + 24 * count:
            raise BadPacket("rtcp-rr", f"{count} report blocks in {len(body)} bytes")
        (ssrc,) = _SSRC.unpack_from(body)
        return cls(ssrc, *_decode_rest(count, body, 4))

    def encode(self) -> bytes:
        """Return the whole packet. Raises `ValueError` for a field out of range."""
        try:
            ssrc = _SSRC.pack(self.ssrc)
        except struct.error as error:
            raise ValueError(f"receiver report: {error}") from None
        body = ssrc + _encode_rest(self.reports, self.profile_extension)
        return join(self.PACKET_TYPE, len(self.reports), body)


def _decode_rest(count: int, body: bytes, start: int) -> tuple[tuple[ReportBlock, ...], bytes]:
    end = start + 24 * count
    return tuple(ReportBlock.decode(body, offset) for offset in range(start, end, 24)), body[end:]


def _encode_rest(reports: tuple[ReportBlock, ...], profile_extension: bytes) -> bytes:
    return b"".join(report.encode() for report in reports) + profile_extension
