"""What tshark reads in recorded streams, and in packets made here, is what our parsers read in them."""

import shutil
import struct
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sfu.rtp.codecs.h264 import starting_units
from sfu.rtp.codecs.vp8 import Vp8Descriptor, key_frame_size
from sfu.rtp.packet import RtpPacket
from sfu.rtp.red import RedBlock, parse_red
from sfu.rtp.rtcp import (
    Application,
    FirEntry,
    FullIntraRequest,
    GenericNack,
    Goodbye,
    PictureLossIndication,
    ReceiverReport,
    Remb,
    ReportBlock,
    RtcpPacket,
    SdesChunk,
    SenderReport,
    SourceDescription,
    TransportWideFeedback,
    parse_compound,
    serialize_compound,
)

TSHARK = shutil.which("tshark") or ""

pytestmark = pytest.mark.skipif(not TSHARK, reason="tshark is not installed")

RTP_FIELDS = [
    "rtp.version",
    "rtp.padding",
    "rtp.ext",
    "rtp.cc",
    "rtp.marker",
    "rtp.p_type",
    "rtp.seq",
    "rtp.timestamp",
    "rtp.ssrc",
    "rtp.csrc.item",
    "rtp.ext.rfc5285.id",
    "rtp.ext.rfc5285.data",
    "rtp.padding.count",
    "rtp.payload",
]
RED_FIELDS = ["rtp.timestamp-offset", "rtp.block-length"]
VP8_FIELDS = [
    "vp8.pld.n",
    "vp8.pld.s",
    "vp8.pld.partid",
    "vp8.pld.pictureid",
    "vp8.pld.tl0picidx",
    "vp8.pld.tid",
    "vp8.pld.y",
    "vp8.pld.keyidx",
    "vp8.keyframe.width",
    "vp8.keyframe.height",
]
H264_FIELDS = ["h264.nal_unit_hdr", "h264.start.bit", "h264.nal_unit_type"]
RTCP_FIELDS = [
    "rtcp.pt",
    "rtcp.rc",
    "rtcp.timestamp.ntp.msw",
    "rtcp.timestamp.ntp.lsw",
    "rtcp.timestamp.rtp",
    "rtcp.sender.packetcount",
    "rtcp.sender.octetcount",
    "rtcp.ssrc.fraction",
    "rtcp.ssrc.cum_nr",
    "rtcp.ssrc.ext_high",
    "rtcp.ssrc.jitter",
    "rtcp.ssrc.lsr",
    "rtcp.ssrc.dlsr",
    "rtcp.sdes.type",
    "rtcp.sdes.text",
    "rtcp.mediassrc",
    "rtcp.rtpfb.nack_pid",
    "rtcp.rtpfb.transportcc.baseseq",
    "rtcp.rtpfb.transportcc.statuscount",
    "rtcp.rtpfb.transportcc.reftime",
    "rtcp.rtpfb.transportcc.pktcount",
    "rtcp.rtpfb.transportcc.recv_delta",
    "rtcp.psfb.fir.fci.ssrc",
    "rtcp.psfb.fir.fci.csn",
    "rtcp.psfb.remb.fci.br_exp",
    "rtcp.psfb.remb.fci.br_mantissa",
    "rtcp.psfb.remb.fci.ssrc",
    "rtcp.app.subtype",
    "rtcp.app.name",
    "rtcp.length_check",
]
TEXT_FIELDS = ["rtcp.sdes.text", "rtcp.app.name"]

DISSECTORS = {"red": "rtp_rfc2198", "VP8": "vp8", "H264": "h264"}
"""tshark's names of the payload formats that it reads and browsers send."""

Row = dict[str, list[str]]


def pcap(datagrams: Iterable[bytes], port: int) -> bytes:
    """A pcap file (linktype RAW) of these datagrams as UDP over IPv4, all from `port` to `port`."""
    out = bytearray(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0xFFFF, 101))
    for second, data in enumerate(datagrams):
        udp = struct.pack(">HHHH", port, port, 8 + len(data), 0) + data
        loopback = b"\x7f\0\0\x01"
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + loopback * 2 + udp
        out += struct.pack("<IIII", second, 0, len(ip), len(ip)) + ip
    return bytes(out)


def dissect(
    datagrams: Sequence[bytes], protocol: str, fields: list[str], folder: Path, *options: str
) -> list[Row]:
    """What tshark reads in each datagram: every field as the list of its occurrences."""
    file = folder / f"{protocol}.pcap"
    file.write_bytes(pcap(datagrams, 5004))
    command = [TSHARK, "-n", "-r", str(file), "-d", f"udp.port==5004,{protocol}", "-T", "fields"]
    command += ["-E", "separator=/t", "-E", "aggregator=;"]
    command += [argument for field in fields for argument in ("-e", field)]
    command += options
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    rows = [
        {
            field: value.split(";") if value else []
            for field, value in zip(fields, line.split("\t"), strict=True)
        }
        for line in output.splitlines()
    ]
    assert len(rows) == len(datagrams)
    return rows


def numbers(row: Row, field: str) -> list[int]:
    """The occurrences of a numeric field, which tshark prints in decimal or hexadecimal."""
    return [int(value, 0) for value in row[field]]


def test_recorded_rtp(described_capture: Any, tmp_path: Path) -> None:
    media = described_capture.media
    names = {int(pt): name.partition("/")[0] for pt, name in described_capture.about["pts"].items()}
    red = next((pt for pt, name in names.items() if name == "red"), None)
    # Unless told otherwise, tshark takes payload type 99 for RED.
    dissectors = {99: "data"} | {pt: DISSECTORS[name] for pt, name in names.items() if name in DISSECTORS}
    options = [f"-drtp.pt=={pt},{dissector}" for pt, dissector in dissectors.items()]
    fields = RTP_FIELDS + RED_FIELDS + VP8_FIELDS + H264_FIELDS
    for data, row in zip(media, dissect(media, "rtp", fields, tmp_path, *options), strict=True):
        packet = RtpPacket.parse(data)
        blocks = parse_red(packet.payload) if packet.payload and packet.payload_type == red else ()
        check_red(blocks, row)
        check_header(packet, row)
        if packet.payload and names[packet.payload_type] == "VP8":
            check_vp8(packet.payload, row)
        if packet.payload and names[packet.payload_type] == "H264":
            check_h264(packet.payload, row)


def check_header(packet: RtpPacket, row: Row) -> None:
    assert numbers(row, "rtp.version") == [2]
    assert numbers(row, "rtp.padding") == [int(packet.padding_size > 0)]
    assert numbers(row, "rtp.ext") == [int(bool(packet.extensions))]
    assert numbers(row, "rtp.cc") == [len(packet.csrcs)]
    assert numbers(row, "rtp.marker") == [int(packet.marker)]
    assert numbers(row, "rtp.p_type")[0] == packet.payload_type
    assert numbers(row, "rtp.seq") == [packet.sequence_number]
    assert numbers(row, "rtp.timestamp") == [packet.timestamp]
    assert numbers(row, "rtp.ssrc") == [packet.ssrc]
    assert numbers(row, "rtp.csrc.item") == list(packet.csrcs)
    assert numbers(row, "rtp.ext.rfc5285.id") == [identifier for identifier, _ in packet.extensions]
    assert row["rtp.ext.rfc5285.data"] == [data.hex() for _, data in packet.extensions]
    assert numbers(row, "rtp.padding.count") == ([packet.padding_size] if packet.padding_size else [])
    assert "".join(row["rtp.payload"][:1]) == packet.payload.hex()


def check_red(blocks: Sequence[RedBlock], row: Row) -> None:
    assert numbers(row, "rtp.p_type")[1:] == [block.payload_type for block in blocks]
    assert numbers(row, "rtp.timestamp-offset") == [block.timestamp_offset for block in blocks[:-1]]
    assert numbers(row, "rtp.block-length") == [len(block.data) for block in blocks[:-1]]
    if blocks:
        assert row["rtp.payload"][1:] == [block.data.hex() for block in blocks]


def check_vp8(payload: bytes, row: Row) -> None:
    descriptor = Vp8Descriptor.parse(payload)

    def optional(value: int | None) -> list[int]:
        return [] if value is None else [value]

    assert numbers(row, "vp8.pld.n") == [int(descriptor.non_reference)]
    assert numbers(row, "vp8.pld.s") == [int(descriptor.start)]
    assert numbers(row, "vp8.pld.partid") == [descriptor.partition]
    assert numbers(row, "vp8.pld.pictureid") == optional(descriptor.picture_id)
    assert numbers(row, "vp8.pld.tl0picidx") == optional(descriptor.tl0_picture_index)
    assert numbers(row, "vp8.pld.tid") == optional(descriptor.temporal_id)
    size = key_frame_size(payload)
    assert numbers(row, "vp8.keyframe.width") == ([size[0]] if size else [])
    assert numbers(row, "vp8.keyframe.height") == ([size[1]] if size else [])


def check_h264(payload: bytes, row: Row) -> None:
    units = starting_units(payload)
    headers = numbers(row, "h264.nal_unit_hdr")
    if headers[0] == 24:  # STAP-A
        assert tuple(headers[1:]) == units
    elif headers[0] == 28:  # FU-A
        unit_types = numbers(row, "h264.nal_unit_type")
        assert units == (tuple(unit_types) if numbers(row, "h264.start.bit") == [1] else ())
    else:
        assert tuple(headers) == units


def test_recorded_rtcp(described_capture: Any, tmp_path: Path) -> None:
    control = described_capture.control
    for data, row in zip(control, dissect(control, "rtcp", RTCP_FIELDS, tmp_path), strict=True):
        check_compound(parse_compound(data), row)


def test_rtcp_made_here(tmp_path: Path) -> None:
    block = ReportBlock(5, 128, -3, 0x10002, 77, 0xAABBCCDD, 65536)
    chunk = SdesChunk(1, ((1, b"a"), (6, b"tool")))
    compounds: list[list[RtcpPacket]] = [
        [SenderReport(1, 0x8000_0001_4000_0000, 9, 10, 11, (block, block)), SourceDescription.of_cname(1, "a")],
        [ReceiverReport(1, (block,)), GenericNack(1, 5, (65500, 65510, 3, 100))],
        [ReceiverReport(1), SourceDescription((chunk, SdesChunk(2, ((1, b"b"),))))],
        [PictureLossIndication(1, 5), FullIntraRequest(1, (FirEntry(5, 7), FirEntry(6, 255)))],
        [Remb(1, 1_000_000, (5, 6))],
        [TransportWideFeedback(1, 5, 65530, 40, 7, 3, ((0, 4), (3, 1000), (9, -5), (30, 0)))],
        [ReceiverReport(1), Goodbye((1, 2), b"bye"), Application(3, 1, b"test", b"1234")],
    ]  # fmt: skip
    datagrams = [serialize_compound(compound) for compound in compounds]
    for compound, row in zip(compounds, dissect(datagrams, "rtcp", RTCP_FIELDS, tmp_path), strict=True):
        check_compound(compound, row)


def check_compound(packets: list[RtcpPacket], row: Row) -> None:
    expected: dict[str, list[int | str]] = {field: [] for field in RTCP_FIELDS}

    def add(**fields: int | str) -> None:
        for field, value in fields.items():
            expected["rtcp." + field.replace("__", ".")].append(value)

    for packet in packets:
        match packet:
            case SenderReport() | ReceiverReport():
                add(pt=packet.PACKET_TYPE, rc=len(packet.reports))
            case SourceDescription() | Goodbye() | GenericNack() | TransportWideFeedback():
                add(pt=packet.PACKET_TYPE)
            case PictureLossIndication() | FullIntraRequest() | Remb() | Application():
                add(pt=packet.PACKET_TYPE)
            case _:
                raise AssertionError(packet)
        expect(packet, add)
    expected["rtcp.length_check"] = [1]
    for field, values in expected.items():
        assert (row[field] if field in TEXT_FIELDS else numbers(row, field)) == values, field


def expect(packet: RtcpPacket, add: Any) -> None:
    """Add what tshark should show of one packet."""
    match packet:
        case SenderReport():
            add(timestamp__ntp__msw=packet.ntp_time >> 32, timestamp__ntp__lsw=packet.ntp_time & 0xFFFFFFFF)
            add(timestamp__rtp=packet.rtp_timestamp)
            add(sender__packetcount=packet.packet_count, sender__octetcount=packet.octet_count)
        case SourceDescription():
            for chunk in packet.chunks:
                for kind, value in chunk.items:
                    add(sdes__type=int(kind), sdes__text=value.decode())
                add(sdes__type=0)
        case GenericNack():
            add(mediassrc=packet.media_ssrc)
            for sequence_number in packet.lost:  # those that are bits of a mask are listed too
                add(rtpfb__nack_pid=sequence_number)
        case TransportWideFeedback():
            add(mediassrc=packet.media_ssrc)
            add(rtpfb__transportcc__baseseq=packet.base_sequence_number)
            add(rtpfb__transportcc__statuscount=packet.status_count)
            add(rtpfb__transportcc__reftime=packet.reference_time)
            add(rtpfb__transportcc__pktcount=packet.feedback_count)
            for _, delta in packet.received:
                add(rtpfb__transportcc__recv_delta=delta & (0xFF if 0 <= delta <= 255 else 0xFFFF))
        case PictureLossIndication():
            add(mediassrc=packet.media_ssrc)
        case FullIntraRequest():
            add(mediassrc=0)
            for entry in packet.entries:
                add(psfb__fir__fci__ssrc=entry.ssrc, psfb__fir__fci__csn=entry.command_number)
        case Remb():
            exponent = max(0, packet.bitrate.bit_length() - 18)
            add(mediassrc=0)
            add(psfb__remb__fci__br_exp=exponent, psfb__remb__fci__br_mantissa=packet.bitrate >> exponent)
            for ssrc in packet.ssrcs:
                add(psfb__remb__fci__ssrc=ssrc)
        case Goodbye():
            add(sdes__text=packet.reason.decode())  # tshark's name for that
        case Application():
            add(app__subtype=packet.subtype, app__name=packet.name.decode())
    if isinstance(packet, SenderReport | ReceiverReport):
        for report in packet.reports:
            add(ssrc__fraction=report.fraction_lost, ssrc__cum_nr=report.cumulative_lost)
            add(ssrc__ext_high=report.highest_sequence, ssrc__jitter=report.jitter)
            add(ssrc__lsr=report.last_sender_report, ssrc__dlsr=report.delay_since_last_sender_report)
