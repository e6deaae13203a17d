"""Settings: one table, four sources.

A setting is a field of `Settings`: its name, default, parser and help are declared there and nowhere else.
The field ``http_addr`` can be given as the flag ``--http-addr``, the environment variable
``SFU_HTTP_ADDR`` or the key ``http_addr`` of a TOML file; the first of these that is there wins, and then
the default. Every source may give the value as text; TOML may also use numbers, booleans and lists.

A value that does not parse raises `ConfigError`, whose text is one line that names the setting as its
author wrote it, the value, and what is allowed.
"""

import contextlib
import dataclasses
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sfu.shell.config.redis_url import RedisAddress
from sfu.shell.config.urls import HttpUrl
from sfu.shell.config.values import (
    BOOLEAN,
    FILE,
    FILE_OR_URL,
    HOST_PORT,
    IP_PORT,
    IP_PORT_OR_OFF,
    IPS,
    ORIGINS,
    REDIS_URL,
    SECRET,
    STUN_URLS,
    TEXT,
    TURN_URLS,
    HostPort,
    IceUrl,
    SettingType,
    choice,
    integer,
)

PREFIX: Final = "SFU_"
"""What the environment variables of settings begin with."""


class ConfigError(ValueError):
    """A setting that the server cannot start with; the text is one line for the person who wrote it."""


def _setting(
    kind: SettingType, default: Any, help_text: str, *, default_text: str = "", secret: bool = False
) -> Any:
    """Declare a row of the table; `default_text` says in words what a default that is computed later is.

    The value of one that is `secret` is never shown.
    """
    metadata = {"kind": kind, "help": help_text, "default_text": default_text, "secret": secret}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, with its default."""

    http_addr: HostPort = _setting(
        HOST_PORT, HostPort("127.0.0.1", 8080), "Where the page and signaling listen (TCP)."
    )
    tls_cert: Path | None = _setting(
        FILE, None, "Certificate chain (PEM); with --tls-key it makes HTTP HTTPS.", default_text="none"
    )
    tls_key: Path | None = _setting(FILE, None, "Private key (PEM) of --tls-cert.", default_text="none")
    allowed_origins: tuple[str, ...] = _setting(
        ORIGINS, (), "Web origins that may open /ws; * allows all.", default_text="the page's own"
    )
    udp_addr: HostPort = _setting(
        IP_PORT, HostPort("0.0.0.0", 7882), "Where all media arrives (UDP, one port)."
    )
    ice_tcp_addr: HostPort | None = _setting(
        IP_PORT_OR_OFF,
        HostPort("0.0.0.0", 7881),
        "Where media arrives of clients that UDP does not reach (TCP), or off.",
    )
    admin_addr: HostPort = _setting(
        HOST_PORT, HostPort("127.0.0.1", 9090), "Where operators are answered: metrics, tasks (TCP)."
    )
    announced_ips: tuple[str, ...] = _setting(
        IPS, (), "Addresses that clients send media to (1:1 NAT).", default_text="the host's own"
    )
    ice_mode: str = _setting(
        choice("lite", "full"), "lite", "lite: one port; full: an agent per peer, for servers behind NAT."
    )
    ice_policy: str = _setting(
        choice("all", "relay"), "all", "Candidates of a full agent: all, or those of TURN servers alone."
    )
    stun_urls: tuple[IceUrl, ...] = _setting(
        STUN_URLS, (), "STUN servers of clients and of full agents.", default_text="none"
    )
    turn_urls: tuple[IceUrl, ...] = _setting(
        TURN_URLS, (), "TURN servers of clients and of full agents.", default_text="none"
    )
    turn_user: str | None = _setting(TEXT, None, "User name at the TURN servers.", default_text="none")
    turn_password: str | None = _setting(
        TEXT, None, "Password at the TURN servers; clients are told it.", default_text="none", secret=True
    )
    auth_secret: str | None = _setting(
        SECRET, None, "Who joins needs a token signed with it (HS256).", default_text="none", secret=True
    )
    auth_jwks: Path | HttpUrl | None = _setting(
        FILE_OR_URL,
        None,
        "The same, signed with a key of this set (JWKS): a file, or an https address.",
        default_text="none",
    )
    auth_jwks_refresh_sec: int = _setting(
        integer(30, 86_400), 600, "Seconds after which that set is read again."
    )
    redis_url: RedisAddress | None = _setting(
        REDIS_URL,
        None,
        "Where sessions are kept so that they survive a restart.",
        default_text="none",
        secret=True,
    )
    redis_addr: HostPort | None = _setting(
        HOST_PORT, None, "The same, without a URL: where Redis listens (TCP).", default_text="none"
    )
    redis_password: str | None = _setting(
        TEXT, None, "Password for Redis, if it is not in --redis-url.", default_text="none", secret=True
    )
    redis_db: int = _setting(integer(0, 99_999), 0, "Number of the database, with --redis-addr.")
    redis_prefix: str = _setting(
        TEXT,
        "",
        "What all keys in Redis begin with, so that several installations share one.",
        default_text="none",
    )
    server_id: str | None = _setting(
        TEXT,
        None,
        "Name of this server among those that share a Redis; it must outlive restarts.",
        default_text="host name and --http-addr",
    )
    log_level: str = _setting(
        choice("debug", "info", "warning", "error"), "info", "Least level that is logged."
    )
    log_format: str = _setting(
        choice("auto", "human", "json"), "auto", "auto: human on a terminal, else JSON lines."
    )
    session_ttl_sec: int = _setting(
        integer(0, 86_400), 30, "Seconds that a session can be resumed after its connection was lost."
    )
    room_ttl_sec: int = _setting(integer(0, 86_400), 300, "Seconds that an empty room's metadata lives.")
    drain_sec: int = _setting(
        integer(0, 3600), 5, "Seconds that clients have to move elsewhere when the server stops."
    )
    auto_subscribe: bool = _setting(
        BOOLEAN, True, "Whether everybody receives every track without asking.", default_text="true"
    )
    max_connections: int = _setting(
        integer(1, 1_000_000),
        8192,
        "TCP connections of each public port at a time; more are closed at once.",
    )
    max_rooms: int = _setting(integer(1, 1_000_000), 1000, "Rooms at a time that somebody is in.")
    max_peers_per_room: int = _setting(integer(1, 100_000), 100, "Peers in a room at a time.")
    max_tracks_per_peer: int = _setting(integer(0, 1000), 8, "Tracks that a peer may publish at a time.")
    max_id_length: int = _setting(integer(1, 1024), 128, "Characters in a room id, user id or name.")
    max_message_bytes: int = _setting(
        integer(1024, 64 << 20), 2 << 20, "Bytes in a signaling message; a longer one ends the connection."
    )
    messages_per_second: int = _setting(
        integer(1, 100_000), 20, "Signaling messages per second and client, on average."
    )
    messages_burst: int = _setting(
        integer(1, 100_000), 40, "Signaling messages that a client may send at once."
    )
    history_packets: int = _setting(
        integer(0, 32_768), 512, "Packets of each video track kept for retransmission."
    )

    def __post_init__(self) -> None:
        """Check what concerns more than one setting."""
        if (self.tls_cert is None) != (self.tls_key is None):
            missing, given = ("tls_key", "tls_cert") if self.tls_key is None else ("tls_cert", "tls_key")
            raise ConfigError(
                f"{PREFIX}{missing.upper()} is not set: {PREFIX}{given.upper()} needs it beside it"
            )
        for name in ("turn_user", "turn_password"):
            if self.turn_urls and getattr(self, name) is None:
                raise ConfigError(f"{PREFIX}{name.upper()} is not set: {PREFIX}TURN_URLS needs it beside it")
        if self.ice_policy == "relay" and not (self.ice_mode == "full" and self.turn_urls):
            raise ConfigError(
                f"{PREFIX}ICE_POLICY=relay: allowed is all, unless there are {PREFIX}ICE_MODE=full "
                f"and {PREFIX}TURN_URLS"
            )
        if self.redis_url is not None:
            for name, there in (("redis_addr", self.redis_addr), ("redis_db", self.redis_db)):
                if there:
                    raise ConfigError(f"{PREFIX}{name.upper()}={there}: {PREFIX}REDIS_URL says that already")
            if self.redis_password is not None and self.redis_url.password is not None:
                raise ConfigError(f"{PREFIX}REDIS_PASSWORD=***: {PREFIX}REDIS_URL has a password already")
        elif self.redis_addr is None:
            for name, value in (("redis_password", self.redis_password), ("redis_db", self.redis_db)):
                if value:
                    raise ConfigError(f"{PREFIX}{name.upper()} is set: it needs {PREFIX}REDIS_ADDR beside it")

    @property
    def redis_address(self) -> RedisAddress | None:
        """Where Redis is, by whichever settings say so; None if sessions are kept in memory."""
        if self.redis_url is not None:
            password = self.redis_password or self.redis_url.password
            return dataclasses.replace(self.redis_url, password=password)
        if self.redis_addr is not None:
            host, port = self.redis_addr
            return RedisAddress("redis", host, port, db=self.redis_db, password=self.redis_password)
        return None


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting, as the command line, the documentation and the errors need it."""

    name: str
    """The name in Python and TOML."""
    kind: SettingType
    default: Any
    default_text: str
    """The default in words or as one would write it."""
    help: str
    secret: bool
    """Whether its value must not be shown."""

    @property
    def flag(self) -> str:
        """The name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The name in the environment."""
        return PREFIX + self.name.upper()


def rows() -> tuple[SettingRow, ...]:
    """Return the table of all settings, in the order of their declaration."""
    return tuple(
        SettingRow(
            name=row.name,
            kind=row.metadata["kind"],
            default=row.default,
            default_text=row.metadata["default_text"] or str(row.default),
            help=row.metadata["help"],
            secret=row.metadata["secret"],
        )
        for row in dataclasses.fields(Settings)
    )


def load(
    flags: Mapping[str, str | None], environ: Mapping[str, str] = os.environ, file: Path | None = None
) -> Settings:
    """Put the settings together: flags before environment before `file` before defaults.

    `flags` has texts (or `None`) by setting name. `file` is a TOML file; ``SFU_CONFIG`` in `environ` names
    one when `file` is `None`. An empty environment variable counts as absent, as in a compose file with an
    unset placeholder. Raises `ConfigError`.
    """
    if file is None and environ.get(f"{PREFIX}CONFIG"):
        file = Path(environ[f"{PREFIX}CONFIG"])
    from_file = {} if file is None else _read(file)
    values: dict[str, Any] = {}
    for row in rows():
        flag, variable = flags.get(row.name), environ.get(row.variable)
        if flag is not None:
            values[row.name] = _parsed(row, row.flag, flag)
        elif variable:
            values[row.name] = _parsed(row, row.variable, variable)
        elif row.name in from_file:
            values[row.name] = _parsed(row, f"{row.name} in {file}", _text(from_file[row.name]))
    return Settings(**values)


@contextlib.contextmanager
def as_config_error(name: str, value: object) -> Iterator[None]:
    """Turn an `OSError` of the block into a `ConfigError` about the setting `name`, whose value is `value`.

    For what only the attempt can show: a port that is taken, a certificate that does not fit its key.
    """
    try:
        yield
    except OSError as error:
        # ssl.SSLError and socket.gaierror are OSErrors too; for some of them only str() says anything.
        raise ConfigError(f"{PREFIX}{name.upper()}={value}: {error.strerror or error}") from error


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            table = tomllib.load(opened)
    except OSError as error:
        raise ConfigError(f"{PREFIX}CONFIG={file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{PREFIX}CONFIG={file}: not TOML: {error}") from error
    names = [row.name for row in rows()]
    for key in table:
        if key not in names:
            raise ConfigError(f"{key} in {file}: no such setting; there are {', '.join(names)}")
    return table


def _text(value: object) -> str:
    """Return a TOML value as the text that a flag would have."""
    if isinstance(value, list):
        return ",".join(_text(part) for part in value)
    return str(value)


def _parsed(row: SettingRow, source: str, text: str) -> Any:
    try:
        return row.kind.parse(text)
    except ValueError as error:
        shown = "***" if row.secret else repr(text)
        # The parser's own error may have the text in it.
        raise ConfigError(f"{source}={shown}: allowed is {row.kind.allowed}") from None if row.secret else error
