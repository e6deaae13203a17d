"""Clients without UDP, and strangers, at the TCP port for media of a whole server."""

import os
import re
import socket
from contextlib import ExitStack, suppress
from dataclasses import replace

import trio
from support.media import DELTA_FRAME, KEY_FRAME
from support.real_server import Call, RealServer, TcpClient, attacked, real_server
from support.waiting import PATIENCE, becomes

from sfu.ice.framing import LENGTH
from sfu.ice.path import IcePath
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS
from sfu.transport.peer import PeerTransport


def transport_of(server: RealServer, user: str) -> PeerTransport:
    """Return the server's transport of a client."""
    rooms = server.sfu.conference.rooms.values()
    return next(
        peer for room in rooms for peer in room.peers.values() if peer.user_id == user
    ).connection.transport


def key_frame_requests(server: RealServer, user: str) -> int:
    """Return how many key frames a client was asked for."""
    return sum(stream.statistics().key_frame_requests for stream in transport_of(server, user).streams)


async def test_a_call_by_tcp_with_one_by_udp() -> None:
    async with real_server() as server:
        before = server.remains()
        async with server.call(tcp=True) as call:
            path = transport_of(server, "alice").selected
            assert isinstance(path, IcePath)
            assert path.transport == "tcp"
            assert path.local == server.ice_tcp.address
            other = transport_of(server, "bob").selected
            assert isinstance(other, IcePath)
            assert other.transport == "udp"
            # Each byte is sent as its own segment.
            assert isinstance(call.alice, TcpClient)
            call.alice.segment = 1
            packets = server.ice_tcp.statistics().packets_in
            await becomes(lambda: server.ice_tcp.statistics().packets_in > packets + 50, True)
            await call.is_undisturbed()
            now = server.ice_tcp.statistics()
            assert (now.connections, now.waiting, now.drops) == (1, 0, {})
        await server.returns_to(before)


async def test_the_path_of_a_closed_connection_is_gone() -> None:
    """The peer stays, and goes on where it comes back: on a new connection, by its next check."""
    async with real_server() as server, server.tcp_client("alice") as alice:
        assert isinstance(alice, TcpClient)
        await alice.join()
        await alice.publish("audio")
        await alice.connect()
        transport = transport_of(server, "alice")
        routes = server.sfu.conference.statistics().routes
        old = transport.selected
        alice.hang_up()
        await becomes(lambda: transport.selected, None)
        assert server.sfu.conference.statistics().routes == routes - 1
        assert transport.send_context.path is None

        assert server.ice_tcp.address is not None
        with socket.create_connection(server.ice_tcp.address) as sock:
            alice.use(sock)
            await becomes(lambda: transport.selected is not None and transport.selected != old, True)
            assert server.sfu.conference.statistics().routes == routes
            assert not transport.ended


async def test_a_client_that_does_not_read_for_a_while_gets_whole_frames_and_all_audio() -> None:
    async with real_server() as server, server.tcp_client("alice") as alice, server.client("bob") as bob:
        assert isinstance(alice, TcpClient)
        await Call(alice, bob).begin()
        audio, video = bob.browser.transceivers[:2]
        frames, words = 0, 0

        async def send(start: bytes = DELTA_FRAME) -> None:
            nonlocal frames, words
            first = start + b" frame %d packet 0" % frames
            others = [b"\0 frame %d packet %d" % (frames, index) + bytes(1000) for index in (1, 2)]
            bob.send(video, first, *others)
            bob.send(audio, b"word %d" % words)
            frames, words = frames + 1, words + 1
            # What the server has not taken yet, it has not left out either.
            await becomes(taken, 3 * frames + words)

        def taken() -> int:
            return sum(stream.statistics().packets for stream in transport_of(server, "bob").streams)

        def left_out() -> int:
            senders = transport_of(server, "alice").senders
            return sum(sender.statistics().dropped.get("outlet-full", 0) for sender in senders)

        await send(KEY_FRAME)
        await send()
        alice.is_stuck = True
        with trio.fail_after(PATIENCE):
            while not left_out():
                await send()
        full_at = frames - 1
        for _ in range(20):
            await send()
        assert left_out() == 3 * 21
        asked = key_frame_requests(server, "bob")
        alice.is_stuck = False
        await becomes(lambda: b"word %d" % (words - 1) in alice.arrived, True)
        await becomes(lambda: key_frame_requests(server, "bob") > asked, True)
        again = frames
        await send(KEY_FRAME)
        await send()
        await becomes(lambda: b"word %d" % (words - 1) in alice.arrived, True)

        expected = [*range(full_at), again, again + 1]
        names = [re.search(rb"frame (\d+) packet (\d)", payload) for payload in alice.arrived]
        shown = [(int(name[1]), int(name[2])) for name in names if name is not None]
        assert shown == [(frame, packet) for frame in expected for packet in range(3)]
        assert all(b"word %d" % word in alice.arrived for word in range(words))
        assert server.ice_tcp.statistics().drops == {}


async def test_strangers_get_no_answer_and_are_disconnected() -> None:
    impatient = replace(DEFAULT_TIMEOUTS, tcp_unclaimed=0.0, tcp_sweep=0.5)
    async with attacked(timeouts=impatient) as (server, _), trio.open_nursery() as nursery:
        with ExitStack() as sockets:
            for number in range(60):
                assert server.ice_tcp.address is not None
                sock = sockets.enter_context(socket.create_connection(server.ice_tcp.address))
                sock.setblocking(False)
                nursery.start_soon(be_a_stranger, sock, number)
            await becomes(lambda: len(nursery.child_tasks), 0)
        assert server.ice_tcp.statistics().waiting == 0
        assert server.drops()["unknown-source"] > 0
        assert server.ice_tcp.statistics().drops["unclaimed"] > 0
        assert server.ice_tcp.statistics().drops["frame-too-long"] > 0


async def be_a_stranger(sock: socket.socket, number: int) -> None:
    """Say something that is not right, and wait to be hung up on without a word."""
    noise = os.urandom(100)
    lines = [
        b"",
        b"\0",
        b"GET / HTTP/1.1\r\n\r\n",
        LENGTH.pack(100) + noise,
        LENGTH.pack(0) * 50,
        LENGTH.pack(100) + b"\x16\xfe\xfd" + noise[3:],
        LENGTH.pack(100) + b"\x80" + noise[1:],
        LENGTH.pack(100) + b"\0\1" + noise[2:],
    ]
    sock.send(lines[number % len(lines)])
    with trio.fail_after(PATIENCE):
        await trio.lowlevel.wait_readable(sock)
    with suppress(ConnectionResetError):  # where the server had not read everything
        assert sock.recv(100) == b""


async def test_the_server_stops_with_clients_by_tcp() -> None:
    """`real_server` holds that nothing is left."""
    async with real_server() as server, server.call(tcp=True) as call:
        server.sfu.stop()
        await becomes(lambda: call.alice.closed is not None, True)
