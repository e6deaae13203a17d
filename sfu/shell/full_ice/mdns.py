"""Resolving mDNS names (RFC 6762): browsers hide their addresses behind such names.

It differs from aioice as follows:

* An answer is used even if a record beside it cannot be read. Chromium adds an NSEC record with a compressed
name, as
  section 18.14 requires, and dnspython rejects that, as the DNS requires.
* It asks for IPv6 addresses too, and takes any answer, whichever question it was for.
* Each query has its own socket. aioice shares one among all loops of a thread.
* An address that no datagram can be sent to is not an answer.

The coroutines here belong to asyncio; `sfu.shell.aio.Loop.run` runs them.
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
"""Queries for a name, one second apart: multicast gets lost, and browsers begin late."""

_CACHE_FLUSH: Final = 0x8000
"""The bit in a record's class which says that it is the only one of its name and type (section 10.2)."""

is_mdns_hostname = mdns.is_mdns_hostname


async def resolve(name: str) -> str | None:
    """Return an address of the host with a name, or None without an answer. Raises `OSError` without mDNS."""
    opened = await mdns.create_mdns_protocol()
    resolver = _Resolver()
    resolver.connection_made(opened.transport)
    opened.transport.set_protocol(resolver)
    try:
        for _ in range(QUERIES):
            resolver.ask_for_ipv6(name)
            host = await resolver.resolve(name)
            if host is not None:
                return host
        return None
    finally:
        opened.transport.close()


class _Resolver(mdns.MDnsProtocol):
    """Sends queries as aioice does, but reads the answers itself. It has no names, so it answers no query."""

    def ask_for_ipv6(self, name: str) -> None:
        """Ask for an IPv6 address. `resolve` asks for an IPv4 address; the first answer to either counts."""
        question = dns.message.make_query(name, dns.rdatatype.AAAA, id=0, flags=0)
        self.transport.sendto(question.to_wire(), (mdns.MDNS_ADDRESS, mdns.MDNS_PORT))

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Take a datagram from the local network. Does not raise, whatever it contains."""
        assert isinstance(data, bytes), "UDP transports pass bytes"
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
    """Yield the addresses among the records of a name that a datagram can be sent to."""
    if records.rdclass & ~_CACHE_FLUSH != dns.rdataclass.IN:
        return
    size = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 16}.get(records.rdtype)
    for record in records:
        data = record.to_generic().data
        if len(data) == size:
            address = ipaddress.ip_address(data)
            if not address.is_unspecified and not address.is_multicast:
                yield str(address)
