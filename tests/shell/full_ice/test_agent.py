"""Full ICE agents on sockets of loopback: connecting, ICE restarts, consent, and event loops that fail."""

import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import aioice
import pytest
import trio
import trio.lowlevel
from support.coturn import HOST
from support.full_ice_agent import PATIENCE, files, ours, send, talk, theirs
from support.log_capture import capture_logs

import sfu.shell.full_ice.agent
from sfu.ice.candidate import Candidate
from sfu.ice.credentials import make_credentials
from sfu.ice.events import IceState
from sfu.ice.full_messages import (
    Connect,
    Heard,
    Lost,
    Release,
    TryCandidate,
    Validated,
)
from sfu.ice.lite import IceLiteAgent
from sfu.ice.path import Address, IcePath
from sfu.shell.aio import Loop, open_loop
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS


@pytest.mark.parametrize("controlling", [True, False])
async def test_either_side_may_be_controlling(controlling: bool) -> None:
    async with ours() as running, theirs(controlling=not controlling) as peer:
        local = await running.gather()
        assert [(one.type, one.address.host) for one in running.found(local.ufrag)] == [("host", HOST)]
        path = await running.meet(local, peer, controlling=controlling)
        await talk(running, path, peer)
        assert running.counted == len(b"\x80 hello")
        assert Validated(local.ufrag, path, True) in running.reports


async def test_datagrams_that_arrive_together_are_flushed_together() -> None:
    async with ours() as running, theirs() as peer:
        path = await running.meet(await running.gather(), peer)
        before = running.flushes

        async def burst() -> None:
            for number in range(30):
                await peer.connection.send(b"\x80%d" % number)

        await peer.loop.run(burst)
        await running.until(lambda: len(running.datagrams) == 30)
        assert 1 <= running.flushes - before < 10
        await talk(running, path, peer)


async def test_a_role_conflict_is_resolved() -> None:
    async with ours() as running, theirs(controlling=True) as peer:
        local = await running.gather()
        await talk(running, await running.meet(local, peer, controlling=True), peer)


async def test_a_lite_peer_is_checked_and_nominated() -> None:
    """The peer is our own lite agent, on a socket."""
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


async def test_after_a_restart_the_old_generation_works_until_it_is_released() -> None:
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


async def test_requests_for_an_ended_generation_do_nothing() -> None:
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


async def test_consent_and_its_end_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.CONSENT_INTERVAL", 0.1)
    async with ours() as running:
        async with theirs() as peer:
            local = await running.gather()
            path = await running.meet(local, peer)
            await running.until(lambda: Heard(local.ufrag, path) in running.reports)
        await running.until(lambda: Lost(local.ufrag) in running.reports)


async def test_a_failing_callback_is_counted_and_the_loop_goes_on() -> None:
    async with ours() as running, theirs() as peer:
        local = await running.gather()
        path = await running.meet(local, peer)
        [generation] = running.agent._generations.values()
        generation._loop.asyncio.call_soon(lambda: 1 // 0)
        await running.until(lambda: running.drops["ice-loop-error"] == 1)
        await talk(running, path, peer)


async def test_a_failed_loop_is_reported_and_replaced() -> None:
    with capture_logs() as log:
        async with ours(timeouts=replace(DEFAULT_TIMEOUTS, ice_retry=0.0)) as running:
            local = await running.gather()
            running.agent.carry_out([cast(Any, Connect(local.ufrag, cast(Any, None), True))])
            await running.until(lambda: Lost(local.ufrag) in running.reports)
            assert [entry["event"] for entry in log if entry["log_level"] == "error"] == ["ICE agent failed"]
            async with theirs() as peer:
                again = await running.gather()
                await talk(running, await running.meet(again, peer), peer)


async def test_a_loop_that_cannot_be_opened_is_tried_again_after_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For want of a file descriptor, for example. The requests are carried out when there is one."""
    attempts: list[float] = []

    @asynccontextmanager
    async def scarce(failed: Callable[[BaseException], None]) -> AsyncIterator[Loop]:
        attempts.append(trio.current_time())
        if len(attempts) < 3:
            raise OSError(errno.EMFILE, "no file")
        async with open_loop(failed) as loop:
            yield loop

    monkeypatch.setattr(sfu.shell.full_ice.agent, "open_loop", scarce)
    with capture_logs() as log:
        async with ours(timeouts=replace(DEFAULT_TIMEOUTS, ice_retry=0.1)) as running:
            await running.gather()
    assert len(attempts) == 3
    assert attempts[2] - attempts[0] > 0.2
    assert [entry["event"] for entry in log if entry["log_level"] == "error"] == ["ICE agent failed"] * 2
