"""The types of settings: how the text of each becomes a value."""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from sfu.shell.config.redis_url import FORMS, parse_address
from sfu.shell.config.urls import HttpUrl, parse_http_url


class HostPort(NamedTuple):
    """An address to listen on or to connect to."""

    host: str
    """A textual IP address, without brackets, or (for TCP) a host name."""
    port: int
    """0 means that the system chooses it."""

    @property
    def host_in_url(self) -> str:
        """The host as it stands in a URL: an IPv6 address in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def is_loopback(self) -> bool:
        """Whether only this host can reach it. That is not known of a host name, except ``localhost``."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    def __str__(self) -> str:
        return f"{self.host_in_url}:{self.port}"


class IceUrl(NamedTuple):
    """A STUN or TURN server (RFC 7064, RFC 7065)."""

    scheme: str
    """``stun``, ``turn`` or ``turns``."""
    host: str
    """A name or a textual IP address, without brackets."""
    port: int
    transport: str
    """``udp`` or ``tcp``: the transport to it. ``turns`` is TLS over TCP."""
    text: str
    """As the operator wrote it. Clients get it like this."""

    def __str__(self) -> str:
        return self.text


class SettingType(NamedTuple):
    """The type of a setting: how its text becomes a value."""

    parse: Callable[[str], Any]
    """Returns the value; raises `ValueError` for other text."""
    expected: str
    """What is expected, for error messages: "expected …"."""
    metavar: str
    """Placeholder for the value in ``--help``."""


def _parse_host_port(text: str) -> HostPort:
    host, separator, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = str(ipaddress.IPv6Address(host[1:-1]))
    elif ":" in host:
        raise ValueError("an IPv6 address needs brackets")
    if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("not HOST:PORT")
    host.encode("idna")  # checks the lengths of the labels, as a lookup of the name would
    return HostPort(host, int(port))


def _parse_ip_port(text: str) -> HostPort:
    address = _parse_host_port(text)
    ipaddress.ip_address(address.host)
    return address


def _parse_list(text: str) -> tuple[str, ...]:
    return tuple(part for part in (part.strip() for part in text.split(",")) if part)


def _parse_ips(text: str) -> tuple[str, ...]:
    addresses = [ipaddress.ip_address(part) for part in _parse_list(text)]
    if any(address.is_unspecified or "%" in str(address) for address in addresses):
        raise ValueError("clients can use neither a wildcard address nor an interface name")
    return tuple(str(address) for address in addresses)


_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def _parse_origin(text: str) -> str:
    if text == "*":
        return text
    scheme, separator, host = text.lower().partition("://")
    if not (scheme and separator and host and "/" not in host):
        raise ValueError("not an origin")
    # In the form that browsers send (RFC 6454 section 6.2).
    return f"{scheme}://{host.removesuffix(_DEFAULT_PORTS.get(scheme, ''))}"


def _parse_origins(text: str) -> tuple[str, ...]:
    return tuple(_parse_origin(part) for part in _parse_list(text))


def _parse_ice_url(text: str, schemes: tuple[str, ...]) -> IceUrl:
    scheme, separator, rest = text.partition(":")
    scheme = scheme.lower()
    address, question, query = rest.partition("?")
    if not separator or scheme not in schemes or address.startswith("//") or "@" in address:
        raise ValueError("not a URL of this scheme")
    transport = "tcp" if scheme == "turns" else "udp"
    if question:
        name, _, transport = query.partition("=")
        # Neither browsers nor aioice support TURN over DTLS (RFC 7350).
        if scheme == "stun" or name != "transport" or transport not in ("udp", "tcp")[scheme == "turns" :]:
            raise ValueError("not a transport")
    default = 5349 if scheme == "turns" else 3478
    bare = address.endswith("]") or ":" not in address
    host, port = _parse_host_port(f"{address}:{default}" if bare else address)
    if port == 0 or any(character in " /#" for character in host):
        raise ValueError("not HOST:PORT")
    return IceUrl(scheme, host, port, transport, text)


def _parse_stun_urls(text: str) -> tuple[IceUrl, ...]:
    return tuple(_parse_ice_url(part, ("stun",)) for part in _parse_list(text))


def _parse_turn_urls(text: str) -> tuple[IceUrl, ...]:
    return tuple(_parse_ice_url(part, ("turn", "turns")) for part in _parse_list(text))


def _parse_file(text: str) -> Path:
    try:
        path = Path(text).expanduser()
        exists = path.is_file()
    except (OSError, RuntimeError) as error:  # the path is too long, not readable, or in an unknown user's home
        raise ValueError("no such file") from error
    if not exists:
        raise ValueError("no such file")
    return path


def _parse_file_or_url(text: str) -> Path | HttpUrl:
    return parse_http_url(text) if "://" in text else _parse_file(text)


HOST_PORT: Final = SettingType(
    _parse_host_port, "HOST:PORT, for example 127.0.0.1:8080 or [::]:8080", "HOST:PORT"
)
IP_PORT: Final = SettingType(_parse_ip_port, "IP:PORT, for example 0.0.0.0:7882 or [::]:7882", "IP:PORT")
IP_PORT_OR_OFF: Final = SettingType(
    lambda text: None if text == "off" else _parse_ip_port(text),
    "IP:PORT, for example 0.0.0.0:7881 or [::]:7881, or off",
    "IP:PORT|off",
)
IPS: Final = SettingType(_parse_ips, "IP addresses separated by commas", "IP,…")
ORIGINS: Final = SettingType(
    _parse_origins, "origins separated by commas, for example https://example.org, or *", "ORIGIN,…"
)
STUN_URLS: Final = SettingType(
    _parse_stun_urls, "one or more stun:HOST[:PORT], separated by commas (default port 3478)", "URL,…"
)
TURN_URLS: Final = SettingType(
    _parse_turn_urls,
    "one or more turn:HOST[:PORT][?transport=udp|tcp] (default port 3478) or "
    "turns:HOST[:PORT][?transport=tcp] (default port 5349), separated by commas",
    "URL,…",
)
FILE: Final = SettingType(_parse_file, "the path of an existing file", "FILE")
FILE_OR_URL: Final = SettingType(
    _parse_file_or_url, "the path of an existing file, or https://HOST[:PORT][/PATH] (or http)", "FILE|URL"
)


def _parse_secret(text: str) -> str:
    if len(text.encode()) < MIN_SECRET:
        raise ValueError("too short")
    return text


MIN_SECRET: Final = 32
"""Bytes of a shared secret: at least the size of HS256's hash (RFC 7518 section 3.2)."""

SECRET: Final = SettingType(
    _parse_secret, f"at least {MIN_SECRET} bytes, for example the output of `openssl rand -hex 32`", "SECRET"
)


_BEARER: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def _parse_bearer_token(text: str) -> str:
    if len(text) < MIN_SECRET or not _BEARER.fullmatch(text):
        raise ValueError("too short, or a character that a header cannot carry")
    return text


BEARER_TOKEN: Final = SettingType(
    _parse_bearer_token,
    f"at least {MIN_SECRET} letters, digits and -._~+/, for example the output of `openssl rand -hex 32`",
    "SECRET",
)
"""A secret for ``Authorization: Bearer`` (RFC 6750 section 2.1)."""


def _parse_text(text: str) -> str:
    if not text.isprintable():
        raise ValueError("not printable")
    return text


TEXT: Final = SettingType(_parse_text, "printable text", "TEXT")
REDIS_URL: Final = SettingType(parse_address, FORMS, "URL")


def _parse_boolean(text: str) -> bool:
    word = text.strip().lower()
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    raise ValueError("neither true nor false")


BOOLEAN: Final = SettingType(_parse_boolean, "true or false", "true|false")


def integer(low: int, high: int) -> SettingType:
    """Return the type of a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError("out of range")
        return number

    return SettingType(parse, f"a whole number from {low} to {high}", "N")


def choice(*words: str) -> SettingType:
    """Return the type of a setting that is one of `words`."""

    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError("not one of the words")
        return word

    return SettingType(parse, " or ".join(words), "|".join(words))
