"""Print the RTP streams in an rtpdump file: python examples/streams.py FILE."""

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from struct import unpack_from

from sfu.errors import BadPacket
from sfu.rtp import RtpPacket, is_rtcp


@dataclass
class Stream:
    """What was seen of one SSRC."""

    packets: int = 0
    payload_bytes: int = 0
    payload_types: set[int] = field(default_factory=set)


def datagrams(recording: bytes) -> Iterator[bytes]:
    """Yield the datagrams: after a line of text and a header of 16 bytes, each has a header of 8 bytes."""
    offset = recording.index(b"\n") + 17
    while offset < len(recording):
        (length,) = unpack_from(">H", recording, offset)
        yield recording[offset + 8 : offset + length]
        offset += length


def main(file: str) -> None:
    """Count packets and bytes of each stream."""
    streams: dict[int, Stream] = defaultdict(Stream)
    for data in datagrams(Path(file).read_bytes()):
        if is_rtcp(data):
            continue
        try:
            packet = RtpPacket.parse(data)
        except BadPacket as error:
            print("not RTP:", error.reason)
            continue
        stream = streams[packet.ssrc]
        stream.packets += 1
        stream.payload_bytes += len(packet.payload)
        stream.payload_types.add(packet.payload_type)
    for ssrc, stream in streams.items():
        types = sorted(stream.payload_types)
        print(f"SSRC {ssrc}: {stream.packets} packets, {stream.payload_bytes} bytes, payload types {types}")


if __name__ == "__main__":
    main(*sys.argv[1:])
