"""Putting RTCP packets into datagrams (RFC 3550 section 6.1).

Every datagram begins with a report and has a CNAME. Reduced size (RFC 5506) would save some 40 bytes for each
feedback message. That is not worth a second form, which has to be negotiated.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from sfu.rtp.rtcp import (
    GenericNack,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SdesChunk,
    SenderReport,
    SourceDescription,
    serialize_compound,
)

MAX_COMPOUND = 1150
"""Bytes of plain RTCP in a datagram. With the 30 of SRTCP it stays below 1200, the limit that WebRTC keeps."""

MAX_BLOCKS = 31
"""Report blocks in a report, and chunks in a source description: the count has five bits."""

MAX_LOST = 200
"""Sequence numbers in one NACK."""


def report_datagrams(
    senders: Iterable[tuple[SenderReport, str]], blocks: Sequence[ReportBlock], own_ssrc: int, own_cname: str
) -> list[bytes]:
    """Return datagrams with a sender report and CNAME for each of `senders`, and with all report blocks.

    The blocks are in reports from `own_ssrc`: a receiver only uses the SSRC that they are about. The list is
    empty if there are no senders and no blocks.
    """
    all_reports: list[tuple[SenderReport | ReceiverReport, str]] = [
        *senders,
        *(
            (ReceiverReport(own_ssrc, tuple(blocks[start : start + MAX_BLOCKS])), own_cname)
            for start in range(0, len(blocks), MAX_BLOCKS)
        ),
    ]
    datagrams = []
    group: list[SenderReport | ReceiverReport] = []
    chunks: list[SdesChunk] = []
    size = 0
    for report, cname in all_reports:
        name = SourceDescription.of_cname(report.ssrc, cname)
        added = len(report.encode()) + len(name.encode())
        if group and (size + added > MAX_COMPOUND or len(chunks) == MAX_BLOCKS):
            datagrams.append(serialize_compound([*group, SourceDescription(tuple(chunks))]))
            group, chunks, size = [], [], 0
        group.append(report)
        chunks += name.chunks
        size += added
    if group:
        datagrams.append(serialize_compound([*group, SourceDescription(tuple(chunks))]))
    return datagrams


def feedback_datagrams(packets: Iterable[RtcpPacket], own_ssrc: int, own_cname: str) -> list[bytes]:
    """Return datagrams with these packets in this order, after an empty report and the CNAME."""
    head = serialize_compound([ReceiverReport(own_ssrc), SourceDescription.of_cname(own_ssrc, own_cname)])
    datagrams = []
    body = b""
    for packet in _split_nacks(packets):
        data = packet.encode()
        if body and len(head) + len(body) + len(data) > MAX_COMPOUND:
            datagrams.append(head + body)
            body = b""
        body += data
    if body:
        datagrams.append(head + body)
    return datagrams


def _split_nacks(packets: Iterable[RtcpPacket]) -> Iterator[RtcpPacket]:
    """Split NACKs, the only packets that can be too long: losses far from each other take four bytes each."""
    for packet in packets:
        if isinstance(packet, GenericNack):
            for start in range(0, len(packet.lost), MAX_LOST):
                yield replace(packet, lost=packet.lost[start : start + MAX_LOST])
        else:
            yield packet
