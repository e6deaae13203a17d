"""The candidates of full ICE agents: our addresses, what a STUN server sees, and the peer's mDNS names."""

import socket

import aioice
import pytest
import trio
import trio.lowlevel
from support.coturn import HOST
from support.full_ice_agent import ours, talk, theirs
from support.log_capture import capture_logs
from support.waiting import becomes

from sfu.ice import attributes
from sfu.ice.candidate import Candidate
from sfu.ice.full_messages import (
    Gathered,
    TryCandidate,
)
from sfu.ice.path import Address
from sfu.ice.stun import MessageClass, StunMessage
from sfu.shell.config.values import STUN_URLS


async def test_an_address_of_another_host_is_skipped() -> None:
    with capture_logs() as log:
        async with ours(hosts=("192.0.2.1", HOST)) as running, theirs() as peer:
            local = await running.gather()
            assert [one.address.host for one in running.found(local.ufrag)] == [HOST]
            await talk(running, await running.meet(local, peer), peer)
    [warning] = [entry for entry in log if entry["log_level"] == "warning"]
    assert (warning["event"], warning["host"]) == ("no socket on a local address", "192.0.2.1")


async def test_candidates_of_one_kind_have_different_priorities() -> None:
    """RFC 8445 section 5.1.2.1: the first address is preferred."""
    async with ours(hosts=(HOST, "127.0.0.2", "127.0.0.3")) as running:
        found = running.found((await running.gather()).ufrag)
    assert [one.address.host for one in found] == [HOST, "127.0.0.2", "127.0.0.3"]
    assert [one.priority - found[-1].priority for one in found] == [2 << 8, 1 << 8, 0]


async def test_the_address_that_a_stun_server_sees_is_a_candidate() -> None:
    """The test is the server, and answers as one outside our NAT would."""
    seen = Address("203.0.113.7", 4242)
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        await sock.bind((HOST, 0))
        urls = STUN_URLS.parse(f"stun:{HOST}:{sock.getsockname()[1]}")
        async with ours(stun_urls=urls) as running, trio.open_nursery() as nursery:
            nursery.start_soon(running.gather)
            data, sender = await sock.recvfrom(2048)
            asked = StunMessage.parse(data)
            answer = StunMessage(
                MessageClass.SUCCESS, asked.transaction_id, ((attributes.XOR_MAPPED_ADDRESS, seen),)
            )
            await sock.sendto(answer.serialize(), sender)
            await running.until(lambda: len([r for r in running.reports if isinstance(r, Gathered)]) == 3)
            [ufrag] = {report.ufrag for report in running.reports}
            host, reflexive = running.found(ufrag)
            assert (reflexive.type, reflexive.address, reflexive.related) == ("srflx", seen, host.address)
            assert reflexive.priority < host.priority


async def test_mdns_names_are_resolved_and_other_names_refused() -> None:
    name = aioice.mdns.create_mdns_hostname()
    async with ours() as running, theirs() as peer:
        responder = await peer.loop.run(aioice.mdns.create_mdns_protocol)
        try:
            host = peer.candidates()[0].address
            await peer.loop.run(responder.publish, name, host.host)
        except OSError as error:
            pytest.skip(f"no multicast here: {error}")
        local = await running.gather()
        [generation] = running.agent._generations.values()
        # A browser has one name for an address, and uses it with several ports.
        for other, port in (("no-such-name.local", 1), ("localhost", 2), (name, 3), (name, 4)):
            text = f"candidate:1 1 udp 1 {other} {port} typ host"
            running.agent.carry_out([TryCandidate(local.ufrag, Candidate.parse(text))])
        await running.until(lambda: running.drops["ice-name-unknown"] == 1)
        await becomes(lambda: len(generation._sockets._remote_candidates), 2)
        found = {(one._network_host, one.port) for one in generation._sockets._remote_candidates}
        assert found == {(host.host, 3), (host.host, 4)}
        await peer.loop.run(responder.close)


async def test_the_number_of_names_is_limited() -> None:
    async with ours() as running:
        local = await running.gather()
        parsed = [Candidate.parse(f"candidate:1 1 udp 1 name-{i}.local 9 typ host") for i in range(20)]
        running.agent.carry_out([TryCandidate(local.ufrag, one) for one in parsed])
        await running.until(lambda: running.drops["ice-names-too-many"] >= 11)
