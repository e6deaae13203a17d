import pytest

from sfu.dtls.alerts import DecodeError, HandshakeFailure, IllegalParameter
from sfu.dtls.extensions import (
    EMPTY_RENEGOTIATION_INFO,
    UseSrtp,
    check_point_formats,
    check_renegotiation_info,
    decode_u16_list,
    encode_point_formats,
    encode_u16_list,
    read_extensions,
    write_extensions,
)
from sfu.dtls.wire import Reader, Writer


def test_a_block_of_extensions() -> None:
    writer = Writer()
    write_extensions(writer, {14: b"abc", 23: b""})
    raw = writer.getvalue()
    assert raw.hex() == "000b000e000361626300170000"
    assert read_extensions(Reader(raw)) == {14: b"abc", 23: b""}


def test_no_extensions_are_no_bytes() -> None:
    writer = Writer()
    write_extensions(writer, {})
    assert writer.getvalue() == b""
    assert read_extensions(Reader(b"")) == {}


def test_an_extension_twice() -> None:
    with pytest.raises(DecodeError, match="twice"):
        read_extensions(Reader(bytes.fromhex("0008 00170000 00170000")))


def test_lists() -> None:
    assert encode_u16_list((29, 23)).hex() == "0004001d0017"
    assert decode_u16_list(bytes.fromhex("0004001d0017")) == (29, 23)
    assert decode_u16_list(bytes.fromhex("04fefcfefd"), width=1) == (0xFEFC, 0xFEFD)
    with pytest.raises(DecodeError, match="empty"):
        decode_u16_list(b"\0\0")


def test_use_srtp() -> None:
    raw = bytes.fromhex("0004 0007 0001 02 6d6b")
    assert UseSrtp.decode(raw) == UseSrtp((7, 1), b"mk")
    assert UseSrtp((7, 1), b"mk").encode() == raw
    with pytest.raises(DecodeError):
        UseSrtp.decode(raw + b"x")


def test_point_formats() -> None:
    check_point_formats(encode_point_formats())
    check_point_formats(b"\3\0\1\2")
    with pytest.raises(IllegalParameter):
        check_point_formats(b"\1\1")
    with pytest.raises(DecodeError):
        check_point_formats(b"\0")


def test_renegotiation_info() -> None:
    check_renegotiation_info(EMPTY_RENEGOTIATION_INFO)
    with pytest.raises(HandshakeFailure):
        check_renegotiation_info(b"\1x")
