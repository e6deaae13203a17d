import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.dtls.alerts import DecodeError
from sfu.dtls.wire import Reader, Writer


def test_numbers_and_blocks() -> None:
    writer = Writer()
    writer.u8(1)
    writer.u16(0x0203)
    writer.uint(0x040506, 3)
    with writer.block(2):
        writer.vector(b"abc", 1)
        writer.u16_list((7, 8), 2)
    writer.put(b"end")
    data = writer.getvalue()
    assert data.hex() == "010203040506000a03616263000400070008656e64"
    with Reader(data) as reader:
        assert (reader.u8(), reader.u16(), reader.uint(3)) == (1, 0x0203, 0x040506)
        with reader.block(2) as block:
            assert block.vector(1) == b"abc"
            assert block.u16_list(2) == (7, 8)
        assert reader
        assert reader.take(3) == b"end"
        assert not reader


def test_a_block_must_be_used_up() -> None:
    with pytest.raises(DecodeError, match="1 bytes after the end"), Reader(b"\2ab").block(1) as block:
        block.u8()


def test_an_error_inside_a_block_is_kept() -> None:
    with pytest.raises(KeyError), Reader(b"left over"):
        raise KeyError


@pytest.mark.parametrize("data", [b"", b"\1", b"\0\5abcd"])
def test_a_vector_cut_short(data: bytes) -> None:
    with pytest.raises(DecodeError):
        Reader(data).vector(2)


def test_a_block_does_not_read_past_its_end() -> None:
    block = Reader(b"\1abc").block(1)
    block.u8()
    with pytest.raises(DecodeError):
        block.u8()


def test_a_list_of_odd_length() -> None:
    with pytest.raises(DecodeError):
        Reader(b"\3abc").u16_list(1)


def test_a_vector_below_its_minimum() -> None:
    with pytest.raises(DecodeError, match="at least 1"):
        Reader(b"\0").vector(1, minimum=1)


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_vectors_round_trip(vectors: list[bytes]) -> None:
    writer = Writer()
    with writer.block(3):
        for vector in vectors:
            writer.vector(vector, 2)
    found = []
    with Reader(writer.getvalue()) as reader, reader.block(3) as block:
        while block:
            found.append(block.vector(2))
    assert found == vectors
