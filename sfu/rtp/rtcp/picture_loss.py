"""Picture loss indication: "send a key frame, I cannot decode" (RFC 4585 section 6.3.1). No FCI."""

from dataclasses import dataclass
from typing import ClassVar, Self

from sfu.errors import BadPacket
from sfu.rtp.rtcp.feedback import join_feedback, split_feedback
from sfu.rtp.rtcp.header import PAYLOAD_FEEDBACK


@dataclass(frozen=True, slots=True)
class PictureLossIndication:
    """PLI."""

    PACKET_TYPE: ClassVar = PAYLOAD_FEEDBACK
    FORMAT: ClassVar = 1

    sender_ssrc: int
    """The SSRC of the requester; browsers use 1 or one of their own."""
    media_ssrc: int
    """The stream that needs a key frame."""

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Parse the packet's body. Raises `BadPacket` when it is too short or holds an FCI."""
        sender_ssrc, media_ssrc, fci = split_feedback(body, "rtcp-pli")
        if fci:  # RFC 4585 section 6.3.1.2: "there MUST NOT be any Feedback Control Information"
            raise BadPacket("rtcp-pli", f"{len(fci)} bytes of FCI")
        return cls(sender_ssrc, media_ssrc)

    def encode(self) -> bytes:
        """Return the whole packet. Raises `ValueError` for an SSRC out of range."""
        return join_feedback(self.PACKET_TYPE, self.FORMAT, self.sender_ssrc, self.media_ssrc, b"")
