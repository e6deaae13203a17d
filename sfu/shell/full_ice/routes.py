"""The routes of full ICE agents: how a datagram leaves through a peer's socket. They are `IcePath.native`.

They use private parts of asyncio's and aioice's transports: a datagram must not wait, and must not cost a task.
"""

import struct
import time
from typing import Any, Final

from aioice import turn

from sfu.shell.media.peer_sockets import Route

MAX_BACKLOG: Final = 64 * 1024
"""Most bytes that wait in asyncio for a socket, beside those in the kernel; more are dropped."""

MAX_PENDING: Final = 32
"""Most datagrams that wait for a TURN channel. aioice makes a task for each."""

_CHANNEL_DATA: Final = struct.Struct("!HH")


class HostRoute(Route):
    """Sends through a socket of the peer."""

    def __init__(self, transport: Any, remote: tuple[str, int]) -> None:
        self._transport = transport
        self._remote = remote

    def send(self, data: bytes) -> str | None:
        """Send now. Return the reason if the datagram was dropped, else None."""
        transport = self._transport
        if transport.is_closing():
            return "ice-socket-closed"
        if transport.get_write_buffer_size() > MAX_BACKLOG:
            return "send-buffer-full"
        transport.sendto(data, self._remote)
        return None


class RelayRoute(Route):
    """Sends through a channel of a TURN server. While the channel is not bound, or due for renewal, aioice
    sends.
    """

    def __init__(self, transport: turn.TurnTransport, remote: tuple[str, int]) -> None:
        self._transport = transport
        self._remote = remote
        private: Any = transport  # aioice has no public attribute for these two
        self._client = private._TurnTransport__inner_protocol
        self._waiting = private._TurnTransport__send_tasks

    def send(self, data: bytes) -> str | None:
        """Send now, or when the channel is bound. Return the reason if the datagram was dropped, else None."""
        client, remote = self._client, self._remote
        if client.transport.is_closing():
            return "ice-socket-closed"
        if client.transport.get_write_buffer_size() > MAX_BACKLOG:
            return "send-buffer-full"
        channel = client.peer_to_channel.get(remote)
        if channel is not None and (self._waiting or time.time() <= client.channel_refresh_at[channel]):
            client._send(_CHANNEL_DATA.pack(channel, len(data)) + data)
        elif len(self._waiting) < MAX_PENDING:
            self._transport.sendto(data, remote)
        else:
            return "turn-channel-pending"
        return None
