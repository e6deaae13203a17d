"""The command ``trio-sfu``."""

import gc
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import click
import trio

from sfu.shell import logs
from sfu.shell.config import settings as config
from sfu.shell.config.settings import ConfigError, Settings

EXIT_WRONG_SETTING: Final = 2
"""Exit status for a setting that the server cannot start with, the same as for a wrong flag."""


class _DefaultsToServe(click.Group):
    """A group in which ``serve`` may be left out: ``trio-sfu --http-addr …`` serves."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own_flags = {"--help", "--version"}
        if not args or (args[0] not in self.commands and args[0] not in own_flags and args[0].startswith("-")):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_DefaultsToServe, context_settings={"max_content_width": 112})
@click.version_option(version("trio-sfu"), prog_name="trio-sfu")
def main() -> None:
    """A WebRTC selective forwarding unit. Without a command it serves; see `trio-sfu serve --help`."""


def _setting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one option per row of the table of settings."""
    for row in reversed(config.rows()):
        # Texts stay texts here: `config.load` parses all sources alike and has one form of error.
        option = click.option(
            row.flag,
            metavar=row.kind.metavar,
            help=f"{row.help}  [{row.variable}; default: {row.default_text}]",
        )
        command = option(command)
    return command


@main.command()
@click.option("--config", "file", metavar="FILE", help="TOML file with settings.  [SFU_CONFIG]")
@_setting_options
def serve(file: str | None, **flags: str | None) -> None:
    """Run the server until SIGINT or SIGTERM.

    Each setting is a flag, an environment variable, or a key of the TOML file, in this order of precedence.
    """
    if sys.platform != "linux":
        raise click.ClickException(f"the server needs Linux (recvmmsg, packet information), not {sys.platform}")
    try:
        settings = config.load(flags, os.environ, Path(file) if file else None)
    except ConfigError as error:
        sys.exit(_refuse([error]))
    logs.configure(settings.log_level, settings.log_format)
    _allow_many_files()
    sys.exit(run(settings))


def _seconds(_ctx: click.Context, _param: click.Parameter, value: str) -> int:
    """Read ``90``, ``15m``, ``1h`` or ``7d``."""
    number, unit = (value, "s") if value[-1:].isdigit() else (value[:-1], value[-1:])
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86_400}.get(unit)
    if seconds is None or not number.isascii() or not number.isdigit() or int(number) == 0:
        raise click.BadParameter(f"{value!r}: allowed is a number with s, m, h or d, such as 1h")
    return int(number) * seconds


def _publish_grants(
    _ctx: click.Context, _param: click.Parameter, value: str
) -> frozenset[Literal["audio", "video", "screen"]]:
    from sfu.conference.grants import EVERYTHING

    wanted = {part.strip() for part in value.split(",") if part.strip()}
    if wanted - EVERYTHING:
        raise click.BadParameter(f"{value!r}: allowed are audio, video and screen, separated by commas")
    return frozenset(grant for grant in EVERYTHING if grant in wanted)


@main.command()
@click.option("--room", required=True, help="Room that it lets in.")
@click.option("--user", required=True, help="User id that it is for.")
@click.option(
    "--ttl", default="1h", show_default=True, callback=_seconds, help="How long it can be used to join."
)
@click.option(
    "--publish",
    default="audio,video,screen",
    show_default=True,
    callback=_publish_grants,
    help="What may be published; empty for nothing.",
)
@click.option("--subscribe/--no-subscribe", default=True, help="Whether others may be seen and heard.")
@click.option("--admin", is_flag=True, help="Grant administration, which nothing asks for yet.")
@click.option("--config", "file", metavar="FILE", help="TOML file with settings.  [SFU_CONFIG]")
def token(
    room: str,
    user: str,
    ttl: int,
    publish: frozenset[Literal["audio", "video", "screen"]],
    subscribe: bool,
    admin: bool,
    file: str | None,
) -> None:
    """Print a token to join with, signed with the secret of the setting SFU_AUTH_SECRET."""
    from sfu.conference.grants import Grants
    from sfu.shell.auth import tokens as auth

    try:
        secret = config.load({}, os.environ, Path(file) if file else None).auth_secret
        if secret is None:
            raise ConfigError("SFU_AUTH_SECRET is not set: a token needs a secret to be signed with")
    except ConfigError as error:
        sys.exit(_refuse([error]))
    click.echo(auth.make_token(secret, room, user, Grants(publish, subscribe, admin), ttl=ttl))


def run(settings: Settings) -> int:
    """Serve until a signal ends it; return the exit status."""
    status = 0
    try:
        trio.run(_serve, settings)
    except* ConfigError as group:
        status = _refuse(group.exceptions)
    except* KeyboardInterrupt:
        pass  # Ctrl-C before or after the time in which the server listens to signals
    return status


async def _serve(settings: Settings) -> None:
    # Imported here so that `--help`, `--version` and a wrong setting answer at once.
    from sfu.shell import process

    async with trio.open_nursery() as nursery:
        url = await nursery.start(process.serve, settings)
        _spare_the_collector()
        click.echo(f"trio-sfu {version('trio-sfu')} is ready: open {url}")  # the log goes to standard error


def _spare_the_collector() -> None:
    """Take what is there from the garbage collector's sight: modules, and what the start has made, stay anyway.

    Some 70,000 objects, through which it would look now and then while packets wait, for 20 ms each time.
    """
    gc.collect()
    gc.freeze()


def _refuse(errors: Sequence[BaseException]) -> int:
    for error in errors:
        if isinstance(error, BaseExceptionGroup):
            _refuse(error.exceptions)
        else:
            click.echo(f"trio-sfu: {error}", err=True)
    return EXIT_WRONG_SETTING


def _allow_many_files() -> None:
    """Raise the soft limit on open files to the hard one: each WebSocket is one, and 1024 is soon reached."""
    import resource  # Windows has none

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
