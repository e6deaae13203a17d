"""Full ICE agents with STUN and TURN servers: a real coturn, servers that refuse, and servers that die."""

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel
from support.coturn import HOST, PASSWORD, USER, coturn
from support.full_ice_agent import MALFORMED, PATIENCE, ours, send, talk, theirs
from support.log_capture import capture_logs
from support.waiting import becomes

from sfu.ice.full_messages import (
    Lost,
)
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS
from sfu.shell.config.values import STUN_URLS, TURN_URLS
from sfu.shell.full_ice.routes import MAX_PENDING


def relay(server: Any, transport: str = "udp", **settings: Any) -> dict[str, Any]:
    """Return settings that use TURN only."""
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
            # As long as audio packets: of shorter ones, coturn reads one per 20 ms from a TCP connection.
            packets = [b"\x80%d" % number + bytes(100) for number in range(200)]
            for packet in packets:
                assert send(path, packet) is None
            with trio.fail_after(PATIENCE):
                assert [await peer.loop.run(peer.connection.recv) for _ in range(200)] == packets
            # Malformed STUN from a peer does not end the connection to the server.
            await peer.loop.run(peer.connection.send, MALFORMED)
            await running.until(lambda: running.drops["stun-malformed"] == 1)
            await talk(running, path, peer)
        assert server.allocations() == 1
        await becomes(server.released, 1)


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_certificate_of_a_turn_server_over_tls_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    """It must come from an authority that OpenSSL trusts on this host, or in this process."""
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


async def test_the_number_of_datagrams_that_wait_for_a_channel_is_limited(tmp_path: Path) -> None:
    async with coturn(tmp_path) as server, ours(**relay(server)) as running, theirs() as peer:
        local = await running.gather()
        path = await running.meet(local, peer)
        [generation] = running.agent._generations.values()
        turn: Any = generation._sockets._protocols[0].transport
        client = turn._TurnTransport__inner_protocol
        await server.die()
        # The channel is due for renewal, and nothing answers: it is still used, with one request at a time.
        client.channel_refresh_at = dict.fromkeys(client.channel_refresh_at, 0.0)

        async def burst() -> list[str | None]:  # noqa: ASYNC124 - to run in the loop
            return [send(path, b"\x80") for _ in range(4 * MAX_PENDING)]

        assert await generation._loop.run(burst) == [None] * 4 * MAX_PENDING
        assert len(turn._TurnTransport__send_tasks) == 1
        # There is no channel: what exceeds the limit is dropped.
        client.peer_to_channel.clear()
        dropped = await generation._loop.run(burst)
        assert len(turn._TurnTransport__send_tasks) == MAX_PENDING
        assert dropped.count("turn-channel-pending") == 3 * MAX_PENDING + 1


async def test_a_relay_over_tcp_that_dies_is_noticed_at_once(tmp_path: Path) -> None:
    async with coturn(tmp_path) as server, ours(**relay(server, "tcp")) as running, theirs() as peer:
        local = await running.gather()
        path = await running.meet(local, peer)
        await server.die()
        await running.until(lambda: Lost(local.ufrag) in running.reports)
        assert send(path, b"\x80") == "ice-socket-closed"


async def test_a_dead_relay_does_not_keep_the_peer(tmp_path: Path) -> None:
    """Its allocation cannot be released; the agent soon stops trying."""
    async with coturn(tmp_path) as server:
        async with ours(**relay(server)) as running:
            await running.gather()
            await server.die()
            started = trio.current_time()
        assert trio.current_time() - started < 4


async def test_a_refusal_by_a_turn_server_leaves_the_other_candidates(tmp_path: Path) -> None:
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


async def test_the_next_server_is_asked_if_one_does_not_answer(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind((HOST, 0))
        nobody = f"{HOST}:{mute.getsockname()[1]}"
        async with coturn(tmp_path) as server:
            settings = relay(server, ice_policy="all")
            settings["turn_urls"] = TURN_URLS.parse(f"turn:{nobody},{server.turn()}")
            settings["stun_urls"] = STUN_URLS.parse(f"stun:{nobody},stun:no.such.invalid,{server.stun}")
            async with ours(timeouts=replace(DEFAULT_TIMEOUTS, ice_server=0.5), **settings) as running:
                local = await running.gather()
                # On loopback, STUN sees the socket's own address, which is not another candidate.
                assert sorted(one.type for one in running.found(local.ufrag)) == ["host", "relay"]
