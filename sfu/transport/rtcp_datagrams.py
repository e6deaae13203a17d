"""Putting RTCP packets into datagrams that others accept (RFC 3550 section 6.1).

Every datagram begins with a report and carries a CNAME. Reduced size (RFC 5506) would save some 40 bytes on
each feedback message, which is not worth a second form that has to be negotiated.
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
"""Bytes of plain RTCP in a datagram: with SRTCP's 30 still under the 1200 that WebRTC keeps to."""

MAX_BLOCKS = 31
"""Report blocks in a report, and chunks in a source description: the count has five bits."""

MAX_LOST = 200
"""Sequence numbers in one NACK."""


def reports(
    senders: Iterable[tuple[SenderReport, str]], blocks: Sequence[ReportBlock], own_ssrc: int, own_cname: str
) -> list[bytes]:
    """Datagrams with a sender report and CNAME for each of `senders`, and with all report blocks.

    The blocks are on reports of our own SSRC: a receiver looks only at whom they are about. Without senders
    and blocks there is nothing to say, and the list is empty.
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


def feedback(packets: Iterable[RtcpPacket], own_ssrc: int, own_cname: str) -> list[bytes]:
    """Datagrams with these packets in this order, behind an empty report and our CNAME."""
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
    """The packets, of which only a NACK could be too long: losses far from each other take four bytes each."""
    for packet in packets:
        if isinstance(packet, GenericNack):
            for start in range(0, len(packet.lost), MAX_LOST):
                yield replace(packet, lost=packet.lost[start : start + MAX_LOST])
        else:
            yield packet
