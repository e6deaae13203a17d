"""Where a receiver can start: key frames, for all codecs.

A new receiver shows nothing before a key frame, so a forwarder begins (or changes layers) there. To add a
codec, write its file in `sfu.rtp.codecs` and add its row to `_BY_CODEC`.
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
    """Return whether a decoder can start with this packet.

    `codec_name` is the encoding name of ``a=rtpmap`` in any case. For video, true for the first packet of a key
    frame (for H.264 also for each IDR slice after it); false for a malformed payload. True for
    every packet of an audio codec, and of a codec that is not known here.

    >>> is_key_frame("VP8", bytes.fromhex("10 30 01 00 9d 01 2a")), is_key_frame("VP8", bytes.fromhex("10 31"))
    (True, False)
    """
    check = _BY_CODEC.get(codec_name.upper())
    return check is None or check(payload)
