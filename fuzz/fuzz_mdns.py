"""mDNS answers: nothing raises, and what comes out are addresses that a datagram can be sent to.

The input is read as a datagram, and as what follows the header of an answer with records in every section.
"""

import ipaddress

from sfu.shell.full_ice.mdns import read_answers

HEADER = bytes.fromhex("000084000001000200010001")

RECORD = 12
"""Bytes of the shortest record: a compressed name, type, class, time to live, length."""


def one_input(data: bytes) -> None:
    """Check the invariants on one datagram, and on one that begins well."""
    check(data)
    check(HEADER + data)


def check(data: bytes) -> None:
    """One datagram."""
    answers = list(read_answers(data))
    assert len(answers) <= len(data) // RECORD
    for name, host in answers:
        assert name.is_absolute()
        address = ipaddress.ip_address(host)
        assert str(address) == host
        assert not address.is_unspecified
        assert not address.is_multicast
