"""Which store the settings ask for."""

import os
import socket

from sfu.shell.config.settings import Settings
from sfu.shell.store.interface import Store
from sfu.shell.store.memory import MemoryStore


def open_store(settings: Settings) -> Store:
    """Return the store for a server with these settings. `Store.run` makes it work."""
    server_id = settings.server_id or f"{socket.gethostname()}/{settings.http_addr}"
    address = settings.redis_address
    if address is None:
        return MemoryStore(server_id)
    # Imported here, so that a server without Redis has no asyncio in its process.
    from sfu.shell.store.redis import RedisStore

    return RedisStore(
        address, server_id, os.urandom, prefix=settings.redis_prefix, room_ttl=settings.room_ttl_sec
    )
