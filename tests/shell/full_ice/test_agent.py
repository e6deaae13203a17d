"""Full ICE agents on real sockets of loopback, against aioice as it comes, and a real coturn."""

import errno
import os
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import aioice
import pytest
import trio
import trio.lowlevel
from support.coturn import HOST, PASSWORD, USER, coturn
from support.log_capture import capture_logs
from support.waiting import becomes

import sfu.shell.full_ice.agent
from sfu.ice import attributes
from sfu.ice.candidate import Candidate
from sfu.ice.credentials import Credentials, make_credentials
from sfu.ice.events import IceState
from sfu.ice.full_messages import (
    Connect,
    Gather,
    Gathered,
    Heard,
    IceReport,
    Lost,
    Nominated,
    Release,
    TryCandidate,
    Validated,
)
from sfu.ice.lite import IceLiteAgent
from sfu.ice.path import Address, IcePath
from sfu.ice.stun import MessageClass, StunMessage
from sfu.shell.aio import Loop, open_loop
from sfu.shell.config.settings import Settings
from sfu.shell.config.values import STUN_URLS, TURN_URLS
from sfu.shell.full_ice.agent import FullIce
from sfu.shell.full_ice.routes import MAX_WAITING
from sfu.shell.full_ice.sockets import MAX_PATHS, MAX_REMOTE, Protocol
from sfu.shell.media.peer_sockets import Route

PATIENCE = 10.0
"""Seconds in which anything happens on a busy machine."""

MALFORMED = bytes.fromhex("000100082112a442") + bytes(12) + bytes.fromhex("0024000100000000")
"""A check whose PRIORITY has one byte: aioice 0.13 lets `struct.error` escape for it."""


class Ours:
    """A `FullIce`, and what it tells the server, which is played here, as is the peer."""

    id = "peer"

    def __init__(self, hosts: Sequence[str] = (HOST,), **settings: Any) -> None:
        self.reports: list[IceReport] = []
        self.datagrams: list[tuple[bytes, IcePath]] = []
        self.drops: Counter[str] = Counter()
        self.counted = 0
        self.settled = 0
        self.connection = self
        self.fails: Exception | None = None
        self._changed = trio.Event()
        everything = Settings(ice_mode="full", **settings)
        # What a `FullIce` uses of a server and of a peer is all here.
        self.agent = FullIce(cast(Any, self), cast(Any, self), everything, hosts, self._count)

    def report_ice(self, _peer: object, *reports: IceReport) -> None:
        self.reports += reports
        self._wake()

    def receive_datagram(self, _peer: object, data: bytes, path: IcePath) -> None:
        self.datagrams.append((data, path))
        self._wake()

    def flush(self, _now: float) -> None:
        self.settled += 1

    def count_ice_drop(self, reason: str) -> None:
        self.drops[reason] += 1
        self._wake()

    def _count(self, data: bytes) -> None:
        self.counted += len(data)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something that was reported has made `condition` true."""
        with trio.fail_after(PATIENCE):
            while not condition():
                await self._changed.wait()

    def found(self, ufrag: str) -> list[Candidate]:
        """Our candidates so far."""
        return [
            Candidate.parse(report.candidate)
            for report in self.reports
            if isinstance(report, Gathered) and report.ufrag == ufrag and report.candidate is not None
        ]

    def paths(self, ufrag: str) -> list[IcePath]:
        """The nominated paths so far, oldest first."""
        return [
            report.path for report in self.reports if isinstance(report, Nominated) and report.ufrag == ufrag
        ]

    async def gather(self, local: Credentials | None = None) -> Credentials:
        """Gather a generation to its end."""
        local = local or make_credentials(os.urandom)
        self.agent.carry_out([Gather(local)])
        await self.until(lambda: Gathered(local.ufrag, None) in self.reports)
        return local

    async def meet(self, local: Credentials, theirs: "Theirs", *, controlling: bool = False) -> IcePath:
        """Exchange descriptions with a peer, and return the path that is nominated."""
        theirs.connection.remote_username, theirs.connection.remote_password = local
        for candidate in self.found(local.ufrag):
            text = str(candidate).removeprefix("candidate:")
            await theirs.loop.run(theirs.connection.add_remote_candidate, aioice.Candidate.from_sdp(text))
        requests = [TryCandidate(local.ufrag, one) for one in theirs.candidates()]
        self.agent.carry_out([Connect(local.ufrag, theirs.credentials(), controlling), *requests])
        with trio.fail_after(PATIENCE):
            await theirs.loop.run(theirs.connection.connect)
        await self.until(lambda: self.paths(local.ufrag))
        return self.paths(local.ufrag)[-1]


class Theirs:
    """The other side: aioice as it comes."""

    def __init__(self, loop: Loop, connection: aioice.Connection) -> None:
        self.loop = loop
        self.connection = connection

    def credentials(self) -> Credentials:
        return Credentials(self.connection.local_username, self.connection.local_password)

    def candidates(self) -> list[Candidate]:
        texts = [candidate.to_sdp() for candidate in self.connection.local_candidates]
        return [Candidate.parse(f"candidate:{text}") for text in texts]


@asynccontextmanager
async def theirs(*, controlling: bool = True, **options: Any) -> AsyncIterator[Theirs]:
    """An agent that has gathered."""

    def failed(error: BaseException) -> None:
        raise AssertionError("their loop is to be without failures") from error

    async with open_loop(failed) as loop:
        # Its constructor wants an event loop, as all of aioice does.
        connection = aioice.Connection(ice_controlling=controlling, use_ipv6=False, **options)
        await loop.run(connection.gather_candidates)
        try:
            yield Theirs(loop, connection)
        finally:
            with trio.CancelScope(deadline=trio.current_time() + 1, shield=True):
                await loop.run(connection.close)


@asynccontextmanager
async def ours(**settings: Any) -> AsyncIterator[Ours]:
    """A running agent of which nothing is left at the end."""
    before = files()
    async with trio.open_nursery() as nursery:
        running = Ours(**settings)
        nursery.start_soon(running.agent.run)
        yield running
        nursery.cancel_scope.cancel("the test is over")
    assert files() <= before


def files() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def send(path: IcePath, data: bytes) -> str | None:
    """Send from our side, as the media does."""
    assert isinstance(path.native, Route)
    return path.native.send(data)


async def talk(running: Ours, path: IcePath, peer: Theirs) -> None:
    """Assert that datagrams pass both ways."""
    running.datagrams.clear()
    await peer.loop.run(peer.connection.send, b"\x80 hello")
    await running.until(lambda: running.datagrams)
    assert [data for data, _ in running.datagrams] == [b"\x80 hello"]
    assert send(path, b"\x80 hello yourself") is None
    with trio.fail_after(PATIENCE):
        assert await peer.loop.run(peer.connection.recv) == b"\x80 hello yourself"


@pytest.mark.parametrize("controlling", [True, False])
async def test_either_side_may_be_controlling(controlling: bool) -> None:
    async with ours() as running, theirs(controlling=not controlling) as peer:
        local = await running.gather()
        assert [(one.type, one.address.host) for one in running.found(local.ufrag)] == [("host", HOST)]
        path = await running.meet(local, peer, controlling=controlling)
        await talk(running, path, peer)
        assert running.counted == len(b"\x80 hello")
        assert Validated(local.ufrag, path, True) in running.reports


async def test_what_comes_at_once_is_settled_at_once() -> None:
    async with ours() as running, theirs() as peer:
        path = await running.meet(await running.gather(), peer)
        before = running.settled

        async def burst() -> None:
            for number in range(30):
                await peer.connection.send(b"\x80%d" % number)

        await peer.loop.run(burst)
        await running.until(lambda: len(running.datagrams) == 30)
        assert 1 <= running.settled - before < 10
        await talk(running, path, peer)


async def test_a_role_conflict_is_resolved() -> None:
    async with ours() as running, theirs(controlling=True) as peer:
        local = await running.gather()
        await talk(running, await running.meet(local, peer, controlling=True), peer)


async def test_a_lite_peer_is_checked_and_nominated() -> None:
    """It is our own lite agent, on a socket."""
    async with ours() as running, trio.open_nursery() as nursery:
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            await sock.bind((HOST, 0))
            here = Address(*sock.getsockname())
            lite = IceLiteAgent(make_credentials(os.urandom), now=trio.current_time())

            async def answer_checks() -> None:
                while True:
                    data, sender = await sock.recvfrom(2048)
                    lite.receive(data, IcePath(here, Address(*sender)), trio.current_time())
                    for answer, path in lite.outgoing(trio.current_time()):
                        await sock.sendto(answer, path.remote)

            nursery.start_soon(answer_checks)
            local = await running.gather()
            candidate = Candidate.parse(f"candidate:1 1 udp 1 {HOST} {here.port} typ host")
            running.agent.carry_out(
                [Connect(local.ufrag, lite.local, True, True), TryCandidate(local.ufrag, candidate)]
            )
            await running.until(lambda: running.paths(local.ufrag))
            assert running.paths(local.ufrag)[-1].remote == here
            assert lite.state is IceState.COMPLETED
            nursery.cancel_scope.cancel("seen enough")


async def test_a_restart_stands_beside_the_old_generation_until_that_is_released() -> None:
    async with ours() as running, theirs() as peer:
        old = await running.gather()
        path = await running.meet(old, peer)
        new = await running.gather()
        await talk(running, path, peer)
        async with theirs() as again:
            await talk(running, await running.meet(new, again), again)
            await talk(running, path, peer)
            before = files()
            running.agent.carry_out([Release(old.ufrag)])
            await running.until(lambda: Lost(old.ufrag) in running.reports)
            assert files() == before - 1
            assert send(path, b"\x80") == "ice-socket-closed"
            await talk(running, running.paths(new.ufrag)[-1], again)


async def test_requests_about_a_generation_that_is_over_do_nothing() -> None:
    async with ours() as running:
        running.agent.carry_out([Release("gone"), Connect("gone", make_credentials(os.urandom), True)])
        running.agent.carry_out([])
        local = await running.gather()
        assert {report.ufrag for report in running.reports} == {local.ufrag}


async def test_a_second_address_of_the_peer_is_followed() -> None:
    """A controlling peer nominates another pair: from then on that is used."""
    async with ours() as running, theirs() as peer, theirs() as moved:
        local = await running.gather()
        first = await running.meet(local, peer)
        # The same credentials from other sockets: what a browser does on a second interface.
        moved.connection._local_username, moved.connection._local_password = peer.credentials()
        moved.connection.remote_username, moved.connection.remote_password = local
        text = str(running.found(local.ufrag)[0]).removeprefix("candidate:")
        await moved.loop.run(moved.connection.add_remote_candidate, aioice.Candidate.from_sdp(text))
        with trio.fail_after(PATIENCE):
            await moved.loop.run(moved.connection.connect)
        await running.until(lambda: len(running.paths(local.ufrag)) == 2)
        second = running.paths(local.ufrag)[1]
        assert second != first
        await talk(running, second, moved)


async def test_consent_is_heard_and_its_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.CONSENT_INTERVAL", 0.1)
    async with ours() as running:
        async with theirs() as peer:
            local = await running.gather()
            path = await running.meet(local, peer)
            await running.until(lambda: Heard(local.ufrag, path) in running.reports)
        await running.until(lambda: Lost(local.ufrag) in running.reports)


# --- what strangers send ---


async def test_strangers_change_nothing_and_are_not_answered() -> None:
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


async def test_malformed_stun_of_the_peer_itself_changes_nothing() -> None:
    async with ours() as running, theirs() as peer:
        local = await running.gather()
        path = await running.meet(local, peer)
        await peer.loop.run(peer.connection.send, MALFORMED)
        await peer.loop.run(peer.connection.send, MALFORMED[:21])
        await running.until(lambda: running.drops["stun-malformed"] == 2)
        await talk(running, path, peer)


async def test_checks_without_a_priority_before_the_description_change_nothing() -> None:
    """They are kept by aioice, and looked into when nobody stands between it and the loop any more."""
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


async def test_what_a_callback_raises_is_counted_and_the_loop_goes_on() -> None:
    async with ours() as running, theirs() as peer:
        local = await running.gather()
        path = await running.meet(local, peer)
        [generation] = running.agent._generations.values()
        generation._loop.asyncio.call_soon(lambda: 1 // 0)
        await running.until(lambda: running.drops["ice-loop-error"] == 1)
        await talk(running, path, peer)


async def test_a_loop_that_fails_is_told_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sfu.shell.full_ice.agent, "RETRY_AFTER", 0.0)
    with capture_logs() as log:
        async with ours() as running:
            local = await running.gather()
            running.agent.carry_out([cast(Any, Connect(local.ufrag, cast(Any, None), True))])
            await running.until(lambda: Lost(local.ufrag) in running.reports)
            assert [entry["event"] for entry in log if entry["log_level"] == "error"] == ["ICE agent failed"]
            async with theirs() as peer:
                again = await running.gather()
                await talk(running, await running.meet(again, peer), peer)


async def test_a_loop_that_cannot_be_had_is_asked_for_again_but_not_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when there is no file descriptor free: what was wanted is done when there is one."""
    attempts: list[float] = []

    @asynccontextmanager
    async def scarce(failed: Callable[[BaseException], None]) -> AsyncIterator[Loop]:
        attempts.append(trio.current_time())
        if len(attempts) < 3:
            raise OSError(errno.EMFILE, "no file")
        async with open_loop(failed) as loop:
            yield loop

    monkeypatch.setattr(sfu.shell.full_ice.agent, "RETRY_AFTER", 0.1)
    monkeypatch.setattr(sfu.shell.full_ice.agent, "open_loop", scarce)
    with capture_logs() as log:
        async with ours() as running:
            await running.gather()
    assert len(attempts) == 3
    assert attempts[2] - attempts[0] > 0.2
    assert [entry["event"] for entry in log if entry["log_level"] == "error"] == ["ICE agent failed"] * 2


async def test_extensions_of_a_candidate_may_say_anything() -> None:
    async with ours() as running, theirs() as peer:
        local = await running.gather()
        [host] = peer.candidates()
        odd = replace(host, extensions=(("generation", "x"), ("rport", "y"), ("tcptype", "z")))
        running.agent.carry_out([TryCandidate(local.ufrag, odd)])
        await talk(running, await running.meet(local, peer), peer)


async def test_a_peer_with_many_addresses_is_remembered_only_so_far() -> None:
    async with ours() as running, theirs() as peer:
        local = await running.gather()
        path = await running.meet(local, peer)
        [generation] = running.agent._generations.values()
        sockets = generation._sockets
        protocol = sockets._protocols[0]
        assert isinstance(protocol, Protocol)
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


# --- names ---


async def test_names_of_the_local_network_are_resolved_and_others_refused() -> None:
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
        # A browser has one name for an address, whatever ports there are.
        for other, port in (("no-such-name.local", 1), ("localhost", 2), (name, 3), (name, 4)):
            text = f"candidate:1 1 udp 1 {other} {port} typ host"
            running.agent.carry_out([TryCandidate(local.ufrag, Candidate.parse(text))])
        await running.until(lambda: running.drops["ice-name-unknown"] == 1)
        await becomes(lambda: len(generation._sockets._remote_candidates), 2)
        found = {(one._network_host, one.port) for one in generation._sockets._remote_candidates}
        assert found == {(host.host, 3), (host.host, 4)}
        await peer.loop.run(responder.close)


async def test_only_so_many_names_are_asked_for() -> None:
    async with ours() as running:
        local = await running.gather()
        parsed = [Candidate.parse(f"candidate:1 1 udp 1 name-{i}.local 9 typ host") for i in range(20)]
        running.agent.carry_out([TryCandidate(local.ufrag, one) for one in parsed])
        await running.until(lambda: running.drops["ice-names-too-many"] >= 11)


# --- STUN and TURN ---


def relay(server: Any, transport: str = "udp", **settings: Any) -> dict[str, Any]:
    """Settings with TURN alone."""
    return {
        "ice_policy": "relay",
        "turn_urls": TURN_URLS.parse(server.turn(transport)),
        "turn_user": USER,
        "turn_password": PASSWORD,
        **settings,
    }


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_media_through_a_relay(tmp_path: Path, transport: str) -> None:
    async with coturn(tmp_path) as server:
        async with ours(**relay(server, transport)) as running, theirs() as peer:
            local = await running.gather()
            [candidate] = running.found(local.ufrag)
            assert candidate.type == "relay"
            assert candidate.related is not None
            assert candidate.related.host == "0.0.0.0"
            path = await running.meet(local, peer)
            await talk(running, path, peer)
            # As long as audio: of those of a few bytes, coturn takes one in 20 ms from a TCP connection.
            packets = [b"\x80%d" % number + bytes(100) for number in range(200)]
            for packet in packets:
                assert send(path, packet) is None
            with trio.fail_after(PATIENCE):
                assert [await peer.loop.run(peer.connection.recv) for _ in range(200)] == packets
            # It may be malformed here too: what one peer sends does not end the connection to the server.
            await peer.loop.run(peer.connection.send, MALFORMED)
            await running.until(lambda: running.drops["stun-malformed"] == 1)
            await talk(running, path, peer)
        assert server.allocations() == 1
        await becomes(server.released, 1)


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_relay_over_tls_has_to_prove_who_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    """By a certificate of an authority that OpenSSL trusts on this host, or in this process."""
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with capture_logs() as log:
        async with coturn(tmp_path, tls=True) as server:
            async with ours(**relay(server, "tls")) as running, theirs() as peer:
                local = await running.gather()
                if trusted:
                    await talk(running, await running.meet(local, peer), peer)
                assert [one.type for one in running.found(local.ufrag)] == ["relay"] * trusted
            await becomes(server.released, int(trusted))
    reasons = [entry["reason"] for entry in log if entry["log_level"] == "warning"]
    assert len(reasons) == (not trusted)
    assert all("CERTIFICATE_VERIFY_FAILED" in reason for reason in reasons)


async def test_a_certificate_for_another_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with capture_logs() as log:
        async with (
            coturn(tmp_path, tls=True, certified="192.0.2.1") as server,
            ours(**relay(server, "tls")) as one,
        ):
            local = await one.gather()
            assert one.found(local.ufrag) == []
    [warning] = [entry for entry in log if entry["log_level"] == "warning"]
    assert "IP address mismatch" in warning["reason"]


async def test_what_waits_for_a_channel_is_bounded(tmp_path: Path) -> None:
    async with coturn(tmp_path) as server, ours(**relay(server)) as running, theirs() as peer:
        local = await running.gather()
        path = await running.meet(local, peer)
        [generation] = running.agent._generations.values()
        turn: Any = generation._sockets._protocols[0].transport
        client = turn._TurnTransport__inner_protocol
        await server.die()
        # Due, and nobody there to bind it again: the channel goes on being used, one request at a time.
        client.channel_refresh_at = dict.fromkeys(client.channel_refresh_at, 0.0)

        async def burst() -> list[str | None]:  # noqa: ASYNC124 - to run in the loop
            return [send(path, b"\x80") for _ in range(4 * MAX_WAITING)]

        assert await generation._loop.run(burst) == [None] * 4 * MAX_WAITING
        assert len(turn._TurnTransport__send_tasks) == 1
        # No channel at all: what cannot wait is dropped.
        client.peer_to_channel.clear()
        dropped = await generation._loop.run(burst)
        assert len(turn._TurnTransport__send_tasks) == MAX_WAITING
        assert dropped.count("turn-channel-pending") == 3 * MAX_WAITING + 1


async def test_a_relay_over_tcp_that_dies_is_noticed_at_once(tmp_path: Path) -> None:
    async with coturn(tmp_path) as server, ours(**relay(server, "tcp")) as running, theirs() as peer:
        local = await running.gather()
        path = await running.meet(local, peer)
        await server.die()
        await running.until(lambda: Lost(local.ufrag) in running.reports)
        assert send(path, b"\x80") == "ice-socket-closed"


async def test_a_dead_relay_does_not_keep_the_peer(tmp_path: Path) -> None:
    """Its allocation cannot be released: that is given up soon."""
    async with coturn(tmp_path) as server:
        async with ours(**relay(server)) as running:
            await running.gather()
            await server.die()
            started = trio.current_time()
        assert trio.current_time() - started < 4


async def test_a_server_that_refuses_leaves_the_other_candidates(tmp_path: Path) -> None:
    settings = {"ice_policy": "all", "turn_password": "not the password"}
    with capture_logs() as log:
        async with coturn(tmp_path) as server, ours(**relay(server, **settings)) as running, theirs() as peer:
            local = await running.gather()
            assert [one.type for one in running.found(local.ufrag)] == ["host"]
            await talk(running, await running.meet(local, peer), peer)
    [warning] = [entry for entry in log if entry["log_level"] == "warning"]
    assert warning["event"] == "TURN server not usable"
    assert "401" in warning["reason"]
    assert "not the password" not in str(warning)


async def test_the_next_server_is_asked_where_one_is_of_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfu.shell.full_ice.agent.SERVER_TIMEOUT", 0.5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind((HOST, 0))
        nobody = f"{HOST}:{mute.getsockname()[1]}"
        async with coturn(tmp_path) as server:
            settings = relay(server, ice_policy="all")
            settings["turn_urls"] = TURN_URLS.parse(f"turn:{nobody},{server.turn()}")
            settings["stun_urls"] = STUN_URLS.parse(f"stun:{nobody},stun:no.such.invalid,{server.stun}")
            async with ours(**settings) as running:
                local = await running.gather()
                # What STUN sees on loopback is the socket itself, which is no candidate of its own.
                assert sorted(one.type for one in running.found(local.ufrag)) == ["host", "relay"]


# --- our own addresses ---


async def test_an_address_that_is_not_ours_is_no_candidate_and_no_obstacle() -> None:
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


async def test_what_a_stun_server_sees_is_a_candidate() -> None:
    """The server is played here, and says what one behind our NAT would."""
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
