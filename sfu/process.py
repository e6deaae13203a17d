"""One server in one process: what it is made of by the settings, its signals, and its operators' port."""

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import trio

from sfu.admin import Admin
from sfu.config import Settings, blame
from sfu.ice_tcp import IceTcp
from sfu.logs import get_logger
from sfu.server import Server
from sfu.store import open_store
from sfu.udp import MediaSocket

log = get_logger(__name__)


async def serve(settings: Settings, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
    """Run a server until SIGINT or SIGTERM; reports the page's URL when the ports are open.

    Raises:
        ConfigError: a port cannot be had, or the certificate is no good.
    """
    with (
        _open_media(settings) as (media, ice_tcp),
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
    ):
        server = Server(settings, media, open_store(settings), ice_tcp)
        async with trio.open_nursery() as beside:
            beside.start_soon(_stop_at_signals, server, signals)
            operators = await beside.start(Admin(settings, server, media).serve)
            log.info("answering operators", url=operators)
            if not server.door.asks:
                log.warning("anybody may join any room: neither SFU_AUTH_SECRET nor SFU_AUTH_JWKS is set")
            if settings.redis_address is None:
                log.warning("sessions will not survive a restart: SFU_REDIS_URL is not set")
            async with trio.open_nursery() as serving:
                task_status.started(await serving.start(server.run))
            beside.cancel_scope.cancel("the server has stopped")


@contextmanager
def _open_media(settings: Settings) -> Iterator[tuple[MediaSocket, IceTcp]]:
    """Bind the two ports for media. Raises `ConfigError`."""
    with blame("ice_tcp_addr", settings.ice_tcp_addr):
        ice_tcp = IceTcp.open(settings.ice_tcp_addr, max_connections=settings.max_connections)
    with ice_tcp:
        with blame("udp_addr", settings.udp_addr):
            media = MediaSocket.open(*settings.udp_addr, sink=ice_tcp)
        with media:
            yield media, ice_tcp


async def _stop_at_signals(server: Server, signals: AsyncIterator[int]) -> None:
    """Stop at the first signal, and hurry at the second. Later ones change nothing: what is left is bounded."""
    async for number in signals:
        log.info("stopping", signal=signal.Signals(number).name)
        server.stop()
