"""One server in one process: its parts, made from the settings, its signals, and its admin port."""

import signal
from collections.abc import AsyncIterator
from importlib import import_module

import trio

from sfu.shell.config.settings import PREFIX, ConfigError, Settings
from sfu.shell.logs import get_logger
from sfu.shell.media.ports import open_media
from sfu.shell.ops.admin import Admin
from sfu.shell.server import Server
from sfu.shell.store.from_settings import open_store
from sfu.shell.systemd import READY, STOPPING, Systemd

log = get_logger(__name__)


async def serve(settings: Settings, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
    """Run a server until SIGINT or SIGTERM; report the page's URL when the ports are open.

    Raises:
        ConfigError: a port cannot be bound, the certificate is wrong, or a setting needs trio-asyncio and that
            cannot be imported.
    """
    _check_asyncio(settings)
    with (
        open_media(settings) as (media, ice_tcp),
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals,
        Systemd.open() as systemd,
    ):
        server = Server(settings, media, open_store(settings), ice_tcp)
        async with trio.open_nursery() as beside:
            beside.start_soon(_obey_signals, server, signals, systemd)
            beside.start_soon(systemd.run_watchdog)
            admin_url = await beside.start(Admin(settings, server, media).serve)
            log.info("admin port open", url=admin_url)
            if not server.token_verifier.required:
                log.warning("anyone can join any room: neither SFU_AUTH_SECRET nor SFU_AUTH_JWKS is set")
            if settings.turn_urls and settings.turn_secret is None:
                log.warning(
                    "all clients get one TURN password that does not expire: SFU_TURN_SECRET is not set"
                )
            if settings.redis_address is None:
                log.warning("sessions are lost on a restart: neither SFU_REDIS_URL nor SFU_REDIS_ADDR is set")
            async with trio.open_nursery() as serving:
                url = await serving.start(server.run)
                await systemd.notify(READY)
                task_status.started(url)
            beside.cancel_scope.cancel("the server has stopped")


def _check_asyncio(settings: Settings) -> None:
    """Refuse the settings that need an asyncio event loop where there is none.

    trio-asyncio has no version for Python 3.14 and later. Redis and full ICE agents use it; nothing else does.

    Raises:
        ConfigError: see above.
    """
    needing = {
        "REDIS_URL": settings.redis_url is not None,
        "REDIS_ADDR": settings.redis_addr is not None,
        "ICE_MODE=full": settings.ice_mode == "full",
    }
    for name in (name for name, is_set in needing.items() if is_set):
        try:
            import_module("sfu.shell.aio")
        except ImportError as error:
            raise ConfigError(
                f"{PREFIX}{name} requires trio-asyncio, which cannot be imported: {error}"
            ) from error


async def _obey_signals(server: Server, signals: AsyncIterator[int], systemd: Systemd) -> None:
    """Read the TLS certificate again at each SIGHUP. Stop at the first SIGINT or SIGTERM.

    At the second of these, no longer wait for clients. Later ones change nothing.
    """
    async for number in signals:
        if number != signal.SIGHUP:
            log.info("stopping", signal=signal.Signals(number).name)
            server.stop()
            await systemd.notify(STOPPING)
        elif server.certificate is None:
            log.info("SIGHUP changes nothing: there is no TLS certificate to read again")
        else:
            server.certificate.read_again()
