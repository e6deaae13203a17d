"""Resolving mDNS names by multicast. The tests play the hosts that answer."""

import ipaddress
import socket
import struct
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from support.waiting import becomes

from sfu.shell.aio import open_loop
from sfu.shell.full_ice.mdns import QUERIES, resolve

GROUP = ("224.0.0.251", 5353)

RECORDED = {
    # Chromium 156: the compressed name in its NSEC record is what dnspython takes offence at.
    "chromium": "0000840000000001000000012439363765346632322d663136662d343434302d613839352d"
    "656262333932636662633133056c6f63616c0000018001000000780004c6336402"
    "2439363765346632322d663136662d343434302d613839352d656262333932636662633133056c6f63616c00"
    "002f8001000000780005c046000140",
    # The same for the question for an IPv6 address: that there is none, and the other one beside.
    "chromium-ipv6": "0000840000000001000000012439363765346632322d663136662d343434302d613839352d"
    "656262333932636662633133056c6f63616c00002f8001000000780005c00c000140"
    "2439363765346632322d663136662d343434302d613839352d656262333932636662633133056c6f63616c00"
    "00018001000000780004c6336402",
    # Firefox 153.
    "firefox": "0000840000000001000000002438336537393164332d613039392d346431312d616661342d"
    "623234633030636339336334056c6f63616c0000018001000000780004c6336402",
}
"""What browsers in Debian 12 answered for a host at 198.51.100.2."""

RESPONSE = 0x8400
QUESTION = 0
WRONG = socket.inet_aton("192.0.2.66")
IN, IN_ALONE, CHAOS = 1, 0x8001, 3
A, AAAA, TXT = 1, 28, 16


def recorded(browser: str, name: str) -> bytes:
    """A browser's answer, about another name: all have the same length."""
    data = bytes.fromhex(RECORDED[browser])
    return data.replace(data[13 : 13 + 36], name.removesuffix(".local").encode())


def answer(name: str, address: bytes, *, kind: int = A, net: int = IN_ALONE, flags: int = RESPONSE) -> bytes:
    """A message with one record."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    record = labels + struct.pack("!HHIH", kind, net, 120, len(address)) + address
    return struct.pack("!6H", 0, flags, 0, 1, 0, 0) + record


@pytest.fixture
def name() -> str:
    """Return a name for this test only: other tests may run at the same time on this network."""
    with _ear() as ear:
        try:
            _join(ear)
            ear.sendto(b"", GROUP)
        except OSError as error:
            pytest.skip(f"no multicast here: {error}")
    return f"{uuid.uuid4()}.local"


def _ear() -> socket.socket:
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    ear.bind(("", GROUP[1]))
    return ear


def _join(ear: socket.socket) -> None:
    ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP[0]) + bytes(4))


@asynccontextmanager
async def neighbour(name: str, *answers: bytes) -> AsyncIterator["Neighbour"]:
    """Run a host that sends all of `answers`, one after the other, when asked for `name`."""
    with _ear() as ear, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        _join(ear)
        async with trio.open_nursery() as nursery:
            played = Neighbour(name, answers, trio.socket.from_stdlib_socket(ear), stranger)
            nursery.start_soon(played.run)
            yield played
            nursery.cancel_scope.cancel("asked enough")


class Neighbour:
    """Another host of the local network."""

    def __init__(
        self, name: str, answers: Sequence[bytes], ear: trio.socket.SocketType, stranger: socket.socket
    ) -> None:
        self.questions: list[bytes] = []
        """Those for its name so far."""
        self.wrong_port: list[bytes] = []
        """Datagrams that it sends first, from another port than mDNS."""
        self._id = name.removesuffix(".local").encode()
        self._answers = answers
        self._ear = ear
        self._stranger = stranger

    async def run(self) -> None:
        """Answer until cancelled."""
        while True:
            data = await self._ear.recv(4096)
            if self._id not in data or struct.unpack_from("!H", data, 4) == (0,):
                continue
            self.questions.append(data)
            for said in self.wrong_port:
                self._stranger.sendto(said, GROUP)
            for said in self._answers:
                await self._ear.sendto(said, GROUP)


async def asked_for(name: str) -> str | None:
    """Resolve a name; fail if something fails in the event loop."""
    failures: list[BaseException] = []
    async with open_loop(failures.append) as loop:
        host = await loop.run(resolve, name)
    assert failures == []
    return host


@pytest.mark.parametrize("browser", RECORDED)
async def test_the_answers_of_browsers(name: str, browser: str) -> None:
    async with neighbour(name, recorded(browser, name)):
        assert await asked_for(name) == "198.51.100.2"


async def test_an_ipv6_address(name: str) -> None:
    address = ipaddress.ip_address("2001:db8::7")
    async with neighbour(name, answer(name, address.packed, kind=AAAA)):
        assert await asked_for(name) == str(address)


async def test_a_record_without_the_cache_flush_bit(name: str) -> None:
    async with neighbour(name, answer(name, WRONG, net=IN)):
        assert await asked_for(name) == "192.0.2.66"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(lambda name: b"", id="nothing"),
        pytest.param(lambda name: answer(name, WRONG)[:11], id="half-a-header"),
        pytest.param(lambda name: answer(name, WRONG)[:-1], id="cut"),
        pytest.param(lambda name: answer(name, WRONG, flags=QUESTION), id="a-question"),
        pytest.param(lambda name: answer(f"other-{name}", WRONG), id="another-name"),
        pytest.param(lambda name: answer(name, WRONG, kind=TXT), id="another-kind"),
        pytest.param(lambda name: answer(name, WRONG, net=CHAOS), id="another-class"),
        pytest.param(lambda name: answer(name, WRONG[:3]), id="too-short"),
        pytest.param(lambda name: answer(name, WRONG, kind=AAAA), id="too-short-ipv6"),
        pytest.param(lambda name: answer(name, bytes(4)), id="unspecified"),
        pytest.param(lambda name: answer(name, bytes(16), kind=AAAA), id="unspecified-ipv6"),
        pytest.param(lambda name: answer(name, socket.inet_aton(GROUP[0])), id="multicast"),
    ],
)
async def test_a_datagram_that_is_not_an_answer_is_ignored(name: str, said: Callable[[str], bytes]) -> None:
    """It is ignored, and the answer after it is used."""
    async with neighbour(name, said(name), recorded("firefox", name)):
        assert await asked_for(name) == "198.51.100.2"


async def test_an_answer_from_another_port_is_ignored(name: str) -> None:
    async with neighbour(name, recorded("firefox", name)) as played:
        played.wrong_port = [answer(name, WRONG)]
        assert await asked_for(name) == "198.51.100.2"


async def test_without_an_answer_there_is_no_address(name: str) -> None:
    async with neighbour(name) as played:
        assert await asked_for(name) is None
        await becomes(lambda: len(played.questions), 2 * QUERIES)
        kinds = {question[-4:] for question in played.questions}
        assert kinds == {struct.pack("!HH", A, IN), struct.pack("!HH", AAAA, IN)}
