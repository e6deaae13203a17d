"""Transport-wide feedback: chunks, deltas, and reports built from arrivals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import BadPacket
from sfu.rtp.rtcp import TransportWideFeedback, feedback_for, parse_compound

SSRCS = "0000000a 0000000b"


def decode(fci: str) -> TransportWideFeedback:
    return TransportWideFeedback.decode(bytes.fromhex(SSRCS + fci))


def feedback(status_count: int, received: tuple[tuple[int, int], ...]) -> TransportWideFeedback:
    return TransportWideFeedback(10, 11, 5, status_count, 1, 2, received)


def chunks_of(packet: TransportWideFeedback) -> str:
    """The chunks and deltas of an encoded packet as hex, without padding."""
    data = packet.encode()
    end = len(data) - (data[-1] if data[0] & 0x20 else 0)
    return data[20:end].hex()


HEAD = "0005 {:04x} 000001 02"

EXAMPLES = [
    # a run of received packets with small deltas
    (3, ((0, 1), (1, 2), (2, 255)), "2003 01 02 ff"),
    # a run of large ones, negative included
    (2, ((0, -1), (1, 256)), "4002 ffff 0100"),
    # lost packets between others, small deltas only: 14 one-bit symbols
    (4, ((0, 4), (3, 5)), "a400 04 05"),
    # a large delta among them: 7 two-bit symbols
    (4, ((0, 4), (3, 1000)), "d080 04 03e8"),
    # a long loss in one chunk
    (300, ((0, 4), (299, 1000)), "a000 011d 4001 04 03e8"),
    # seven and more of a kind before a large delta: a run covers more than a vector of seven
    (10, (*((i, 1) for i in range(9)), (9, 1000)), "2009 4001 010101010101010101 03e8"),
]


@pytest.mark.parametrize(("status_count", "received", "chunks"), EXAMPLES)
def test_statuses_are_written_in_few_chunks(
    status_count: int, received: tuple[tuple[int, int], ...], chunks: str
) -> None:
    packet = feedback(status_count, received)
    assert chunks_of(packet) == bytes.fromhex(chunks).hex()
    assert decode(HEAD.format(status_count) + chunks) == packet
    assert parse_compound(packet.encode()) == [packet]


def test_all_fields_are_where_the_draft_draws_them() -> None:
    packet = decode("fffe 0002 fffffe ff 2002 0102")
    assert packet == TransportWideFeedback(10, 11, 0xFFFE, 2, -2, 255, ((0, 1), (1, 2)))
    assert packet.encode().hex() == "8fcd0005" + "0000000a0000000bfffe0002fffffeff20020102"


def test_arrivals_accumulate_from_the_reference_time() -> None:
    packet = TransportWideFeedback(10, 11, 0xFFFF, 3, 10, 0, ((0, 4), (2, -8)))
    assert list(packet.arrivals()) == [(0xFFFF, 0.641), (1, 0.639)]


@pytest.mark.parametrize(
    "fci",
    [
        "0005 0001 000001",  # no room for the head
        "0005 0000 000001 02 2001 01 00",  # reports on nothing
        "0005 0001 000001 02",  # no chunk
        "0005 0010 000001 02 a000 01 00",  # 14 statuses of 16
        "0005 0001 000001 02 6001 00 00",  # symbol 3 in a run
        "0005 0001 000001 02 f000 00 00",  # symbol 3 in a vector
        "0005 0002 000001 02 2002 01",  # one delta of two
        "0005 0002 000001 02 4002 0001 00",  # half a delta
        "0005 ffff 000001 02 3fff 3fff 3fff 3fff 3fff",  # many received, nothing behind it
    ],
)
def test_malformed_feedback_is_refused(fci: str) -> None:
    with pytest.raises(BadPacket) as caught:
        decode(fci)
    assert caught.value.reason == "rtcp-twcc"


def test_what_the_last_vector_says_beyond_the_count_is_void() -> None:
    assert decode("0005 0001 000001 02 bfff 07").received == ((0, 7),)
    assert decode("0005 0001 000001 02 d555 07").received == ((0, 7),)
    assert decode("0005 0001 000001 02 3fff 07").received == ((0, 7),)
    assert decode("0005 0001 000001 02 dfff 07").received == ((0, 7),)


def test_large_symbols_may_carry_what_a_small_one_could() -> None:
    assert decode("0005 0001 000001 02 4001 0007").received == ((0, 7),)


def test_thousands_of_losses_in_a_few_bytes_stay_a_few_bytes() -> None:
    packet = decode("0005 ffff 000001 02" + "1fff" * 8 + "0007")
    assert packet.status_count == 0xFFFF
    assert packet.received == ()
    assert decode(packet.encode()[12:].hex()) == packet


@pytest.mark.parametrize(
    "packet",
    [
        feedback(0, ()),
        feedback(0x10000, ()),
        feedback(2, ((2, 0),)),
        feedback(2, ((1, 0), (0, 0))),
        feedback(2, ((1, 0), (1, 0))),
        feedback(1, ((0, 0x8000),)),
        feedback(1, ((0, -0x8001),)),
        TransportWideFeedback(10, 11, 0x10000, 1, 0, 0, ()),
        TransportWideFeedback(10, 11, 0, 1, 1 << 23, 0, ()),
        TransportWideFeedback(10, 11, 0, 1, 0, 256, ()),
        TransportWideFeedback(-1, 11, 0, 1, 0, 0, ()),
    ],
)
def test_fields_that_do_not_fit_are_the_callers_error(packet: TransportWideFeedback) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        packet.encode()
    assert not isinstance(caught.value, BadPacket)


@given(
    st.integers(0, 0xFFFF),
    st.integers(-(2**23), 2**23 - 1),
    st.lists(st.one_of(st.none(), st.integers(0, 255), st.integers(-0x8000, 0x7FFF)), min_size=1, max_size=200),
    st.integers(0, 9000),
)
def test_parse_undoes_serialize(base: int, reference: int, deltas: list[int | None], lost: int) -> None:
    received = tuple((index, delta) for index, delta in enumerate(deltas) if delta is not None)
    packet = TransportWideFeedback(1, 2, base, len(deltas) + lost, reference, 3, received)
    assert parse_compound(packet.encode()) == [packet]


def build(arrivals: list[tuple[int, float]], first: int) -> list[TransportWideFeedback]:
    return feedback_for(arrivals, first=first, sender_ssrc=10, media_ssrc=11, feedback_count=255)


def test_nothing_arrived_means_no_report() -> None:
    assert build([], 3) == []


def test_losses_since_the_last_report_are_reported() -> None:
    (packet,) = build([(102, 1.0), (104, 1.001)], 100)
    assert (packet.base_sequence_number, packet.status_count) == (100, 5)
    assert list(packet.arrivals()) == [(102, 1.0), (104, 1.001)]
    assert packet.feedback_count == 255


def test_a_long_silence_is_not_reported_packet_by_packet() -> None:
    (packet,) = build([(70_000, 1.0)], 100)
    assert (packet.base_sequence_number, packet.status_count) == (70_000 & 0xFFFF, 1)


def test_a_pause_too_long_for_a_delta_starts_another_message() -> None:
    first, second = build([(1, 1.0), (3, 10.0)], 1)
    assert (first.status_count, second.base_sequence_number, second.status_count) == (1, 2, 2)
    assert list(first.arrivals()) + list(second.arrivals()) == [(1, 1.0), (3, 10.0)]
    assert (first.feedback_count, second.feedback_count) == (255, 0)


@given(
    st.integers(0, 2**20),
    st.integers(0, 5),
    st.lists(
        st.tuples(
            st.one_of(st.integers(1, 3), st.integers(1, 3000)),
            st.one_of(st.integers(-50, 1000), st.integers(-40_000, 40_000)),
        ),
        min_size=1,
        max_size=100,
    ),
)
def test_every_arrival_is_reported_once_at_its_time(
    start: int, missing: int, steps: list[tuple[int, int]]
) -> None:
    number, ticks = start + missing, 40_000_000
    arrivals = [(number, ticks / 4000)]
    for gap, delta in steps:
        number += gap
        ticks += delta
        arrivals.append((number, ticks / 4000))
    packets = build(arrivals, start)
    parsed = [parse_compound(packet.encode())[0] for packet in packets]
    assert parsed == packets
    assert [at for packet in packets for at in packet.arrivals()] == [
        (number & 0xFFFF, time) for number, time in arrivals
    ]
    for packet in packets:
        assert len(packet.encode()) <= 1200


def test_a_flood_of_arrivals_becomes_datagram_sized_messages() -> None:
    packets = build([(number, number / 10) for number in range(3000)], 0)
    assert max(len(packet.encode()) for packet in packets) <= 1200
    assert sum(packet.status_count for packet in packets) == 3000
