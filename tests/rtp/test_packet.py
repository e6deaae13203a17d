"""RTP packets: layout, refusals, and that parsing and serializing undo each other."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.rtp.packet import RtpPacket, is_rtcp

FULL = RtpPacket(
    payload_type=96,
    marker=True,
    sequence_number=0x1234,
    timestamp=0xDEADBEEF,
    ssrc=0xCAFEBABE,
    csrcs=(1, 0xFFFFFFFF),
    extensions=((3, b"\xab\xcd"), (1, b"mid")),
    payload=b"payload",
    padding_size=4,
)
FULL_BYTES = bytes.fromhex(
    "b2e01234deadbeefcafebabe00000001ffffffff"  # V=2 P X CC=2, M PT=96 …, two CSRCs
    "bede0002 31abcd 12 6d6964 00"  # one-byte form, 8 bytes: id 3 of 2, id 1 of 3, one of padding
    "7061796c6f6164 00000004"
)


def packets() -> st.SearchStrategy[RtpPacket]:
    elements = st.one_of(
        st.tuples(st.integers(1, 14), st.binary(min_size=1, max_size=16)),
        st.tuples(st.integers(1, 255), st.binary(max_size=255)),
    )
    return st.builds(
        RtpPacket,
        payload_type=st.integers(0, 127),
        marker=st.booleans(),
        sequence_number=st.integers(0, 0xFFFF),
        timestamp=st.integers(0, 0xFFFFFFFF),
        ssrc=st.integers(0, 0xFFFFFFFF),
        csrcs=st.lists(st.integers(0, 0xFFFFFFFF), max_size=15).map(tuple),
        extensions=st.lists(elements, max_size=5).map(tuple),
        payload=st.binary(max_size=64),
        padding_size=st.integers(0, 255),
    )


def test_parse_takes_every_field() -> None:
    assert RtpPacket.parse(FULL_BYTES) == FULL


def test_serialize_writes_every_field() -> None:
    assert FULL.serialize() == FULL_BYTES


def test_the_smallest_packet_is_a_bare_header() -> None:
    packet = RtpPacket.parse(bytes.fromhex("8000000100000002") + b"SSRC")
    assert packet == RtpPacket(0, False, 1, 2, int.from_bytes(b"SSRC"))
    assert packet.serialize() == bytes.fromhex("8000000100000002") + b"SSRC"


@given(packets())
def test_parse_undoes_serialize(packet: RtpPacket) -> None:
    assert RtpPacket.parse(packet.serialize()) == packet


@given(st.binary(min_size=12, max_size=80))
def test_what_parses_serializes_to_the_same_meaning(data: bytes) -> None:
    data = bytes((data[0] & 0x3F | 0x80,)) + data[1:]
    try:
        packet = RtpPacket.parse(data)
    except BadPacket:
        return
    assert RtpPacket.parse(packet.serialize()) == packet


def test_a_packet_cut_anywhere_in_its_header_is_refused() -> None:
    header_size = len(FULL_BYTES) - len(b"payload") - 4
    unpadded = bytes((FULL_BYTES[0] & ~0x20,)) + FULL_BYTES[1:]
    for end in range(header_size):
        with pytest.raises(BadPacket) as caught:
            RtpPacket.parse(unpadded[:end])
        assert caught.value.reason == "rtp-truncated"
    for end in range(header_size, len(unpadded) + 1):
        assert RtpPacket.parse(unpadded[:end]).payload == unpadded[header_size:end]


def test_bytes_after_an_unpadded_packet_are_payload() -> None:
    assert RtpPacket.parse(bytes(12).replace(b"\0", b"\x80", 1) + b"more").payload == b"more"


@pytest.mark.parametrize("version", [0, 1, 3])
def test_other_versions_are_refused(version: int) -> None:
    with pytest.raises(BadPacket, match="version") as caught:
        RtpPacket.parse(bytes((version << 6,)) + bytes(11))
    assert caught.value.reason == "rtp-version"


@pytest.mark.parametrize(
    ("tail", "payload", "padding_size"),
    [
        (b"\x01", b"", 1),
        (b"x\x00\x00\x03", b"x", 3),
        (bytes(254) + b"\xff", b"", 255),
        (b"\x07\x01", b"\x07", 1),
    ],
)
def test_padding_is_taken_off(tail: bytes, payload: bytes, padding_size: int) -> None:
    packet = RtpPacket.parse(b"\xa0" + bytes(11) + tail)
    assert (packet.payload, packet.padding_size) == (payload, padding_size)
    assert RtpPacket.parse(packet.serialize()) == packet


@pytest.mark.parametrize("tail", [b"\x00", b"abc\x05", b"\x02"])
def test_padding_of_no_bytes_or_beyond_the_payload_is_refused(tail: bytes) -> None:
    with pytest.raises(BadPacket) as caught:
        RtpPacket.parse(b"\xa0" + bytes(11) + tail)
    assert caught.value.reason == "rtp-padding"


def test_padding_never_reaches_into_the_header() -> None:
    with pytest.raises(BadPacket) as caught:
        RtpPacket.parse(b"\xa0" + bytes(10) + b"\x01")
    assert caught.value.reason == "rtp-padding"


def test_a_header_extension_of_another_profile_is_kept_as_it_is() -> None:
    data = b"\x90" + bytes(11) + bytes.fromhex("abac0001 01020304") + b"payload"
    packet = RtpPacket.parse(data)
    assert packet.opaque_extension == (0xABAC, bytes.fromhex("01020304"))
    assert packet.extensions == ()
    assert packet.payload == b"payload"
    assert packet.serialize() == data


def test_an_empty_extension_block_means_nothing() -> None:
    packet = RtpPacket.parse(b"\x90" + bytes(11) + bytes.fromhex("bede0000"))
    assert packet.extensions == ()
    assert packet.serialize() == b"\x80" + bytes(11)


@pytest.mark.parametrize(
    "block",
    [
        "bede0002 00 10aa 00 20bb 0000",  # padding between elements
        "bede0002 10aa f0 112233 00 00",  # id 15 ends the elements
        "10050002 01 01 aa 02 02 bbcc 00",  # the two-byte form, with application bits
    ],
)
def test_an_extension_block_goes_out_as_it_came_until_it_is_changed(block: str) -> None:
    data = b"\x90" + bytes(11) + bytes.fromhex(block) + b"payload"
    packet = RtpPacket.parse(data)
    assert packet.serialize() == data
    packet.extensions = ((1, b"\xaa"), (3, b"\xbb"))
    assert packet.serialize() == b"\x90" + bytes(11) + bytes.fromhex("bede0001 10aa30bb") + b"payload"
    packet.extensions = ()
    assert packet.serialize() == b"\x80" + bytes(11) + b"payload"


def test_an_extension_behind_csrcs_may_end_with_the_packet() -> None:
    data = b"\x91" + bytes(11) + bytes.fromhex("00000007 bede0001 10aa0000")
    packet = RtpPacket.parse(data)
    assert (packet.csrcs, packet.extensions, packet.payload) == ((7,), ((1, b"\xaa"),), b"")
    for cut in range(12, len(data)):
        with pytest.raises(BadPacket):
            RtpPacket.parse(data[:cut])


def test_extensions_are_found_by_id() -> None:
    packet = RtpPacket(0, False, 0, 0, 0, extensions=((5, b"first"), (2, b"other"), (5, b"second")))
    assert packet.extension(5) == b"first"
    assert packet.extension(2) == b"other"
    assert packet.extension(1) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"payload_type": 128},
        {"payload_type": -1},
        {"sequence_number": 0x10000},
        {"timestamp": -1},
        {"ssrc": 1 << 32},
        {"csrcs": (0,) * 16},
        {"csrcs": (1 << 32,)},
        {"padding_size": 256},
        {"padding_size": -1},
        {"extensions": ((0, b"x"),)},
        {"extensions": ((256, b"x"),)},
        {"extensions": ((1, bytes(256)),)},
        {"extensions": ((1, bytes(255)),) * 1021},
        {"opaque_extension": (0x1234, b"abc")},
        {"opaque_extension": (0x1234, bytes(4 * 0x10000))},
        {"opaque_extension": (0xBEDE, b"\x10a\0\0")},
        {"opaque_extension": (0x1003, b"\1\1a\0")},
        {"opaque_extension": (0x1234, b"abcd"), "extensions": ((1, b"x"),)},
    ],
)
def test_fields_that_do_not_fit_are_the_callers_error(fields: dict[str, Any]) -> None:
    values: dict[str, Any] = {
        "payload_type": 0,
        "marker": False,
        "sequence_number": 0,
        "timestamp": 0,
        "ssrc": 0,
    }
    with pytest.raises(ValueError, match=r".") as caught:
        RtpPacket(**values | fields).serialize()
    assert not isinstance(caught.value, BadPacket)


def test_rtcp_is_told_from_rtp_by_its_packet_type() -> None:
    for second in range(256):
        assert is_rtcp(bytes((0x80, second))) == (192 <= second <= 223)
    assert not is_rtcp(b"\x80")
    assert not is_rtcp(b"")


def test_recorded_packets_come_back_byte_for_byte(capture: Any) -> None:
    for data in capture.media:
        assert not is_rtcp(data)
        assert RtpPacket.parse(data).serialize() == data
    for data in capture.control:
        assert is_rtcp(data)


def test_recorded_packets_hold_what_their_recorder_counted(counted_capture: Any) -> None:
    counted: dict[int, Counter[str]] = {}
    for data in counted_capture.media:
        packet = RtpPacket.parse(data)
        counts = counted.setdefault(packet.ssrc, Counter())
        counts["n"] += 1
        counts["bytes"] += len(data)
        counts["marker"] += packet.marker
        counts["pad"] += packet.padding_size > 0
        for identifier, _ in packet.extensions:
            counts[counted_capture.about["extmap"][str(identifier)].rpartition("/")[2].rpartition(":")[2]] += 1
    expected = {
        int(ssrc): Counter({"n": of["n"], "bytes": of["bytes"], "marker": of["marker"], "pad": of["pad"]})
        + Counter(of["ext"])
        for ssrc, of in counted_capture.about["ssrcs"].items()
    }
    assert {ssrc: +counts for ssrc, counts in counted.items()} == expected
