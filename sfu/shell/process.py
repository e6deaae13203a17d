"""One server in one process: what it is made of by the settings, its signals, and its operators' port."""

import signal
from collections.abc import AsyncIterator

import trio

from sfu.shell.config.settings import Settings
from sfu.shell.logs import get_logger
from sfu.shell.media.ports import open_media
from sfu.shell.ops.admin import Admin
from sfu.shell.server import Server
from sfu.shell.store.interface import open_store

log = get_logger(__name__)


async def serve(settings: Settings, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
    """Run a server until SIGINT or SIGTERM; reports the page's URL when the ports are open.

    Raises:
        ConfigError: a port cannot be had, or the certificate is no good.
    """
    with (
        open_media(settings) as (media, ice_tcp),
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
    ):
        server = Server(settings, media, open_store(settings), ice_tcp)
        async with trio.open_nursery() as beside:
            beside.start_soon(_stop_at_signals, server, signals)
            operators = await beside.start(Admin(settings, server, media).serve)
            log.info("answering operators", url=operators)
            if not server.token_verifier.required:
                log.warning("anyone can join any room: neither SFU_AUTH_SECRET nor SFU_AUTH_JWKS is set")
            if settings.redis_address is None:
                log.warning("sessions are lost on a restart: neither SFU_REDIS_URL nor SFU_REDIS_ADDR is set")
            async with trio.open_nursery() as serving:
                task_status.started(await serving.start(server.run))
            beside.cancel_scope.cancel("the server has stopped")


async def _stop_at_signals(server: Server, signals: AsyncIterator[int]) -> None:
    """Stop at the first signal, and hurry at the second. Later ones change nothing: what is left is bounded."""
    async for number in signals:
        log.info("stopping", signal=signal.Signals(number).name)
        server.stop()
