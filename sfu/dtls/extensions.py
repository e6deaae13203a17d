"""Hello extensions: their codes, and encode and decode side by side for those that have content.

The extensions of a hello message are kept as ``{code: content}``. Their order has no meaning (browsers shuffle
them). Unknown codes (GREASE, DTLS 1.3's key shares) are kept unread.
"""

from enum import IntEnum
from typing import NamedTuple

from sfu.dtls.alerts import DecodeError, HandshakeFailure, IllegalParameter
from sfu.dtls.wire import Reader, Writer

Extensions = dict[int, bytes]


class ExtensionType(IntEnum):
    """The extensions that we read."""

    SUPPORTED_GROUPS = 10  # RFC 8422 section 5.1.1
    EC_POINT_FORMATS = 11  # RFC 8422 section 5.1.2
    SIGNATURE_ALGORITHMS = 13  # RFC 5246 section 7.4.1.4.1
    USE_SRTP = 14  # RFC 5764 section 4.1.1
    EXTENDED_MASTER_SECRET = 23  # RFC 7627 section 5.1; empty
    SUPPORTED_VERSIONS = 43  # RFC 8446 section 4.2.1
    RENEGOTIATION_INFO = 0xFF01  # RFC 5746 section 3.2


UNCOMPRESSED = b"\x00"
"""The only point format that is not deprecated (RFC 8422 section 5.1.2)."""


def read_extensions(reader: Reader) -> Extensions:
    """Read the block of extensions at the end of a hello message. The block may be absent."""
    extensions: Extensions = {}
    if not reader:
        return extensions
    with reader.block(2) as block:
        while block:
            code = block.u16()
            content = block.vector(2)
            if code in extensions:
                # RFC 5246 section 7.4.1.4: "There MUST NOT be more than one extension of the same type."
                raise DecodeError(f"extension {code} twice")
            extensions[code] = content
    return extensions


def write_extensions(writer: Writer, extensions: Extensions) -> None:
    """Write the block of extensions; nothing if there are none."""
    if not extensions:
        return
    with writer.block(2):
        for code, content in extensions.items():
            writer.u16(code)
            writer.vector(content, 2)


def decode_u16_list(content: bytes, *, width: int = 2) -> tuple[int, ...]:
    """Decode supported_groups or signature_algorithms (width 2) or supported_versions (width 1)."""
    with Reader(content) as reader:
        numbers = reader.u16_list(width)
    if not numbers:
        raise DecodeError("empty list")
    return numbers


def encode_u16_list(numbers: tuple[int, ...]) -> bytes:
    """Encode supported_groups or signature_algorithms."""
    writer = Writer()
    writer.u16_list(numbers, 2)
    return writer.getvalue()


class UseSrtp(NamedTuple):
    """use_srtp: profiles in the sender's order (exactly one in a ServerHello) and an MKI."""

    profiles: tuple[int, ...]
    mki: bytes = b""

    @classmethod
    def decode(cls, content: bytes) -> "UseSrtp":
        """Decode (RFC 5764 section 4.1.1)."""
        with Reader(content) as reader:
            return cls(reader.u16_list(2), reader.vector(1))

    def encode(self) -> bytes:
        """Encode."""
        writer = Writer()
        writer.u16_list(self.profiles, 2)
        writer.vector(self.mki, 1)
        return writer.getvalue()


def encode_point_formats() -> bytes:
    """Encode ec_point_formats with the uncompressed format."""
    return bytes([len(UNCOMPRESSED)]) + UNCOMPRESSED


def check_point_formats(content: bytes) -> None:
    """Raise `IllegalParameter` if the peer does not support uncompressed points (RFC 8422 section 5.1.2)."""
    with Reader(content) as reader:
        formats = reader.vector(1, minimum=1)
    if UNCOMPRESSED not in formats:
        raise IllegalParameter("no uncompressed points")


EMPTY_RENEGOTIATION_INFO = b"\x00"
"""renegotiation_info in a first handshake: there is no earlier Finished to refer to."""


def check_renegotiation_info(content: bytes) -> None:
    """Raise `HandshakeFailure` unless this is a first handshake's (RFC 5746 sections 3.4 and 3.6)."""
    if content != EMPTY_RENEGOTIATION_INFO:
        raise HandshakeFailure("renegotiation_info in a first handshake")
