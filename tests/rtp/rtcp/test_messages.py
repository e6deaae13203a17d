"""Each RTCP message: its bytes, what is refused, what cannot be written."""

from contextlib import suppress
from typing import Any

import pytest

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
    SdesItem,
    SenderReport,
    SourceDescription,
    UnknownRtcp,
    parse_compound,
    serialize_compound,
)

BLOCK = ReportBlock(
    ssrc=0x11111111,
    fraction_lost=0x80,
    cumulative_lost=-2,
    highest_sequence=0x00010002,
    jitter=3,
    last_sender_report=0x44444444,
    delay_since_last_sender_report=0x10000,
)
BLOCK_HEX = "11111111 80fffffe 00010002 00000003 44444444 00010000"
SENDER_HEX = "0000000a e000000080000000 00015f90 00000064 00002710"

EXAMPLES: list[tuple[str, RtcpPacket]] = [
    ("80c80006" + SENDER_HEX, SenderReport(10, 0xE0000000_80000000, 90000, 100, 10000)),
    (
        "81c8000d" + SENDER_HEX + BLOCK_HEX + "abcdef01",
        SenderReport(10, 0xE0000000_80000000, 90000, 100, 10000, (BLOCK,), bytes.fromhex("abcdef01")),
    ),
    ("80c90001 0000000a", ReceiverReport(10)),
    ("82c9000d 0000000a" + BLOCK_HEX * 2, ReceiverReport(10, (BLOCK, BLOCK))),
    ("80c90002 0000000a deadbeef", ReceiverReport(10, (), bytes.fromhex("deadbeef"))),
    ("80ca0000", SourceDescription(())),
    ("81ca0002 0000000a 00000000", SourceDescription((SdesChunk(10, ()),))),
    ("81ca0002 0000000a 01016100", SourceDescription((SdesChunk(10, ((1, b"a"),)),))),
    ("81ca0003 0000000a 01026162 00000000", SourceDescription((SdesChunk(10, ((1, b"ab"),)),))),
    (
        "82ca0005 0000000a 01016106 00000000 0000000b 0f013000",
        SourceDescription((SdesChunk(10, ((1, b"a"), (6, b""))), SdesChunk(11, ((SdesItem.MID, b"0"),)))),
    ),
    ("81cb0001 0000000a", Goodbye((10,))),
    ("82cb0004 0000000a 0000000b 04627965 21000000", Goodbye((10, 11), b"bye!")),
    ("80cb0000", Goodbye(())),
    ("80cb0001 03627965", Goodbye((), b"bye")),
    ("85cc0003 0000000a 6e616d65 00000001", Application(5, 10, b"name", b"\0\0\0\1")),
    (
        "80cf0004 0000000a 04000002 0000000000000001",
        ExtendedReport(10, bytes.fromhex("040000020000000000000001")),
    ),
    ("81ce0002 0000000a 0000000b", PictureLossIndication(10, 11)),
    (
        "84ce0006 0000000a 00000000 0000000b 07000000 0000000c ff000000",
        FullIntraRequest(10, (FirEntry(11, 7), FirEntry(12, 255))),
    ),
    ("81cd0003 0000000a 0000000b 00050000", GenericNack(10, 11, (5,))),
    ("81cd0004 0000000a 0000000b ffff8003 00200000", GenericNack(10, 11, (0xFFFF, 0, 1, 15, 32))),
    ("8fce0005 0000000a 00000000 52454d42 010bd090 0000000b", Remb(10, 0x3D090 << 2, (11,))),
    ("8fce0004 0000000a 00000000 52454d42 00ffffff", Remb(10, 0x3FFFF << 63, ())),
    ("8fce0003 0000000a 00000000 54455354", UnknownRtcp(206, 15, bytes.fromhex("0000000a0000000054455354"))),
    ("83cd0003 0000000a 0000000b 00000000", UnknownRtcp(205, 3, bytes.fromhex("0000000a0000000b00000000"))),
    ("80c00000", UnknownRtcp(192, 0, b"")),
]


@pytest.mark.parametrize(("data", "packet"), EXAMPLES)
def test_meaning_of_the_bytes(data: str, packet: RtcpPacket) -> None:
    assert parse_compound(bytes.fromhex(data)) == [packet]
    assert serialize_compound([packet]) == bytes.fromhex(data)


@pytest.mark.parametrize(("data", "packet"), EXAMPLES)
def test_a_message_cut_anywhere_is_refused_or_another(data: str, packet: RtcpPacket) -> None:
    whole = bytes.fromhex(data)
    for end in range(len(whole)):
        with pytest.raises(BadPacket):
            parse_compound(whole[:end])
    for words in range(len(whole) // 4 - 1):
        shorter = whole[:2] + words.to_bytes(2) + whole[4 : 4 + 4 * words]
        with suppress(BadPacket):
            assert parse_compound(shorter) != [packet]


@pytest.mark.parametrize(("data", "packet"), EXAMPLES)
def test_bytes_after_a_message_are_another_message_or_refused(data: str, packet: RtcpPacket) -> None:
    whole = bytes.fromhex(data)
    assert parse_compound(whole + bytes.fromhex("80c90001 00000001")) == [packet, ReceiverReport(1)]
    with pytest.raises(BadPacket):
        parse_compound(whole + b"\0\0\0\0")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("81c80006" + SENDER_HEX, "rtcp-sr"),
        ("81c90001 0000000a", "rtcp-rr"),
        ("80c90000", "rtcp-rr"),
        ("81ca0001 0000000a", "rtcp-sdes"),
        ("80ca0001 00000000", "rtcp-sdes"),
        ("81ca0002 0000000a 01026162", "rtcp-sdes"),  # no zero ends the chunk
        ("81ca0002 0000000a 01ff6162", "rtcp-sdes"),
        ("81ca0003 0000000a 01046162 63640100", "rtcp-sdes"),
        ("82ca0002 0000000a 01016100", "rtcp-sdes"),
        ("a1ca0003 0000000a 01026162 01020003", "rtcp-sdes"),
        ("82cb0001 0000000a", "rtcp-bye"),
        ("80cb0001 04627965", "rtcp-bye"),
        ("80cc0001 0000000a", "rtcp-app"),
        ("80cf0000", "rtcp-xr"),
        ("81ce0001 0000000a", "rtcp-pli"),
        ("81ce0003 0000000a 0000000b 00000000", "rtcp-pli"),
        ("84ce0002 0000000a 00000000", "rtcp-fir"),
        ("84ce0003 0000000a 00000000 0000000b", "rtcp-fir"),
        ("81cd0002 0000000a 0000000b", "rtcp-nack"),
        ("a1cd0003 0000000a 0000000b 00050001", "rtcp-nack"),
        ("81cd0001 0000000a", "rtcp-nack"),
        ("8fce0003 0000000a 00000000 52454d42", "rtcp-remb"),
        ("8fce0004 0000000a 00000000 52454d42 010bd090", "rtcp-remb"),
        ("8fce0005 0000000a 00000000 52454d42 000bd090 0000000b", "rtcp-remb"),
    ],
)
def test_malformed_messages_are_refused(data: str, reason: str) -> None:
    with pytest.raises(BadPacket) as caught:
        parse_compound(bytes.fromhex(data))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "packet",
    [
        SenderReport(-1, 0, 0, 0, 0),
        SenderReport(0, 1 << 64, 0, 0, 0),
        SenderReport(0, 0, 0, 0, 0, (BLOCK,) * 32),
        ReceiverReport(1 << 32),
        ReceiverReport(0, (ReportBlock(0, 256, 0, 0, 0, 0, 0),)),
        ReceiverReport(0, (ReportBlock(0, 0, 1 << 23, 0, 0, 0, 0),)),
        ReceiverReport(0, (ReportBlock(1 << 32, 0, 0, 0, 0, 0, 0),)),
        SourceDescription((SdesChunk(1 << 32, ()),)),
        SourceDescription((SdesChunk(0, ((0, b""),)),)),
        SourceDescription((SdesChunk(0, ((256, b""),)),)),
        SourceDescription((SdesChunk(0, ((1, bytes(256)),)),)),
        SourceDescription((SdesChunk(0, ()),) * 32),
        Goodbye((1 << 32,)),
        Goodbye((), bytes(256)),
        Goodbye((0,) * 32),
        Application(32, 0, b"name"),
        Application(0, 0, b"long name"),
        Application(0, -1, b"name"),
        ExtendedReport(-1),
        PictureLossIndication(-1, 0),
        FullIntraRequest(0, ()),
        FullIntraRequest(0, (FirEntry(0, 256),)),
        GenericNack(0, 0, ()),
        GenericNack(0, 0, (0x10000,)),
        Remb(0, -1, ()),
        Remb(0, 1 << 81, ()),
        Remb(0, 0, (0,) * 256),
        Remb(0, 0, (1 << 32,)),
        UnknownRtcp(256, 0, b""),
        UnknownRtcp(0, 32, b""),
    ],
)
def test_fields_that_do_not_fit_are_the_callers_error(packet: Any) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        packet.encode()
    assert not isinstance(caught.value, BadPacket)


def test_what_a_receiver_must_ignore_is_ignored() -> None:
    fir = bytes.fromhex("84ce0004 0000000a 99999999 0000000b 07abcdef")
    assert parse_compound(fir) == [FullIntraRequest(10, (FirEntry(11, 7),))]
    remb = bytes.fromhex("8fce0004 0000000a 99999999 52454d42 000bd090")
    assert parse_compound(remb) == [Remb(10, 0x3D090 << 2, ())]


def test_a_goodbye_may_have_bytes_after_its_reason() -> None:
    assert parse_compound(bytes.fromhex("80cb0002 01610000 00000000")) == [Goodbye((), b"a")]


def test_the_sign_of_cumulative_loss_survives() -> None:
    for lost in (-(2**23), -1, 0, 2**23 - 1):
        block = ReportBlock(0, 0, lost, 0, 0, 0, 0)
        assert ReportBlock.decode(block.encode(), 0) == block


def test_a_bitrate_is_rounded_down_to_18_bits() -> None:
    (remb,) = parse_compound(Remb(0, 1_234_567, ()).encode())
    assert isinstance(remb, Remb)
    assert 0 <= 1_234_567 - remb.bitrate < 1_234_567 / 2**17


def test_nacks_keep_their_order() -> None:
    nack = GenericNack(1, 2, (100, 40, 42, 41, 39, 39, 100))
    assert parse_compound(nack.encode()) == [nack]


def test_the_cname_is_found() -> None:
    description = SourceDescription.of_cname(7, "who")
    assert description.chunks[0].item(SdesItem.CNAME) == b"who"
    assert description.chunks[0].item(SdesItem.NAME) is None
    assert parse_compound(description.encode()) == [description]
