"""STUN messages and the lite agent: only BadPacket escapes, and what parses serializes to an equal message.

Random bytes seldom have a right checksum or signature. So the same bytes are also tried as the attributes of a
correctly signed message, which an agent accepts.
"""

import contextlib
import hmac
import struct

from sfu.errors import BadPacket
from sfu.ice import attributes as a
from sfu.ice.credentials import Credentials
from sfu.ice.events import IceState
from sfu.ice.lite import IceLiteAgent
from sfu.ice.path import Address, IcePath
from sfu.ice.stun import BINDING, HEADER, MessageClass, StunMessage, local_ufrag
from sfu.ice.validated_paths import MAX_PATHS

TARGETS = ("sfu.ice.stun", "sfu.ice.attributes", "sfu.ice.lite")
"""The modules whose coverage is measured."""

LOCAL = Credentials("ours", "a password of some length")
KEY = LOCAL.pwd.encode()
PATH = IcePath(None, Address("192.0.2.1", 5000))
MAX_SIGNED = 1200


def one_input(data: bytes) -> None:
    """Check the invariants on one datagram."""
    check_message(data)
    check_agent(data)
    body = data[:MAX_SIGNED]
    check_agent(signed(body + bytes(-len(body) % 4)))


def check_message(data: bytes) -> None:
    """Check that parsing and serializing are inverse."""
    with contextlib.suppress(BadPacket):
        local_ufrag(data)
    try:
        message = StunMessage.parse(data)
    except BadPacket:
        return
    message.has_integrity(KEY)
    again = StunMessage.parse(message.serialize(KEY))
    assert again == message
    assert again.has_integrity(KEY)


def check_agent(data: bytes) -> None:
    """Check that an agent answers the datagram at most once, with a bounded number of bytes."""
    agent = IceLiteAgent(LOCAL, now=0.0)
    agent.receive(data, PATH, 0.0)
    answers = agent.outgoing(0.0)
    assert len(answers) <= 1
    for answer, path in answers:
        assert path is PATH
        assert len(answer) <= len(data) + 100
        assert StunMessage.parse(answer).has_integrity(KEY)
    statistics = agent.statistics()
    assert statistics.paths <= MAX_PATHS
    assert statistics.checks + sum(statistics.drops.values()) == 1
    assert (agent.state is IceState.NEW) == (statistics.checks == 0)


def signed(body: bytes) -> bytes:
    """A check with our USERNAME, these attributes, and a right MESSAGE-INTEGRITY."""
    name = (a.USERNAME, f"{LOCAL.ufrag}:them")
    skeleton = StunMessage(MessageClass.REQUEST, bytes(12), (name,), BINDING)
    start = skeleton.serialize()[HEADER.size : -8]  # without the header, and without the fingerprint
    # The length includes MESSAGE-INTEGRITY (24 bytes) while that is computed.
    unsigned = struct.pack("!HHI12s", 1, len(start) + len(body) + 24, a.MAGIC_COOKIE, bytes(12)) + start + body
    return unsigned + struct.pack("!HH", a.MESSAGE_INTEGRITY.type, 20) + signature(unsigned)


def signature(data: bytes) -> bytes:
    """HMAC-SHA1 with our password."""
    return hmac.digest(KEY, data, "sha1")
