"""Floods of connectivity checks: only a few of each path are authenticated, and a call goes on beside them."""

import os
import socket

import trio
from support.client import description_of
from support.real_server import HOST, attacked
from support.waiting import becomes

from sfu.ice import attributes as a
from sfu.ice.stun import MessageClass, StunMessage

FLOOD = 2000


async def test_a_flood_with_the_fragment_of_a_caller_is_not_authenticated() -> None:
    """A stranger who knows a caller's user-name fragment makes the server compute few hashes."""
    async with attacked() as (server, call):
        ufrag = description_of(call.alice.heard("answer")[0]["sdp"]).ufrag
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as stranger:
            stranger.bind((HOST, 0))
            stranger.connect(server.media.address)
            for number in range(FLOOD):
                message = StunMessage(
                    MessageClass.REQUEST, os.urandom(12), ((a.USERNAME, f"{ufrag}:stranger"),)
                )
                stranger.send(message.serialize(b"a password that was guessed"))
                if number % 32 == 31:
                    await trio.sleep(0.001)
            await becomes(
                lambda: server.drops().get("check-flood", 0) + server.drops("alice").get("ice-integrity", 0),
                FLOOD,
            )
        assert server.drops("alice")["ice-integrity"] < FLOOD / 4
        await call.is_undisturbed()


async def test_a_flood_of_valid_checks_is_mostly_not_answered() -> None:
    """A member cannot buy more than 20 answers a second with checks that carry the right password."""
    async with attacked() as (server, call), server.client("mallory") as mallory:
        await mallory.join("another room")
        await mallory.publish("audio")
        await mallory.connect()
        room = next(room for room in server.sfu.conference.rooms.values() if room.find_user("mallory"))
        peer = room.find_user("mallory")
        assert peer is not None
        before = peer.connection.transport.statistics().ice.checks
        for number in range(FLOOD):
            mallory.datagram(mallory.machine.check())
            if number % 32 == 31:
                await trio.sleep(0.001)

        def answered() -> int:
            return peer.connection.transport.statistics().ice.checks - before

        await becomes(lambda: server.drops().get("check-flood", 0) + answered() >= FLOOD, True)
        assert answered() < FLOOD / 4
        await call.is_undisturbed()
        assert server.drops("alice").get("ice-integrity") is None


async def test_callers_are_never_refused() -> None:
    """Clients that behave stay far below the limit while they join, connect and talk."""
    async with attacked() as (server, call):
        await call.is_undisturbed()
        assert "check-flood" not in server.drops()
