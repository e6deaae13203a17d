r"""What all feedback messages begin with (RFC 4585 section 6.1).

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |V=2|P|   FMT   |  PT 205 / 206 |             length            |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                  SSRC of packet sender                        |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                  SSRC of media source                         |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    :            feedback control information (FCI)                 :
"""

import struct
from struct import Struct
from typing import Final

from sfu.errors import BadPacket
from sfu.rtp.rtcp.header import join

_SSRCS: Final = Struct(">II")


def split_feedback(body: bytes, reason: str) -> tuple[int, int, bytes]:
    """(sender's SSRC, media SSRC, FCI). Raises `BadPacket(reason)` when the SSRCs are not there."""
    if len(body) < 8:
        raise BadPacket(reason, f"{len(body)} bytes of feedback")
    sender_ssrc, media_ssrc = _SSRCS.unpack_from(body)
    return sender_ssrc, media_ssrc, body[8:]


def join_feedback(
    packet_type: int, message_format: int, sender_ssrc: int, media_ssrc: int, fci: bytes
) -> bytes:
    """A whole feedback packet. `ValueError` for an SSRC out of range."""
    try:
        ssrcs = _SSRCS.pack(sender_ssrc, media_ssrc)
    except struct.error as error:
        raise ValueError(f"feedback: {error}") from None
    return join(packet_type, message_format, ssrcs + fci)
