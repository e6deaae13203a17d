import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.dtls.record import DTLS_1_2, MAX_FRAGMENT, ContentType, Record, parse_record
from sfu.errors import BadPacket

RECORD = Record(ContentType.HANDSHAKE, DTLS_1_2, 1 << 48 | 5, b"fragment")
RAW = bytes.fromhex("16 fefd 0001 000000000005 0008") + b"fragment"


def test_whole() -> None:
    assert RECORD.serialize() == RAW
    assert parse_record(RAW) == (RECORD, len(RAW))
    assert (RECORD.epoch, RECORD.sequence_number) == (1, 5)


@pytest.mark.parametrize("size", range(len(RAW)))
def test_cut(size: int) -> None:
    with pytest.raises(BadPacket) as caught:
        parse_record(RAW[:size])
    assert caught.value.reason == "dtls-record-truncated"


def test_bytes_after_the_record_are_left() -> None:
    assert parse_record(RAW + RAW + b"x") == (RECORD, len(RAW))
    assert parse_record(RAW + RAW + b"x", len(RAW)) == (RECORD, 2 * len(RAW))


def test_too_long() -> None:
    header = bytes.fromhex("16 fefd 0000 000000000000") + (MAX_FRAGMENT + 1).to_bytes(2, "big")
    with pytest.raises(BadPacket) as caught:
        parse_record(header + bytes(MAX_FRAGMENT + 1))
    assert caught.value.reason == "dtls-record-length"


@given(
    st.builds(
        Record,
        st.integers(0, 255),
        st.integers(0, 65535),
        st.integers(0, 2**64 - 1),
        st.binary(max_size=100),
    )
)
def test_round_trip(record: Record) -> None:
    raw = record.serialize()
    assert parse_record(raw) == (record, len(raw))
