"""Where a receiver can start: key frames, whatever the codec.

A receiver that has nothing yet shows nothing until a key frame, so a forwarder begins (or changes layers)
there. To add a codec: write its file in `sfu.rtp.codecs` and give it its row in `_BY_CODEC`.
"""

from collections.abc import Callable
from typing import Final

from sfu.rtp.codecs import av1, h264, vp8, vp9

_BY_CODEC: Final[dict[str, Callable[[bytes], bool]]] = {
    "VP8": vp8.is_key_frame,
    "VP9": vp9.is_key_frame,
    "H264": h264.is_key_frame,
    "AV1": av1.is_key_frame,
}


def is_key_frame(codec_name: str, payload: bytes) -> bool:
    """Whether a decoder without any history can start with this packet.

    `codec_name` is the encoding name of ``a=rtpmap`` in any case. For video, true for the first packet of a key
    frame (for H.264 also for each IDR slice after it); false for a payload that is not of its format. Every
    packet of an audio codec, and of one that is not known here, is such a start.

    >>> is_key_frame("VP8", bytes.fromhex("10 30 01 00 9d 01 2a")), is_key_frame("VP8", bytes.fromhex("10 31"))
    (True, False)
    """
    check = _BY_CODEC.get(codec_name.upper())
    return check is None or check(payload)
