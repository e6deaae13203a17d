"""How packets of one source change for a receiver: which payload type and extension id become which.

Receivers with equal negotiations share one `Translation`. It keeps the latest packet as it looks for all of
them: everything after the twelve bytes of the fixed header, and two of those. So with fifty receivers a packet
is put together once or twice, not fifty times, and only sequence number, timestamp and SSRC are written for
each.

An element with a different value for each receiver (a transport-wide sequence number, for congestion control)
has to be the first in the extension block, where its offset is the same for every packet.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from struct import Struct
from typing import Any, Final

from sfu.errors import BadPacket
from sfu.rtp import extensions
from sfu.rtp.extension_block import Elements
from sfu.rtp.packet import RtpPacket
from sfu.rtp.red import parse_red, serialize_red
from sfu.rtp.srtp import MAX_PLAINTEXT
from sfu.sdp.codecs import Codec

HEADER_SIZE: Final = 12
"""Bytes of the fixed RTP header."""

HOP_BY_HOP: Final = frozenset(
    extension.uri
    for extension in (
        extensions.MID,
        extensions.RID,
        extensions.REPAIRED_RID,
        extensions.ABS_SEND_TIME,
        extensions.TRANSPORT_SEQUENCE_NUMBER,
        extensions.TRANSMISSION_OFFSET,
        extensions.VIDEO_LAYERS_ALLOCATION,
    )
)
"""Extensions about the path from the publisher to the server: names of its m-lines and layers, times and
numbers of its sending. They would be wrong for a receiver."""

MID_PACKETS: Final = 50
"""Packets at the start of an outgoing stream that carry its MID, unless a receiver report comes first. The SSRC
is in SDP as well, so this is for receivers that get media before they have applied the description. RTX packets
always carry the MID: Firefox drops them otherwise."""

TranslationKey = tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]
"""What two receivers must have in common to share a translation."""


def translation_key(
    source_codecs: Iterable[Codec],
    source_extensions: Mapping[int, str],
    codecs: Iterable[Codec],
    extension_ids: Mapping[str, int],
) -> TranslationKey:
    """Return (payload types, extension ids), each as pairs of the publisher's and the receiver's.

    `source_extensions` is the publisher's {id: URI}, `extension_ids` the receiver's {URI: id}. There is no pair
    for a codec that the receiver has not negotiated.
    """
    by_identity: dict[object, int] = {}
    for codec in codecs:
        by_identity.setdefault(codec.identity, codec.payload_type)
    payload_types = sorted(
        (codec.payload_type, by_identity[codec.identity])
        for codec in source_codecs
        if codec.identity in by_identity
    )
    identifiers = sorted(
        (identifier, extension_ids[uri])
        for identifier, uri in source_extensions.items()
        if uri in extension_ids and uri not in HOP_BY_HOP
    )
    return tuple(payload_types), tuple(identifiers)


def mid_element(mid: str | None, extension_ids: Mapping[str, int]) -> Elements:
    """Return the MID header extension (RFC 9143) for a receiver with these {URI: id}, or nothing.

    A mid comes from the peer's description and may be any token of any length. If it does not fit a one-byte
    element, the receiver has to go by the SSRC.
    """
    identifier = extension_ids.get(extensions.MID.uri)
    if identifier is None or mid is None or len(mid) > 16:
        return ()
    return ((identifier, extensions.MID.encode(mid)),)


class Translation:
    """The changes that one key stands for, and the latest packet with these changes."""

    __slots__ = (
        "__weakref__",
        "_extension_ids",
        "_payload_types",
        "_red",
        "first",
        "pack_into",
        "payload_size",
        "rtp",
        "second",
        "size",
        "suffix",
    )

    rtp: RtpPacket | None
    """The packet that the following attributes are about; compare by identity, `render` changes it."""
    suffix: bytes | None
    """What follows the fixed header. `None` when this packet cannot be forwarded, see `render`."""
    first: int
    """First byte of the header: version, extension bit, CSRC count."""
    second: int
    """Second byte: marker and payload type."""
    size: int
    """Bytes of the whole RTP packet."""
    payload_size: int
    """Bytes of its payload, for sender reports."""
    pack_into: Any
    """Writes the whole packet with one call: ``pack_into(buffer, 0, first, second, sequence number, timestamp,
    SSRC, suffix)``."""

    def __init__(self, key: TranslationKey, red_payload_types: frozenset[int] = frozenset()) -> None:
        """`red_payload_types`: the publisher's payload types that are RED (RFC 2198)."""
        payload_types, extension_ids = key
        self._payload_types = dict(payload_types)
        self._extension_ids = dict(extension_ids)
        # RED has payload types inside its payload, so it stays unchanged only if they are all the same.
        same = all(theirs == ours for theirs, ours in payload_types)
        self._red = red_payload_types - self._payload_types.keys() if same else red_payload_types
        self.rtp = None
        self.suffix = None
        self.first = self.second = self.size = self.payload_size = 0
        self.pack_into = None

    def translate(self, rtp: RtpPacket) -> RtpPacket | None:
        """Return a new packet with the receiver's payload type and extension ids, and with the least padding.

        SSRC, sequence number and timestamp are still the publisher's. A receiver that has not negotiated RED
        gets the current frame from it. Returns `None` if the receiver has not negotiated this codec.
        """
        payload_type = self._payload_types.get(rtp.payload_type)
        payload = rtp.payload
        if rtp.payload_type in self._red:
            payload_type, payload = self._translate_red(payload_type, payload)
        if payload_type is None:
            return None
        ids = self._extension_ids
        return RtpPacket(
            payload_type,
            rtp.marker,
            rtp.sequence_number,
            rtp.timestamp,
            rtp.ssrc,
            rtp.csrcs,
            tuple([(ids[element], data) for element, data in rtp.extensions if element in ids]),
            payload,
            0 if rtp.payload else 1,
        )

    def _translate_red(self, payload_type: int | None, payload: bytes) -> tuple[int | None, bytes]:
        """Return payload type and payload for a RED packet (RFC 2198); no type if it cannot be forwarded."""
        types = self._payload_types
        try:
            blocks = parse_red(payload)
        except BadPacket:
            return None, b""
        if payload_type is None:
            return types.get(blocks[-1].payload_type), blocks[-1].data
        if any(block.payload_type not in types for block in blocks):
            return None, b""
        return payload_type, serialize_red(
            [block._replace(payload_type=types[block.payload_type]) for block in blocks]
        )

    def render(self, rtp: RtpPacket) -> None:
        """Set the attributes for this packet.

        `suffix` is `None` for a codec that was not negotiated, and for a packet that is too long with the
        receiver's extensions (`MAX_PLAINTEXT`).
        """
        self.rtp = rtp
        self.suffix = None
        translated = self.translate(rtp)
        if translated is None:
            return
        data = translated.serialize()
        if len(data) > MAX_PLAINTEXT:
            return
        self.first = data[0]
        self.second = data[1]
        self.size = len(data)
        self.payload_size = len(translated.payload)
        self.suffix = data[HEADER_SIZE:]
        self.pack_into = _packer(len(data) - HEADER_SIZE)


@lru_cache(maxsize=MAX_PLAINTEXT)
def _packer(suffix_size: int) -> Any:
    """Return `pack_into` of a struct with the fixed header and that many more bytes."""
    return Struct(f">BBHII{suffix_size}s").pack_into
