"""The command ``trio-sfu``, also ``python -m sfu``.

Modules that take long to import, Trio among them, are imported in the functions that need them, so that
``--help`` and a wrong setting are answered at once.
"""

import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sfu.shell import logs
from sfu.shell.config import settings as config
from sfu.shell.config.settings import ConfigError, Settings
from sfu.shell.config.unknown import unknown_variables

if TYPE_CHECKING:
    from sfu.conference.grants import PublishGrant

EXIT_WRONG_SETTING: Final = 2
"""Exit status for a setting that the server cannot start with; click uses the same for a wrong flag."""


log = logs.get_logger(__name__)


class _DefaultsToServe(click.Group):
    """A group in which ``serve`` may be left out: ``trio-sfu --http-addr …`` serves."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own_flags = {"--help", "--version"}
        if not args or (args[0] not in self.commands and args[0] not in own_flags and args[0].startswith("-")):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_DefaultsToServe, context_settings={"max_content_width": 112})
@click.version_option(package_name="trio-sfu", prog_name="trio-sfu")
def main() -> None:
    """A WebRTC selective forwarding unit. The default command is `serve`; see `trio-sfu serve --help`."""


def _setting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one option for each setting."""
    for row in reversed(config.rows()):
        # The values stay texts: `config.load` parses all sources alike, and its errors have one form.
        option = click.option(
            row.flag,
            metavar=row.value_type.metavar,
            help=f"{row.help}  [{row.variable}; default: {row.default_text}]",
        )
        command = option(command)
    return command


@main.command()
@click.option("--config", "file", metavar="FILE", help="TOML file with settings.  [SFU_CONFIG]")
@_setting_options
def serve(file: str | None, **flags: str | None) -> None:
    """Run the server until SIGINT or SIGTERM.

    Each setting is a flag, an environment variable, or a key of the TOML file. Flags override the environment,
    and the environment overrides the file.
    """
    if sys.platform != "linux":
        raise click.ClickException(
            f"the server requires Linux (recvmmsg, packet information), not {sys.platform}"
        )
    try:
        settings = config.load(flags, os.environ, Path(file) if file else None)
    except ConfigError as error:
        sys.exit(_print_errors([error]))
    logs.configure(settings.log_level, settings.log_format)
    for variable, nearest in unknown_variables(os.environ).items():
        log.warning("unknown environment variable", variable=variable, nearest=nearest)
    _raise_file_limit()
    sys.exit(run(settings))


def _seconds(_ctx: click.Context, _param: click.Parameter, value: str) -> int:
    """Read ``90``, ``15m``, ``1h`` or ``7d``."""
    number, unit = (value, "s") if value[-1:].isdigit() else (value[:-1], value[-1:])
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86_400}.get(unit)
    if seconds is None or not number.isascii() or not number.isdigit() or int(number) == 0:
        raise click.BadParameter(f"{value!r}: expected a number followed by s, m, h or d, for example 1h")
    return int(number) * seconds


def _publish_grants(_ctx: click.Context, _param: click.Parameter, value: str) -> "frozenset[PublishGrant]":
    from sfu.conference.grants import EVERYTHING

    wanted = {part.strip() for part in value.split(",") if part.strip()}
    if wanted - EVERYTHING:
        raise click.BadParameter(f"{value!r}: expected audio, video and screen, separated by commas")
    return frozenset(grant for grant in EVERYTHING if grant in wanted)


@main.command()
@click.option("--room", required=True, help="Room id that the token is for.")
@click.option("--user", required=True, help="User id that the token is for.")
@click.option(
    "--ttl",
    default="1h",
    show_default=True,
    callback=_seconds,
    help="How long the token can be used to join: seconds, or a number followed by s, m, h or d.",
)
@click.option(
    "--publish",
    default="audio,video,screen",
    show_default=True,
    callback=_publish_grants,
    help="What the user may publish; empty for nothing.",
)
@click.option(
    "--subscribe/--no-subscribe", default=True, help="Whether the user may receive other peers' tracks."
)
@click.option("--admin", is_flag=True, help="Grant administration. The server does not use this grant yet.")
@click.option("--config", "file", metavar="FILE", help="TOML file with settings.  [SFU_CONFIG]")
def token(
    room: str,
    user: str,
    ttl: int,
    publish: "frozenset[PublishGrant]",
    subscribe: bool,
    admin: bool,
    file: str | None,
) -> None:
    """Print a join token, signed with the shared secret in SFU_AUTH_SECRET."""
    from sfu.conference.grants import Grants
    from sfu.shell.auth.tokens import make_token

    try:
        secret = config.load({}, os.environ, Path(file) if file else None).auth_secret
        if secret is None:
            raise ConfigError("SFU_AUTH_SECRET is not set: a token must be signed with it")
        made = make_token(secret, room, user, Grants(publish, subscribe, admin), ttl=ttl)
    except ValueError as error:  # a `ConfigError`, or characters that the server refuses in ids
        sys.exit(_print_errors([error]))
    click.echo(made)


def run(settings: Settings) -> int:
    """Serve until a signal stops the server; return the exit status."""
    import trio

    status = 0
    try:
        trio.run(_serve, settings)
    except* ConfigError as group:
        status = _print_errors(group.exceptions)
    except* KeyboardInterrupt:
        pass  # Ctrl-C while the server was not yet, or no longer, listening to signals
    return status


async def _serve(settings: Settings) -> None:
    from importlib.metadata import version

    import trio

    from sfu.shell import process

    async with trio.open_nursery() as nursery:
        url = await nursery.start(process.serve, settings)
        _freeze_objects()
        click.echo(f"trio-sfu {version('trio-sfu')} is ready: open {url}")  # the log goes to standard error


def _freeze_objects() -> None:
    """Exempt all present objects from garbage collection: modules, and what the start has made, stay anyway.

    They are some 70,000. Each full collection would examine them while packets wait, for 20 ms.
    """
    gc.collect()
    gc.freeze()


def _print_errors(errors: Sequence[BaseException]) -> int:
    """Print one line for each error; return the exit status."""
    for error in errors:
        if isinstance(error, BaseExceptionGroup):
            _print_errors(error.exceptions)
        else:
            click.echo(f"trio-sfu: {error}", err=True)
    return EXIT_WRONG_SETTING


def _raise_file_limit() -> None:
    """Raise the soft limit on open files to the hard limit. Each WebSocket is a file; 1024 are not enough."""
    import resource  # does not exist on Windows

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
