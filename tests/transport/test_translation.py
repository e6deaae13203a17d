"""Relabelling: payload types and extension ids become the receiver's, what is hop by hop stays behind."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from support.media import OPUS, PUBLISHER_IDS, SUBSCRIBER_IDS, VP8

from sfu.rtp.packet import RtpPacket
from sfu.rtp.srtp import MAX_PLAINTEXT
from sfu.sdp.codecs import Codec
from sfu.transport.translation import HEADER_SIZE, Translation, translation_key


def test_the_key_pairs_what_both_have() -> None:
    theirs = [Codec(100, "vp8", 90000), Codec(98, "VP9", 90000, parameters={"profile-id": "2"})]
    ours = [VP8, Codec(98, "VP9", 90000), Codec(45, "AV1", 90000)]
    payload_types, identifiers = translation_key(ours, PUBLISHER_IDS, theirs, SUBSCRIBER_IDS)
    assert payload_types == ((96, 100),)
    # mid and the transport-wide sequence number are of one hop
    assert identifiers == ((1, 6), (13, 2))


def test_the_first_of_two_equal_codecs_is_taken() -> None:
    theirs = [Codec(100, "VP8", 90000), Codec(102, "VP8", 90000)]
    assert translation_key([VP8], {}, theirs, {})[0] == ((96, 100),)


def test_a_packet_has_the_receivers_payload_type_and_ids() -> None:
    translation = Translation((((96, 100),), ((13, 2),)))
    packet = RtpPacket(96, True, 5, 6, 7, (8,), ((13, b"a"), (4, b"0"), (1, b"b")), b"payload", 3)
    translated = translation.translate(packet)
    assert translated == RtpPacket(100, True, 5, 6, 7, (8,), ((2, b"a"),), b"payload")
    assert translation.translate(RtpPacket(97, False, 1, 2, 3)) is None


@given(
    st.builds(
        RtpPacket,
        payload_type=st.sampled_from([96, 111]),
        marker=st.booleans(),
        sequence_number=st.integers(0, 65535),
        timestamp=st.integers(0, 2**32 - 1),
        ssrc=st.integers(0, 2**32 - 1),
        csrcs=st.lists(st.integers(0, 2**32 - 1), max_size=3).map(tuple),
        extensions=st.lists(
            st.tuples(st.sampled_from([1, 3, 4, 13]), st.binary(min_size=1, max_size=40)), max_size=4
        ).map(tuple),
        payload=st.binary(min_size=1, max_size=100),
    )
)
def test_rendering_is_translating(packet: RtpPacket) -> None:
    translation = Translation((((96, 100), (111, 111)), ((1, 6), (13, 2))))
    translation.render(packet)
    assert translation.rtp is packet
    assert translation.suffix is not None
    slot = bytearray(2000)
    translation.pack_into(slot, 0, translation.first, translation.second, 11, 12, 13, translation.suffix)
    expected = translation.translate(packet)
    assert expected is not None
    expected.sequence_number, expected.timestamp, expected.ssrc = 11, 12, 13
    assert bytes(slot[: translation.size]) == expected.serialize()
    assert translation.size == HEADER_SIZE + len(translation.suffix)


def test_a_packet_that_cannot_be_forwarded_has_no_suffix() -> None:
    translation = Translation((((96, 100),), ()))
    translation.render(RtpPacket(96, False, 1, 2, 3, payload=bytes(MAX_PLAINTEXT - HEADER_SIZE)))
    assert translation.suffix is not None
    for unfit in (
        RtpPacket(96, False, 1, 2, 3, payload=bytes(MAX_PLAINTEXT - HEADER_SIZE + 1)),
        RtpPacket(97, False, 1, 2, 3, payload=b"x"),
    ):
        translation.render(unfit)
        assert translation.rtp is unfit
        assert translation.suffix is None


def red(*payload_types: int) -> bytes:
    headers = b"".join(
        struct.pack(">I", (0x80 | payload_type) << 24 | 960 << 10 | 2) for payload_type in payload_types[:-1]
    )
    return headers + bytes((payload_types[-1],)) + b"ab" * len(payload_types)


def test_red_names_the_receivers_payload_types() -> None:
    translation = Translation((((63, 70), (111, 120)), ()), frozenset({63}))
    packet = RtpPacket(63, False, 1, 2, 3, payload=red(111, 111, 111))
    translated = translation.translate(packet)
    assert translated is not None
    assert (translated.payload_type, translated.payload) == (70, red(120, 120, 120))
    assert translation.translate(RtpPacket(63, False, 1, 2, 3, payload=red(111, 99))) is None
    for cut in range(9):
        assert translation.translate(RtpPacket(63, False, 1, 2, 3, payload=red(111, 111, 111)[:cut])) is None


def test_a_receiver_without_red_gets_the_current_frame() -> None:
    translation = Translation((((111, 111),), ()), frozenset({63}))
    translated = translation.translate(RtpPacket(63, False, 1, 2, 3, payload=red(111, 111) + b"cd"))
    assert translated is not None
    assert (translated.payload_type, translated.payload) == (111, b"abcd")
    assert translation.translate(RtpPacket(63, False, 1, 2, 3, payload=red(111, 99))) is None


def test_red_is_left_alone_where_the_numbers_agree() -> None:
    translation = Translation((((63, 63), (111, 111)), ()), frozenset({63}))
    translated = translation.translate(RtpPacket(63, False, 1, 2, 3, payload=b"whatever"))
    assert translated is not None
    assert translated.payload == b"whatever"
    assert OPUS.payload_type == 111
