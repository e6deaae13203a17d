import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.captures import VECTORS, name_of, notes_of, read, rtpdump_records, whole

from sfu.rtp.packet import RtpPacket


@dataclass(frozen=True)
class Capture:
    """One recording, trimmed or whole."""

    name: str
    media: tuple[bytes, ...]
    """RTP datagrams in order of arrival."""
    control: tuple[bytes, ...]
    """RTCP datagrams in order of arrival."""
    about: dict[str, Any]
    """What is known about the recording beside its packets; empty for clients other than browsers."""

    def codec(self, packet: RtpPacket) -> str:
        """The encoding name of the packet's payload type."""
        name: str = self.about["pts"][str(packet.payload_type)]
        return name.partition("/")[0]

    def payloads(self, codec: str) -> Iterator[bytes]:
        """The payloads of this codec, without those of packets of only padding."""
        for data in self.media:
            packet = RtpPacket.parse(data)
            if packet.payload and self.codec(packet).upper() == codec:
                yield packet.payload


@cache
def load(path: Path) -> Capture:
    records = list(rtpdump_records(read(path)))
    about = notes_of(path)
    return Capture(
        name_of(path),
        tuple(record.data for record in records if not record.is_rtcp),
        tuple(record.data for record in records if record.is_rtcp),
        json.loads(about.read_text()) if about.exists() else {},
    )


def recordings(*, described: bool = False, counted: bool = False, name: str = "*") -> list[Any]:
    """Test parameters: the trimmed recordings and the whole ones.

    `described` leaves out those of clients of which nothing more is known than their packets, `counted` also
    the trimmed ones, whose packets the recorder has not counted.
    """
    trimmed = [] if counted else sorted((VECTORS / "rtp").glob(f"{name}.rtpdump"))
    complete = whole("rtp", f"{name}.rtpdump")
    return [pytest.param(path, id=f"trimmed-{path.stem}") for path in trimmed] + [
        pytest.param(path, id=f"whole-{stem}")
        for stem, path in complete.items()
        if notes_of(path).exists() or not (described or counted)
    ]


@pytest.fixture(params=recordings())
def capture(request: pytest.FixtureRequest) -> Capture:
    """Each recording in turn."""
    return load(request.param)


@pytest.fixture(params=recordings(described=True))
def described_capture(request: pytest.FixtureRequest) -> Capture:
    """Each recording of which it is known what extension ids and payload types stand for."""
    return load(request.param)


@pytest.fixture(params=recordings(counted=True))
def counted_capture(request: pytest.FixtureRequest) -> Capture:
    """Each recording whose recorder counted what is in it; another program than this one."""
    return load(request.param)


@pytest.fixture(params=recordings(name="*nack-rtx"))
def repaired_capture(request: pytest.FixtureRequest) -> Capture:
    """Each recording in which lost packets of one VP8 stream came again as RTX."""
    return load(request.param)


@pytest.fixture(scope="session")
def trimmed() -> dict[str, Capture]:
    """The recordings in the repository by name."""
    return {path.stem: load(path) for path in sorted((VECTORS / "rtp").glob("*.rtpdump"))}
