r"""H.264 in RTP: which NAL units a packet holds (RFC 6184 sections 5.2 to 5.8).

::

     +-+-+-+-+-+-+-+-+
     |F|NRI|  type   |   1 … 23: the payload is this one NAL unit
     +-+-+-+-+-+-+-+-+   24, STAP-A: several, each after 16 bits of its length
                         28, FU-A: a piece of one, after a second byte:
     +-+-+-+-+-+-+-+-+
     |S|E|R|  type   |   S: first piece, E: last piece, type: that of the whole unit
     +-+-+-+-+-+-+-+-+

WebRTC uses packetization modes 0 and 1, which have no other kinds.
"""

from typing import Final

from sfu.errors import BadPacket

IDR_SLICE: Final = 5
SEQUENCE_PARAMETER_SET: Final = 7
PICTURE_PARAMETER_SET: Final = 8

_STAP_A: Final = 24
_FU_A: Final = 28
_TYPE: Final = 0x1F
_FU_START: Final = 0x80


def starting_units(payload: bytes) -> tuple[int, ...]:
    """The types of the NAL units that start in this payload; empty for a later piece of one.

    Raises `BadPacket` for a payload without a NAL unit, for lengths that reach past its end, and for the packet
    kinds of the interleaved mode.
    """
    if not payload:
        raise BadPacket("h264-truncated", "no NAL unit")
    unit_type = payload[0] & _TYPE
    if 0 < unit_type < _STAP_A:
        return (unit_type,)
    if unit_type == _STAP_A:
        return _aggregated_units(payload)
    if unit_type != _FU_A:
        raise BadPacket("h264-type", f"type {unit_type}")
    if len(payload) < 3:
        raise BadPacket("h264-truncated", f"a fragment of {len(payload)} bytes")
    return (payload[1] & _TYPE,) if payload[1] & _FU_START else ()


def is_key_frame(payload: bytes) -> bool:
    """Whether a key frame starts here: a sequence parameter set or an IDR slice; `False` if it is not H.264.

    Parameter sets come before the IDR slices that need them, in a packet of their own or not; most encoders
    repeat them with every key frame, and one that does not has sent them in SDP.
    """
    try:
        units = starting_units(payload)
    except BadPacket:
        return False
    return IDR_SLICE in units or SEQUENCE_PARAMETER_SET in units


def _aggregated_units(payload: bytes) -> tuple[int, ...]:
    types = []
    offset = 1
    while offset < len(payload):
        start = offset + 2
        stop = start + int.from_bytes(payload[offset:start])
        if not start < stop <= len(payload):
            raise BadPacket("h264-truncated", f"a NAL unit from {start} to {stop} of {len(payload)} bytes")
        types.append(payload[start] & _TYPE)
        offset = stop
    if not types:
        raise BadPacket("h264-truncated", "an aggregate of nothing")
    return tuple(types)
