"""Readers for the capture formats that tests use, and the place of the complete capture folder."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parent.parent
VECTORS = TESTS / "vectors"


def capture_folder() -> Path | None:
    """The folder of complete captures, which is not part of the repository, or `None` where it is absent.

    The environment variable ``SFU_CAPTURES`` names it; otherwise ``../shared/captures`` beside the checkout.
    """
    named = os.environ.get("SFU_CAPTURES")
    folder = Path(named) if named else TESTS.parent.parent / "shared" / "captures"
    return folder if folder.is_dir() else None


def pcap_udp_payloads(data: bytes) -> Iterator[bytes]:
    """UDP payloads of a little-endian pcap file of linktype RAW with IPv4 packets, in file order."""
    magic, _, _, _, _, _, linktype = struct.unpack_from("<IHHiIII", data)
    assert (magic, linktype) == (0xA1B2C3D4, 101)
    offset = 24
    while offset < len(data):
        captured = struct.unpack_from("<8xI4x", data, offset)[0]
        packet = data[offset + 16 : offset + 16 + captured]
        yield packet[(packet[0] & 15) * 4 + 8 :]
        offset += 16 + captured


class Record(NamedTuple):
    """One packet of an rtpdump file."""

    at: float
    """Seconds since the recording began."""
    is_rtcp: bool
    data: bytes


def rtpdump_records(data: bytes) -> Iterator[Record]:
    """Packets of an "rtpplay1.0" file: a text line, a 16-byte header, then records."""
    offset = data.index(b"\n") + 17
    while offset < len(data):
        length, packet_length, milliseconds = struct.unpack_from(">HHI", data, offset)
        yield Record(milliseconds / 1000, packet_length == 0, data[offset + 8 : offset + length])
        offset += length
