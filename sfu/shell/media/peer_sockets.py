"""The media of full ICE agents: each peer has its own sockets, and each path has a route that sends.

`PeerSockets` replaces `sfu.shell.media.udp.MediaSocket` in this mode, for sending only. Received datagrams come
through `sfu.shell.full_ice.agent`.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Self

import trio

from sfu.ice.path import Address, IcePath
from sfu.shell.media.udp import Receive, SocketStatistics
from sfu.transport.egress import Egress


class Route(ABC):
    """Sends to one address of a peer from one of its sockets. It is `IcePath.native` in this mode."""

    @abstractmethod
    def send(self, data: bytes) -> str | None:
        """Send now. Return the reason if the datagram was dropped, else None."""


class PeerSockets:
    """Sends each datagram of a batch through its path's route, and counts."""

    def __init__(self, host: str) -> None:
        self.address = Address(host, 0)
        """Where the sockets are bound. The system chooses a port for each."""
        self.egress = Egress(self._send)
        """The batch of all outgoing datagrams."""
        self._drops: Counter[str] = Counter()
        self._packets_in = self._bytes_in = self._packets_out = self._bytes_out = 0

    async def run(self, receive: Receive, after_batch: Callable[[float], None]) -> None:
        """Do nothing until cancelled: the peers' own sockets receive."""
        await trio.sleep_forever()

    def count(self, data: bytes) -> None:
        """Count a datagram that arrived at a peer's socket."""
        self._packets_in += 1
        self._bytes_in += len(data)

    def statistics(self) -> SocketStatistics:
        """Return the counters as they are now. There is no shared socket, so those about its buffers are 0."""
        return SocketStatistics(
            packets_in=self._packets_in,
            bytes_in=self._bytes_in,
            packets_out=self._packets_out,
            bytes_out=self._bytes_out,
            drops=dict(self._drops),
            kernel_drops=0,
            receive_buffer=0,
            send_buffer=0,
        )

    def _send(self, egress: Egress) -> None:
        for index in range(egress.count):
            data = bytes(egress.buffers[index][: egress.lengths[index]])
            reason = self._send_one(data, egress.paths[index])
            if reason is None:
                self._packets_out += 1
                self._bytes_out += len(data)
            else:
                self._drops[reason] += 1

    def _send_one(self, data: bytes, path: IcePath | None) -> str | None:
        assert path is not None, "a slot in use has a path"
        route = path.native
        assert isinstance(route, Route), "every path of this mode has a route"
        return route.send(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close nothing: there is no socket here."""
