"""Datagrams of strangers and of hostile peers, thrown at the media port while a call goes on."""

import os
import random
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import pytest
import trio
import trio.lowlevel
from support.client import ScriptedClient, description_of
from support.in_memory_server import CERTIFICATE
from support.real_server import HOST, Call, PortClient, RealServer, attacked
from support.waiting import becomes

from sfu.errors import BadPacket
from sfu.ice import attributes as a
from sfu.ice.stun import MessageClass, StunMessage
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import FirEntry, FullIntraRequest, GenericNack, PictureLossIndication
from sfu.rtp.srtp import OutboundSrtp
from sfu.shell.media.path_cache import PATHS

CLOSE_NOTIFY = b"\1\0"
INTERNAL_ERROR = b"\2\x50"


@contextmanager
def stranger(server: RealServer) -> Iterator[socket.socket]:
    """Open the socket of a stranger. The server must never send anything to it: it is not a reflector."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.bind((HOST, 0))
        sock.connect(server.media.address)
        yield sock
        with pytest.raises(BlockingIOError):
            sock.recv(2048)


async def throw(datagrams: Iterable[bytes], *targets: socket.socket | PortClient) -> None:
    """Send datagrams from each target's address, hardly slower than the server can take them."""
    for number, data in enumerate(datagrams):
        for target in targets:
            if isinstance(target, PortClient):
                target.datagram(data)
            else:
                target.send(data)
        if number % 32 == 31:
            await trio.sleep(0.001)


def check(ufrag: str, key: str | None = None) -> bytes:
    """A connectivity check that nominates; without a key it has no MESSAGE-INTEGRITY."""
    attributes = (
        (a.USERNAME, f"{ufrag}:stranger"),
        (a.ICE_CONTROLLING, 1),
        (a.PRIORITY, 1),
        (a.USE_CANDIDATE, True),
    )
    message = StunMessage(MessageClass.REQUEST, os.urandom(12), attributes)
    return message.serialize(None if key is None else key.encode())


def refused(server: RealServer, user: str) -> int:
    """Return how many checks for a user were refused: too many, or not signed with the password."""
    return server.drops(user).get("ice-integrity", 0) + server.drops().get("check-flood", 0)


def ufrag_of(client: PortClient) -> str:
    """The server's user-name fragment for a client: no secret, since it stands in every check."""
    return description_of(client.heard("answer")[0]["sdp"]).ufrag


def dtls_record(content_type: int, body: bytes) -> bytes:
    """A record of epoch 0, so without protection (RFC 6347 section 4.1)."""
    return struct.pack("!BHQH", content_type, 0xFEFD, random.getrandbits(40), len(body)) + body


def client_hello() -> bytes:
    """A real one, as it begins a handshake."""
    machine = ScriptedClient(random=os.urandom, now=0.0, certificate=CERTIFICATE)
    machine.dtls.start(0.0)
    (data,) = machine.dtls.outgoing(0.0)
    return data


def noise(size: int, first: int | None = None) -> bytes:
    """Random bytes, the same in every run; `first` is the first of them."""
    data = random.Random(f"{size} {first}").randbytes(size)
    return data if first is None else bytes([first]) + data[1:]


def forged_media(call: Call) -> Iterator[bytes]:
    """Packets like alice's next ones, encrypted with a key that an attacker had to guess."""
    video = call.alice.browser.transceivers[1]
    guessed = OutboundSrtp("AEAD_AES_128_GCM", bytes(16), bytes(12))
    number = call.alice.numbers[video.ssrc]
    for ahead in range(500):
        packet = RtpPacket(
            96, True, (number + ahead) & 0xFFFF, 0, video.ssrc, (), (), b"\x10\0\0\0\x9d\1\x2a forged"
        )
        yield guessed.protect(packet.serialize())
        yield packet.serialize()


# --- strangers ---


async def test_noise_with_every_first_byte_and_many_sizes() -> None:
    async with attacked() as (server, _):
        with stranger(server) as sock:
            await throw((noise(size, first) for first in range(256) for size in (1, 2, 20, 1200)), sock)
            await throw(map(noise, (*range(64), 2048, 2049, 9000, 65507)), sock)
            await becomes(lambda: server.drops().get("truncated"), 3)
            assert server.drops()["empty"] == 1
            assert server.drops()["unknown-source"] > 1000
            assert server.drops()["stun-truncated"] >= 4


async def test_checks_with_an_unknown_username_fragment() -> None:
    async with attacked() as (server, _):
        with stranger(server) as sock:
            await throw((check(f"nobody{i}", "password" * 3) for i in range(1000)), sock)
            await becomes(lambda: server.drops().get("unknown-ufrag"), 1000)


@pytest.mark.parametrize("key", [None, "password" * 3])
async def test_checks_without_the_password(key: str | None) -> None:
    async with attacked() as (server, call):
        with stranger(server) as sock:
            await throw((check(ufrag_of(call.alice), key) for _ in range(1000)), sock)
            # Only the first ones are authenticated.
            await becomes(lambda: refused(server, "alice"), 1000)
            assert 50 <= server.drops("alice")["ice-integrity"] < 500


async def test_a_handshake_and_media_from_an_address_that_is_not_verified() -> None:
    async with attacked() as (server, call):
        with stranger(server) as sock:
            await throw([client_hello()] * 200, sock)
            await throw(forged_media(call), sock)
            await becomes(lambda: server.drops().get("unknown-source"), 1200)


async def test_checks_from_more_addresses_than_the_path_cache_holds() -> None:
    async with attacked() as (server, call):
        before = server.remains()["routes"]
        data = check(ufrag_of(call.alice))
        for number in range(2 * PATHS + 1000):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(data, server.media.address)
            if number % 16 == 15:
                await trio.lowlevel.checkpoint()
        await becomes(lambda: server.drops("alice").get("ice-integrity"), 2 * PATHS + 1000)
        assert server.remains()["routes"] == before


# --- in the name of a peer: the attacker can send from its address, and does not have its keys ---


async def test_media_with_the_ssrc_of_a_peer() -> None:
    async with attacked() as (server, call):
        await throw(forged_media(call), call.alice)
        await throw((noise(size, 0x80) for size in range(2, 1400, 3)), call.alice, call.bob)
        await becomes(lambda: server.drops("alice").get("srtp-auth", 0) >= 500, True)
        assert server.drops("alice").keys() >= {"srtp-auth", "srtp-malformed"}


async def test_replayed_media_of_a_peer() -> None:
    async with attacked() as (server, call):
        overheard: list[bytes] = []
        call.alice.overhear = overheard.append
        await trio.sleep(0.5)
        call.alice.overhear = None
        media = [data for data in overheard if data[0] >= 128]
        await throw(media * 5, call.alice)
        await becomes(lambda: server.drops("alice").get("srtp-replay"), 5 * len(media))


async def test_dtls_with_the_address_of_a_peer() -> None:
    async with attacked() as (server, call):
        handshake = [client_hello()] * 50
        alerts = [dtls_record(21, alert) for alert in (CLOSE_NOTIFY, INTERNAL_ERROR, noise(40)) * 50]
        rest = [
            dtls_record(content_type, noise(size)) for content_type in range(18, 66) for size in (1, 100, 1000)
        ]
        await throw(
            [*handshake, *alerts, *rest, *(noise(size, 22) for size in range(1, 200))], call.alice, call.bob
        )
        await call.is_undisturbed()
        assert sum(server.drops("alice").values()) > 300


async def test_checks_with_the_username_fragment_of_a_peer() -> None:
    async with attacked() as (server, call):
        own = ufrag_of(call.alice), ufrag_of(call.bob)
        await throw([check(ufrag) for ufrag in own * 100], call.alice)
        await throw([noise(size, 0) for size in range(1, 400)], call.alice)
        await becomes(lambda: refused(server, "alice"), 100)
        # Bob's fragment on alice's path: dropped before bob's agent sees it.
        await becomes(lambda: server.drops().get("path-of-another"), 100)


# --- hostile peers: they have joined, and have keys of their own ---


async def test_a_peer_whose_certificate_is_another_than_described() -> None:
    async with attacked() as (server, _call), server.client("mallory") as mallory:
        mallory.fingerprint = "sha-256 " + ":".join(["AB"] * 32)
        await mallory.join("call")
        await mallory.publish("audio")
        await mallory.until(lambda: mallory.closed)
        assert mallory.closed is not None
        assert mallory.closed.reason is not None
        assert mallory.closed.reason.reason == "fingerprint-mismatch"
        assert mallory.arrived == {}


async def test_garbage_from_a_verified_peer() -> None:
    async with attacked() as (server, call), server.client("mallory") as mallory:
        await mallory.join("call")
        (own,) = await mallory.publish("video")
        await mallory.connect()
        machine = mallory.machine
        assert machine.outbound is not None
        # Authentic, and still nonsense: of foreign SSRCs and payload types, with padding and extensions that
        # reach over the end, and feedback about everything.
        stolen = call.alice.browser.transceivers[1].ssrc
        for number in range(500):
            ssrc = (own.ssrc, stolen, number)[number % 3]
            packet = RtpPacket(
                number % 128, bool(number % 2), number * 77 & 0xFFFF, number, ssrc, (), (), noise(9)
            )
            header = bytearray(packet.serialize())
            header[0] |= (0x20, 0x10, 0x0F, 0)[number % 4]
            if not 64 <= header[1] & 0x7F < 96:
                with suppress(BadPacket):  # our own encryption refuses the worst
                    mallory.datagram(machine.outbound.protect(bytes(header) + noise(200)))
            body = noise(4 * (number % 300))
            rtcp = (
                struct.pack("!BBHI", 0x80 | number % 32, 192 + number % 32, len(body) // 4 + 1, stolen) + body
            )
            mallory.datagram(machine.outbound.protect_rtcp(rtcp))
            if number % 32 == 31:
                await trio.sleep(0.001)
        await throw((noise(size, first) for first in (0, 22, 128, 200) for size in range(1, 100)), mallory)
        await trio.sleep(0.5)
        print(server.drops("mallory"))
        await becomes(lambda: sum(server.drops("mallory").values()) > 300, True)
        assert server.drops("mallory").keys() >= {
            "rtp-unknown-ssrc",
            "rtcp-rr",
            "srtp-auth",
            "dtls-record-length",
        }


async def test_feedback_that_asks_for_everything() -> None:
    """NACKs and key-frame requests about what a peer really receives are answered, within bounds."""
    async with attacked() as (server, _call), server.client("mallory") as mallory:
        await mallory.join("call")
        await mallory.publish("audio")
        await mallory.connect()
        await mallory.until(lambda: sum(bool(line.track) for line in mallory.browser.lines) == 4)
        await mallory.until(lambda: mallory.arrived)
        ssrcs = [ssrc for ssrcs in mallory.browser.ssrc_of_mid.values() for ssrc in ssrcs]
        out = server.media.statistics().bytes_out
        asked = 0
        for number in range(200):
            ssrc = ssrcs[number % len(ssrcs)]
            lost = tuple(range(number * 300 & 0xFFFF, (number * 300 & 0xFFFF) + 300))
            mallory.machine.send_rtcp(
                [
                    GenericNack(1, ssrc, tuple(each & 0xFFFF for each in lost)),
                    PictureLossIndication(1, ssrc),
                    FullIntraRequest(1, tuple(FirEntry(ssrc, number) for ssrc in ssrcs)),
                ]
            )
            mallory.flush()
            asked += len(lost)
            await trio.sleep(0.002)
        assert server.media.statistics().bytes_out - out < 2_000_000
