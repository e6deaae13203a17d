"""Checks of one member from the address of another: the packets of a call go on, to their own receiver."""

import trio
from support.real_server import attacked
from support.waiting import becomes


async def test_100_checks_from_the_address_of_a_caller_lose_no_packet_of_the_call() -> None:
    """Nobody can take the path of a call by checks with their own password and a forged source address."""
    async with attacked() as (server, call), server.client("mallory") as mallory:
        await mallory.join("another room")
        await mallory.publish("audio")
        await mallory.connect()
        transports = {
            peer.user_id: peer.connection.transport
            for room in server.sfu.conference.rooms.values()
            for peer in room.peers.values()
        }
        before = {user: transport.selected for user, transport in transports.items()}
        for number in range(100):
            victim = (call.alice, call.bob)[number % 2]
            victim.datagram(mallory.machine.check(nominate=True))
            await trio.lowlevel.checkpoint()
        await becomes(lambda: server.drops().get("path-of-another"), 100)
        await call.is_undisturbed()
        assert {user: transport.selected for user, transport in transports.items()} == before
        assert {transport.state.value for transport in transports.values()} == {"completed"}
