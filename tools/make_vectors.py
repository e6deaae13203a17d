"""Make the whole recordings of tests/vectors from complete captures, small enough to be committed.

    python tools/make_vectors.py ../shared/captures

Every packet of every recording stays, with its headers, header extensions, padding and length. Only the end of
a VP8 or VP9 payload becomes zeros: no test decodes a picture, and the payload descriptor and the head of the
frame lie before it. Recordings that come with SRTP keep all bytes. The recorder's notes are cut to what tests
read.
"""

import argparse
import json
import lzma
import struct
from pathlib import Path
from typing import Any, Final

VECTORS: Final = Path(__file__).parents[1] / "tests" / "vectors"
KEPT: Final = 64
"""Bytes of a payload that stay: more than the longest VP9 descriptor and the head of a frame."""
CUT: Final = ("VP8", "VP9")
"""Codecs whose payloads are cut. AV1 and H.264 aggregate units, whose headers may lie anywhere in a payload."""
WITHOUT_NOTES: Final = 96
"""The payload type of VP8 in recordings of which nothing but the packets is known."""
NOTES: Final = ("version", "extmap", "pts", "srtp", "srtp_keymat_hex", "dropped", "rtcp", "ssrcs", "sec")


def cut_packet(data: bytes) -> bytes:
    """Return an RTP packet with the end of its payload as zeros."""
    start = 12 + (data[0] & 15) * 4
    if data[0] & 0x10:
        start += 4 + int.from_bytes(data[start + 2 : start + 4]) * 4
    end = len(data) - (data[-1] if data[0] & 0x20 else 0)
    kept = min(start + KEPT, end)
    return data[:kept] + bytes(end - kept) + data[end:]


def cut_recording(data: bytes, payload_types: set[int]) -> bytes:
    """Return an rtpdump file with the packets of these payload types cut."""
    offset = data.index(b"\n") + 17
    parts = [data[:offset]]
    while offset < len(data):
        length, packet_length = struct.unpack_from(">HH", data, offset)
        packet = data[offset + 8 : offset + length]
        is_rtp = packet_length > 0
        is_cut = is_rtp and packet[1] & 0x7F in payload_types
        parts += [data[offset : offset + 8], cut_packet(packet) if is_cut else packet]
        offset += length
    return b"".join(parts)


def cut_payload_types(notes: dict[str, Any]) -> set[int]:
    """Return the payload types that carry codecs of `CUT`, and those of their retransmissions."""
    if not notes:
        return {WITHOUT_NOTES}
    codecs = {str(number): name.partition("/")[0] for number, name in notes["pts"].items()}
    found = {number for number, name in codecs.items() if name in CUT}
    for line in notes["offer"].splitlines():
        if line.startswith("a=fmtp:") and " apt=" in line:
            number, _, original = line.removeprefix("a=fmtp:").partition(" apt=")
            if original in found:
                found.add(number)
    return {int(number) for number in found}


def write(path: Path, data: bytes) -> int:
    """Write an xz file; return its size."""
    compressed = lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)
    path.write_bytes(compressed)
    return len(compressed)


def main() -> None:
    """Write all recordings, and say how many bytes they take."""
    parser = argparse.ArgumentParser(
        description="Make the whole recordings of tests/vectors from complete captures."
    )
    parser.add_argument("captures", type=Path)
    captures: Path = parser.parse_args().captures
    rtp, srtp = VECTORS / "rtp" / "whole", VECTORS / "srtp" / "whole"
    for folder in (rtp, srtp):
        folder.mkdir(exist_ok=True)
    total = 0
    for path in sorted((captures / "rtp").glob("*.rtpdump")):
        source = path.with_suffix(".json")
        notes = json.loads(source.read_text()) if source.exists() else {}
        chosen = {name: notes[name] for name in NOTES if name in notes}
        if chosen:
            (rtp / source.name).write_text(json.dumps(chosen, indent=1) + "\n")
        is_encrypted_too = "srtp_keymat_hex" in notes
        data = path.read_bytes()
        total += write(
            rtp / f"{path.name}.xz", data if is_encrypted_too else cut_recording(data, cut_payload_types(notes))
        )
    for path in sorted((captures / "srtp").glob("*.pcap")):
        total += write(srtp / f"{path.name}.xz", path.read_bytes())
    print(f"{total} bytes")


if __name__ == "__main__":
    main()
