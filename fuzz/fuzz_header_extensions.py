"""Header extension blocks and elements: only BadPacket escapes, and what parses serializes to the same meaning.

The first two bytes are the block's profile; the elements inside are read by every known extension.
"""

from sfu.errors import BadPacket
from sfu.rtp.extension_block import is_element_profile, parse_elements, serialize_elements
from sfu.rtp.extensions import BY_URI


def one_input(data: bytes) -> None:
    """Check the invariants on one block."""
    profile = int.from_bytes(data[:2])
    try:
        elements = parse_elements(profile, data[2:])
    except BadPacket:
        return
    assert (elements is not None) == is_element_profile(profile)
    if elements is None:
        return
    block = serialize_elements(elements)
    assert parse_elements(int.from_bytes(block[:2]), block[4:]) == elements
    for _, element in elements:
        for extension in BY_URI.values():
            try:
                value = extension.decode(element)
            except BadPacket:
                continue
            assert extension.decode(extension.encode(value)) == value
