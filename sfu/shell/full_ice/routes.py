"""The ways out of a full agent's sockets: what `Path.native` is where every peer has sockets of its own.

They reach into asyncio's and aioice's transports, since a datagram is worth no task and must not wait.
"""

import struct
import time
from typing import Any, Final

from aioice import turn

from sfu.shell.media.peer_sockets import Route

MAX_BACKLOG: Final = 64 * 1024
"""Bytes that may wait in asyncio for a socket, after the kernel's own buffer; what comes on top is dropped."""

MAX_WAITING: Final = 32
"""Datagrams that may wait for a TURN channel, the tasks that aioice makes of them included."""

_CHANNEL_DATA: Final = struct.Struct("!HH")


class HostRoute(Route):
    """Sends through one of our own sockets."""

    def __init__(self, transport: Any, remote: tuple[str, int]) -> None:
        self._transport = transport
        self._remote = remote

    def send(self, data: bytes) -> str | None:
        """Send now; return why it was dropped, if it was."""
        transport = self._transport
        if transport.is_closing():
            return "ice-socket-closed"
        if transport.get_write_buffer_size() > MAX_BACKLOG:
            return "send-buffer-full"
        transport.sendto(data, self._remote)
        return None


class RelayRoute(Route):
    """Sends through a TURN server's channel; until that is bound, and when it is due again, by aioice."""

    def __init__(self, transport: turn.TurnTransport, remote: tuple[str, int]) -> None:
        self._transport = transport
        self._remote = remote
        private: Any = transport  # aioice has no other way to these two
        self._client = private._TurnTransport__inner_protocol
        self._waiting = private._TurnTransport__send_tasks

    def send(self, data: bytes) -> str | None:
        """Send now, or when the channel is bound; return why it was dropped, if it was."""
        client, remote = self._client, self._remote
        if client.transport.is_closing():
            return "ice-socket-closed"
        if client.transport.get_write_buffer_size() > MAX_BACKLOG:
            return "send-buffer-full"
        channel = client.peer_to_channel.get(remote)
        if channel is not None and (self._waiting or time.time() <= client.channel_refresh_at[channel]):
            client._send(_CHANNEL_DATA.pack(channel, len(data)) + data)
        elif len(self._waiting) < MAX_WAITING:
            self._transport.sendto(data, remote)
        else:
            return "turn-channel-pending"
        return None
