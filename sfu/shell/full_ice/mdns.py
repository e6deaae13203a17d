"""Asking the local network who has an mDNS name (RFC 6762): browsers hide their addresses behind such names.

What is different from aioice's way:

* Answers are read although the records beside them cannot be: Chromium adds an NSEC record whose name is
  compressed, as section 18.14 wants it, and dnspython refuses that, as the DNS wants it.
* IPv6 addresses are asked for too, and what is said without having been asked for is heard.
* A socket is there for one question, where aioice shares one among all loops of a thread.
* What nobody can be sent to, or is no address at all, is no answer.

Coroutines here are asyncio's: they are run through `sfu.shell.aio.Loop.run`.
"""

import ipaddress
from collections.abc import Iterator
from typing import Any, Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from aioice import mdns

QUERIES: Final = 3
"""How often a name is asked for, a second apart: multicast gets lost, and browsers begin late."""

_CACHE_FLUSH: Final = 0x8000
"""The bit of a record's class by which it is the only one of its name and type (section 10.2)."""

is_mdns_hostname = mdns.is_mdns_hostname


async def resolve(name: str) -> str | None:
    """Return an address of the host with that name, if it answers. Raises `OSError` where none can be asked."""
    opened = await mdns.create_mdns_protocol()
    asking = _Asking()
    asking.connection_made(opened.transport)
    opened.transport.set_protocol(asking)
    try:
        for _ in range(QUERIES):
            asking.ask_for_ipv6(name)
            host = await asking.resolve(name)
            if host is not None:
                return host
        return None
    finally:
        opened.transport.close()


class _Asking(mdns.MDnsProtocol):
    """aioice's way to ask, with ears of its own. It has no names itself, so it answers nobody."""

    def ask_for_ipv6(self, name: str) -> None:
        """Ask, beside the question for an IPv4 address that `resolve` sends; either answer will do."""
        question = dns.message.make_query(name, dns.rdatatype.AAAA, id=0, flags=0)
        self.transport.sendto(question.to_wire(), (mdns.MDNS_ADDRESS, mdns.MDNS_PORT))

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Take what somebody in the local network says. Never raises for it."""
        assert isinstance(data, bytes), "asyncio says str for nobody's sake"
        if addr[1] != mdns.MDNS_PORT:  # section 6: answers come from this port, and from no other
            return
        for name, host in read_answers(data):
            for waiting in self.queries.pop(name, ()):
                if not waiting.done():
                    waiting.set_result(host)


def read_answers(data: bytes) -> Iterator[tuple[dns.name.Name, str]]:
    """Yield each name of a datagram with an address of its host; nothing if the datagram is not an answer."""
    try:
        message = dns.message.from_wire(data, continue_on_error=True)
    except dns.exception.DNSException:
        return
    if not message.flags & dns.flags.QR:
        return
    for records in (*message.answer, *message.additional):
        for host in _addresses(records):
            yield records.name, host


def _addresses(records: dns.rrset.RRset) -> Iterator[str]:
    """Give the addresses among records of one name that a datagram can be sent to."""
    if records.rdclass & ~_CACHE_FLUSH != dns.rdataclass.IN:
        return
    size = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 16}.get(records.rdtype)
    for record in records:
        data = record.to_generic().data
        if len(data) == size:
            address = ipaddress.ip_address(data)
            if not address.is_unspecified and not address.is_multicast:
                yield str(address)
