"""Readers for the recordings of real clients in tests/vectors.

A *trimmed* recording holds a few packets of each kind, a *whole* one every packet. `tools/make_vectors.py`
makes the whole ones from complete captures; it cuts VP8 and VP9 payloads to keep them small. Where the complete
captures are at hand, the same tests read those instead, with every byte that the client sent.
"""

import lzma
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parent.parent
VECTORS = TESTS / "vectors"
CAPTURES = Path(os.environ.get("SFU_CAPTURES") or TESTS.parent.parent / "shared" / "captures")
"""The folder of complete captures. It is not part of the repository and may be absent."""


def whole(kind: str, pattern: str) -> dict[str, Path]:
    """The whole recordings of a `kind` ("rtp" or "srtp") by name."""
    paths = sorted((CAPTURES / kind).glob(pattern)) or sorted((VECTORS / kind / "whole").glob(f"{pattern}.xz"))
    return {name_of(path): path for path in paths}


def name_of(path: Path) -> str:
    """The name of a recording: that of its file without suffixes."""
    return path.name.partition(".")[0]


def read(path: Path) -> bytes:
    """The content of a file, decompressed if its name ends with .xz."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def notes_of(path: Path) -> Path:
    """The file of what is known about a recording beside its packets; it need not exist."""
    return path.with_name(f"{name_of(path)}.json")


def missing_captures() -> str | None:
    """What to tell a person who runs the tests without the complete captures."""
    if CAPTURES.is_dir():
        return None
    return (
        f"No complete captures at {CAPTURES}: tests read the recordings in tests/vectors, whose VP8 and VP9"
        " payloads are cut. SFU_CAPTURES names another folder."
    )


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
