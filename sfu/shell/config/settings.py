"""The table of settings, and where their values come from.

A setting is a field of `Settings`: its name, default, parser and help are declared there and nowhere else.
The field ``http_addr`` can be given as the flag ``--http-addr``, the environment variable ``SFU_HTTP_ADDR`` or
the key ``http_addr`` of a TOML file. Flags override the environment, which overrides the file, which overrides
the default. Every source may give the value as text; TOML may also use numbers, booleans and lists.

A value that does not parse raises `ConfigError`. Its text is one line that names the setting as its author
wrote it, the value, and what is expected.
"""

import contextlib
import dataclasses
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sfu.conference.limits import Limits
from sfu.shell.config.redis_url import RedisAddress
from sfu.shell.config.urls import HttpUrl
from sfu.shell.config.values import (
    BEARER_TOKEN,
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
"""Prefix of the environment variables of settings."""


class ConfigError(ValueError):
    """The server cannot start with this setting. The text is one line for the operator."""


def _setting(
    value_type: SettingType, default: Any, help_text: str, *, default_text: str = "", secret: bool = False
) -> Any:
    """Declare a row of the table.

    `default_text` describes the default in words, where `str(default)` does not. The value of a `secret`
    setting is never shown.
    """
    metadata = {"value_type": value_type, "help": help_text, "default_text": default_text, "secret": secret}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings with their defaults."""

    http_addr: HostPort = _setting(
        HOST_PORT, HostPort("127.0.0.1", 8080), "Listen address of the page and signaling (TCP)."
    )
    tls_cert: Path | None = _setting(
        FILE, None, "Certificate chain (PEM). Enables HTTPS together with --tls-key.", default_text="none"
    )
    tls_key: Path | None = _setting(FILE, None, "Private key (PEM) of --tls-cert.", default_text="none")
    hsts_sec: int = _setting(
        integer(0, 63_072_000),
        15_552_000,
        "Seconds that browsers use only HTTPS for this host, with --tls-cert; 0 makes them forget.",
    )
    allowed_origins: tuple[str, ...] = _setting(
        ORIGINS, (), "Web origins that may open /ws; * allows all.", default_text="the page's own"
    )
    udp_addr: HostPort = _setting(
        IP_PORT, HostPort("0.0.0.0", 7882), "Listen address for media (UDP, one port for all clients)."
    )
    ice_tcp_addr: HostPort | None = _setting(
        IP_PORT_OR_OFF,
        HostPort("0.0.0.0", 7881),
        "Listen address for media over TCP, for clients that UDP does not reach; or off.",
    )
    admin_addr: HostPort = _setting(
        HOST_PORT, HostPort("127.0.0.1", 9090), "Listen address of the admin port: metrics, task tree (TCP)."
    )
    admin_token: str | None = _setting(
        BEARER_TOKEN,
        None,
        "Secret that requests to the admin port must carry; required beyond loopback.",
        default_text="none",
        secret=True,
    )
    announced_ips: tuple[str, ...] = _setting(
        IPS, (), "IP addresses that clients send media to (1:1 NAT).", default_text="the host's own"
    )
    ice_mode: str = _setting(
        choice("lite", "full"), "lite", "lite: one port for all; full: an ICE agent per peer, behind NAT."
    )
    ice_policy: str = _setting(
        choice("all", "relay"), "all", "Candidates of full ICE agents: all, or only relayed ones (TURN)."
    )
    stun_urls: tuple[IceUrl, ...] = _setting(
        STUN_URLS, (), "STUN servers for clients and full ICE agents.", default_text="none"
    )
    turn_urls: tuple[IceUrl, ...] = _setting(
        TURN_URLS, (), "TURN servers for clients and full ICE agents.", default_text="none"
    )
    turn_user: str | None = _setting(TEXT, None, "TURN user name; sent to clients.", default_text="none")
    turn_password: str | None = _setting(
        TEXT, None, "TURN password; sent to clients.", default_text="none", secret=True
    )
    turn_secret: str | None = _setting(
        SECRET,
        None,
        "Secret shared with the TURN servers, for credentials per client; instead of user and password.",
        default_text="none",
        secret=True,
    )
    auth_secret: str | None = _setting(
        SECRET,
        None,
        "Shared secret that join tokens must be signed with (HS256).",
        default_text="none",
        secret=True,
    )
    auth_jwks: Path | HttpUrl | None = _setting(
        FILE_OR_URL,
        None,
        "Public keys (JWKS) that verify join tokens: a file, or an https URL.",
        default_text="none",
    )
    auth_jwks_refresh_sec: int = _setting(integer(30, 86_400), 600, "Seconds between two reads of --auth-jwks.")
    redis_url: RedisAddress | None = _setting(
        REDIS_URL,
        None,
        "Redis that keeps the sessions, so that they survive a restart.",
        default_text="none",
        secret=True,
    )
    redis_addr: HostPort | None = _setting(
        HOST_PORT, None, "Address of that Redis (TCP), instead of --redis-url.", default_text="none"
    )
    redis_password: str | None = _setting(
        TEXT, None, "Redis password, if it is not in --redis-url.", default_text="none", secret=True
    )
    redis_db: int = _setting(integer(0, 99_999), 0, "Redis database number, with --redis-addr.")
    redis_prefix: str = _setting(
        TEXT,
        "",
        "Prefix of all keys in Redis, so that several installations can share one.",
        default_text="none",
    )
    server_id: str | None = _setting(
        TEXT,
        None,
        "Name of this server among those that share a Redis; must stay the same after a restart.",
        default_text="host name and --http-addr",
    )
    log_level: str = _setting(choice("debug", "info", "warning", "error"), "info", "Minimum log level.")
    log_format: str = _setting(
        choice("auto", "human", "json"), "auto", "auto: human on a terminal, JSON lines elsewhere."
    )
    session_ttl_sec: int = _setting(
        integer(0, 86_400), 30, "Seconds that a session can be resumed after its connection was lost."
    )
    room_ttl_sec: int = _setting(integer(0, 86_400), 300, "Seconds until an empty room is closed.")
    drain_sec: int = _setting(
        integer(0, 3600), 5, "Seconds for clients to move to another server when this one stops."
    )
    auto_subscribe: bool = _setting(
        BOOLEAN, True, "Whether every peer receives every track without subscribing.", default_text="true"
    )
    max_connections: int = _setting(
        integer(1, 1_000_000),
        8192,
        "Maximum TCP connections of each public port; more are closed at once.",
    )
    max_rooms: int = _setting(integer(1, 1_000_000), 1000, "Maximum rooms with at least one peer.")
    max_peers_per_room: int = _setting(integer(1, 100_000), 100, "Maximum peers in a room.")
    max_tracks_per_peer: int = _setting(integer(0, 1000), 8, "Maximum tracks that a peer may publish.")
    max_id_length: int = _setting(integer(1, 1024), 128, "Maximum characters of a room id, user id or name.")
    max_message_bytes: int = _setting(
        integer(1024, 64 << 20),
        2 << 20,
        "Maximum bytes of a signaling message; a longer one ends the connection.",
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
        """Check the combinations of settings."""
        if (self.tls_cert is None) != (self.tls_key is None):
            missing, given = ("tls_key", "tls_cert") if self.tls_key is None else ("tls_cert", "tls_key")
            raise ConfigError(f"{PREFIX}{missing.upper()} is not set: {PREFIX}{given.upper()} requires it")
        if self.admin_token is None and not self.admin_addr.is_loopback:
            reason = f"{PREFIX}ADMIN_ADDR={self.admin_addr} is not a loopback address and requires it"
            raise ConfigError(f"{PREFIX}ADMIN_TOKEN is not set: {reason}")
        for name in ("turn_user", "turn_password"):
            is_set = getattr(self, name) is not None
            if self.turn_secret is not None and is_set:
                raise ConfigError(f"{PREFIX}TURN_SECRET is set: cannot be combined with {PREFIX}{name.upper()}")
            if self.turn_secret is None and self.turn_urls and not is_set:
                raise ConfigError(
                    f"{PREFIX}{name.upper()} is not set: {PREFIX}TURN_URLS requires it, or {PREFIX}TURN_SECRET"
                )
        if self.ice_policy == "relay" and not (self.ice_mode == "full" and self.turn_urls):
            raise ConfigError(f"{PREFIX}ICE_POLICY=relay: requires {PREFIX}ICE_MODE=full and {PREFIX}TURN_URLS")
        if self.redis_url is not None:
            for name, other in (("redis_addr", self.redis_addr), ("redis_db", self.redis_db)):
                if other:
                    raise ConfigError(
                        f"{PREFIX}{name.upper()}={other}: cannot be combined with {PREFIX}REDIS_URL"
                    )
            if self.redis_password is not None and self.redis_url.password is not None:
                raise ConfigError(f"{PREFIX}REDIS_PASSWORD=***: {PREFIX}REDIS_URL already contains a password")
        elif self.redis_addr is None:
            for name, value in (("redis_password", self.redis_password), ("redis_db", self.redis_db)):
                if value:
                    raise ConfigError(f"{PREFIX}{name.upper()} is set: it requires {PREFIX}REDIS_ADDR")

    @property
    def redis_address(self) -> RedisAddress | None:
        """How to reach Redis, from whichever settings name it; `None` if sessions are kept in memory."""
        if self.redis_url is not None:
            password = self.redis_password or self.redis_url.password
            return dataclasses.replace(self.redis_url, password=password)
        if self.redis_addr is not None:
            host, port = self.redis_addr
            return RedisAddress("redis", host, port, db=self.redis_db, password=self.redis_password)
        return None

    @property
    def limits(self) -> Limits:
        """The limits that the conference enforces."""
        return Limits(
            max_rooms=self.max_rooms,
            max_peers_per_room=self.max_peers_per_room,
            max_tracks_per_peer=self.max_tracks_per_peer,
            max_id_length=self.max_id_length,
            messages_per_second=self.messages_per_second,
            messages_burst=self.messages_burst,
            session_ttl=self.session_ttl_sec,
        )


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting, for the command line, the documentation and the errors."""

    name: str
    """The name in Python and TOML."""
    value_type: SettingType
    default: Any
    default_text: str
    """The default in words, or as an operator would write it."""
    help: str
    secret: bool
    """Whether the value must not be shown."""

    @property
    def flag(self) -> str:
        """The name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The name in the environment."""
        return PREFIX + self.name.upper()


def rows() -> tuple[SettingRow, ...]:
    """Return all settings in the order of their declaration."""
    return tuple(
        SettingRow(
            name=row.name,
            value_type=row.metadata["value_type"],
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
    """Return the settings. Flags override the environment, which overrides `file`, which overrides the
    defaults.

    `flags` has texts (or `None`) by setting name. `file` is a TOML file; if it is `None`, ``SFU_CONFIG`` in
    `environ` may name one. An empty environment variable counts as not set: a compose file with an unset
    placeholder makes one.

    Raises:
        ConfigError: the file cannot be read, or a value is wrong.
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
    """Turn an `OSError` in the block into a `ConfigError` about the setting `name`, whose value is `value`.

    For errors that show only when the setting is used, such as a port in use.
    """
    try:
        yield
    except OSError as error:
        # Some ssl.SSLErrors and socket.gaierrors, which are OSErrors, have no strerror.
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
            raise ConfigError(f"{key} in {file}: unknown setting; expected one of {', '.join(names)}")
    return table


def _text(value: object) -> str:
    """Return a TOML value as the text of a flag."""
    if isinstance(value, list):
        return ",".join(_text(part) for part in value)
    return str(value)


def _parsed(row: SettingRow, source: str, text: str) -> Any:
    try:
        return row.value_type.parse(text)
    except ValueError as error:
        shown = "***" if row.secret else repr(text)
        # The parser's own error may contain the value, so it is not chained to the error about a secret.
        cause = None if row.secret else error
        raise ConfigError(f"{source}={shown}: expected {row.value_type.expected}") from cause
