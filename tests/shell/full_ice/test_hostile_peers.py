"""What strangers and hostile peers send to a full ICE agent: it changes nothing, and costs a bounded amount."""

import os
import socket
import struct
from dataclasses import replace

import aioice
import pytest
import trio
import trio.lowlevel
from support.coturn import HOST
from support.full_ice_agent import MALFORMED, PATIENCE, ours, talk, theirs

from sfu.ice import attributes
from sfu.ice.candidate import Candidate
from sfu.ice.credentials import make_credentials
from sfu.ice.full_messages import (
    Connect,
    Lost,
    TryCandidate,
)
from sfu.ice.stun import MessageClass, StunMessage
from sfu.shell.full_ice.sockets import MAX_PATHS, MAX_REMOTE, IceSocket


async def test_strangers_change_nothing_and_get_no_answer() -> None:
    async with ours() as running, theirs() as peer:
        local = await running.gather()
        path = await running.meet(local, peer)
        target = running.found(local.ufrag)[0].address
        unsigned = struct.pack("!HHI12s", 1, 0, 0x2112A442, b"transaction!")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.setblocking(False)
            for data in (MALFORMED, unsigned, b"\x00", b"\x80 media", b"\x16 dtls", b"", os.urandom(1200)):
                stranger.sendto(data, target)
            for _ in range(500):
                stranger.sendto(b"\x80 flood", target)
                stranger.sendto(MALFORMED, target)
                await trio.lowlevel.checkpoint()
            await talk(running, path, peer)
            with pytest.raises(BlockingIOError):
                stranger.recv(1)
        assert {data for data, _ in running.datagrams} == {b"\x80 hello"}
        assert running.drops["stun-malformed"] > 1
        assert running.drops["unvalidated-path"] > 1
        assert running.drops["ice-integrity"] == 1
        assert running.drops["ice-loop-error"] == 0
        assert not [report for report in running.reports if isinstance(report, Lost)]


async def test_malformed_stun_from_the_peer_changes_nothing() -> None:
    async with ours() as running, theirs() as peer:
        local = await running.gather()
        path = await running.meet(local, peer)
        await peer.loop.run(peer.connection.send, MALFORMED)
        await peer.loop.run(peer.connection.send, MALFORMED[:21])
        await running.until(lambda: running.drops["stun-malformed"] == 2)
        await talk(running, path, peer)


async def test_checks_without_a_priority_before_the_description_change_nothing() -> None:
    """Aioice keeps them and looks at them later, where an error would end the loop."""
    async with ours() as running, theirs() as peer:
        local = await running.gather()
        name = (attributes.USERNAME, f"{local.ufrag}:{peer.credentials().ufrag}")
        check = StunMessage(MessageClass.REQUEST, b"transaction!", (name,)).serialize(local.pwd.encode())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as early:
            early.setblocking(False)
            early.sendto(check, running.found(local.ufrag)[0].address)
            await trio.lowlevel.wait_readable(early)
        await talk(running, await running.meet(local, peer), peer)
        assert Lost(local.ufrag) not in running.reports


async def test_a_peer_that_always_claims_a_role_conflict_is_checked_a_few_times() -> None:
    """Each check was made from within the one before: ever slower ones, as long as the peer liked."""
    peer = make_credentials(os.urandom)
    conflict = ((attributes.ERROR_CODE, attributes.ErrorCode(487, "Role Conflict")),)
    async with ours() as running:
        local = await running.gather()
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            await sock.bind((HOST, 0))
            text = f"candidate:1 1 udp 1 {HOST} {sock.getsockname()[1]} typ host"
            running.agent.carry_out(
                [Connect(local.ufrag, peer, True), TryCandidate(local.ufrag, Candidate.parse(text))]
            )
            roles = []
            while not running.drops["ice-role-conflict"]:
                with trio.fail_after(PATIENCE):
                    data, address = await sock.recvfrom(2048)
                check = StunMessage.parse(data)
                roles.append(check.get(attributes.ICE_CONTROLLING) is not None)
                answer = StunMessage(MessageClass.ERROR, check.transaction_id, conflict)
                await sock.sendto(answer.serialize(peer.pwd.encode()), address)
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert roles == [True, False] * 2


async def test_unknown_extensions_of_a_candidate_are_ignored() -> None:
    async with ours() as running, theirs() as peer:
        local = await running.gather()
        [host] = peer.candidates()
        odd = replace(host, extensions=(("generation", "x"), ("rport", "y"), ("tcptype", "z")))
        running.agent.carry_out([TryCandidate(local.ufrag, odd)])
        await talk(running, await running.meet(local, peer), peer)


async def test_the_number_of_a_peers_addresses_is_limited() -> None:
    async with ours() as running, theirs() as peer:
        local = await running.gather()
        path = await running.meet(local, peer)
        [generation] = running.agent._generations.values()
        sockets = generation._sockets
        protocol = sockets._protocols[0]
        assert isinstance(protocol, IceSocket)
        message = aioice.stun.Message(aioice.stun.Method.BINDING, aioice.stun.Class.REQUEST)
        message.attributes["PRIORITY"] = 1

        async def check() -> None:  # noqa: ASYNC124 - to run in the loop
            for port in range(1, 2 * MAX_REMOTE):
                sockets.check_incoming(message, ("127.0.0.2", port), protocol)

        await generation._loop.run(check)
        assert len(sockets._remote_candidates) == MAX_REMOTE
        assert len(sockets._paths) == MAX_PATHS
        assert path in sockets._paths.values()
        assert running.drops["ice-addresses-too-many"] > 0
        await talk(running, path, peer)
