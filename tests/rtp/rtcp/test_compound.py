"""Whole RTCP datagrams: several packets, reduced size, any bytes, recorded ones."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.rtp.rtcp import (
    Application,
    ExtendedReport,
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
    UnknownRtcp,
    parse_compound,
    serialize_compound,
)
from sfu.rtp.rtcp.header import join

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFF_FFFF)
near = st.one_of(u16, st.integers(0xFFF0, 0xFFFF), st.integers(0, 20))
"""Sequence numbers, often close to each other around the wrap."""
ssrcs = st.lists(u32, max_size=4).map(tuple)
blocks = st.builds(ReportBlock, u32, u8, st.integers(-(2**23), 2**23 - 1), u32, u32, u32, u32)
reports = st.lists(blocks, max_size=3).map(tuple)
chunks = st.builds(
    SdesChunk, u32, st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=20)), max_size=3).map(tuple)
)


messages: st.SearchStrategy[RtcpPacket] = st.one_of(
    st.builds(SenderReport, u32, st.integers(0, 2**64 - 1), u32, u32, u32, reports, st.binary(max_size=9)),
    st.builds(ReceiverReport, u32, reports, st.binary(max_size=9)),
    st.builds(SourceDescription, st.lists(chunks, max_size=3).map(tuple)),
    st.builds(Goodbye, ssrcs, st.binary(max_size=20)),
    st.builds(Application, st.integers(0, 31), u32, st.binary(min_size=4, max_size=4), st.binary(max_size=9)),
    st.builds(ExtendedReport, u32, st.binary(max_size=9)),
    st.builds(PictureLossIndication, u32, u32),
    st.builds(FullIntraRequest, u32, st.lists(st.builds(FirEntry, u32, u8), min_size=1, max_size=3).map(tuple)),
    st.builds(GenericNack, u32, u32, st.lists(near, min_size=1, max_size=12).map(tuple)),
    st.builds(Remb, u32, st.builds(int.__lshift__, st.integers(0, 2**18 - 1), st.integers(0, 63)), ssrcs),
    st.builds(UnknownRtcp, st.integers(208, 255), st.integers(0, 31), st.binary(max_size=9)),
)


@given(st.lists(messages, min_size=1, max_size=5))
def test_parse_undoes_serialize(packets: list[RtcpPacket]) -> None:
    assert parse_compound(serialize_compound(packets)) == packets


@given(
    st.one_of(
        st.binary(max_size=100),
        st.builds(join, st.integers(200, 208), st.integers(0, 31), st.binary(max_size=80)),
    )
)
def test_any_bytes_parse_to_something_that_comes_back_or_are_refused(data: bytes) -> None:
    try:
        packets = parse_compound(data)
    except BadPacket:
        return
    assert parse_compound(serialize_compound(packets)) == packets


def test_a_compound_keeps_its_order() -> None:
    packets: list[RtcpPacket] = [
        ReceiverReport(1),
        SourceDescription.of_cname(1, "name"),
        PictureLossIndication(1, 2),
        PictureLossIndication(1, 3),
    ]
    assert parse_compound(serialize_compound(packets)) == packets


def test_reduced_size_needs_no_report() -> None:
    assert parse_compound(PictureLossIndication(1, 2).encode()) == [PictureLossIndication(1, 2)]


def test_one_malformed_packet_refuses_the_datagram() -> None:
    with pytest.raises(BadPacket):
        parse_compound(PictureLossIndication(1, 2).encode() + bytes.fromhex("81c90001 00000001"))


def test_recorded_datagrams_come_back_byte_for_byte(capture: Any) -> None:
    for data in capture.control:
        assert serialize_compound(parse_compound(data)) == data


def test_recorded_datagrams_cut_anywhere_are_refused_or_shorter(capture: Any) -> None:
    for data in capture.control[:10]:
        whole = parse_compound(data)
        for end in range(len(data)):
            try:
                packets = parse_compound(data[:end])
            except BadPacket:
                continue
            assert packets == whole[: len(packets)]
            assert len(packets) < len(whole)


SLUGS = {
    SenderReport: "SR",
    ReceiverReport: "RR",
    SourceDescription: "SDES",
    Goodbye: "BYE",
    GenericNack: "NACK",
    PictureLossIndication: "PLI",
    Remb: "AFB/REMB",
    TransportWideFeedback: "TWCC",
}


def test_recorded_datagrams_hold_what_their_recorder_counted(counted_capture: Any) -> None:
    control = counted_capture.control
    counts = Counter(SLUGS[type(packet)] for data in control for packet in parse_compound(data))
    assert counts == Counter(counted_capture.about["rtcp"])
