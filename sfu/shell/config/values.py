"""What kinds of values a setting may have, and how a text becomes one of them."""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from sfu.shell.config.redis_url import FORMS, parse_address
from sfu.shell.config.urls import HttpUrl, parse_http_url


class HostPort(NamedTuple):
    """An address to listen on."""

    host: str
    """A textual IP address, without brackets, or (for TCP) a host name."""
    port: int
    """0 lets the system choose."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class IceUrl(NamedTuple):
    """A STUN or TURN server (RFC 7064, RFC 7065)."""

    scheme: str
    """``stun``, ``turn`` or ``turns``."""
    host: str
    """A name or a textual IP address, without brackets."""
    port: int
    transport: str
    """``udp`` or ``tcp``: how it is reached; ``turns`` is TLS over TCP."""
    text: str
    """As it was written, for clients."""

    def __str__(self) -> str:
        return self.text


class SettingType(NamedTuple):
    """How the text of a setting becomes its value."""

    parse: Callable[[str], Any]
    """Returns the value; raises `ValueError` for text that is not allowed."""
    allowed: str
    """What is allowed, for error messages and ``--help``."""
    metavar: str
    """One word that stands for the value in ``--help``."""


def _parse_host_port(text: str) -> HostPort:
    host, separator, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = str(ipaddress.IPv6Address(host[1:-1]))
    elif ":" in host:
        raise ValueError("an IPv6 address needs brackets")
    if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("not HOST:PORT")
    host.encode("idna")  # for its check of the labels' lengths, which else fails when the name is looked up
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
        raise ValueError("a wildcard is no destination, and an interface means nothing to others")
    return tuple(str(address) for address in addresses)


_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def _parse_origin(text: str) -> str:
    if text == "*":
        return text
    scheme, separator, host = text.lower().partition("://")
    if not (scheme and separator and host and "/" not in host):
        raise ValueError("not an origin")
    # As browsers write it (RFC 6454 section 6.2), or it would match nothing.
    return f"{scheme}://{host.removesuffix(_DEFAULT_PORTS.get(scheme, ''))}"


def _parse_origins(text: str) -> tuple[str, ...]:
    return tuple(_parse_origin(part) for part in _parse_list(text))


def _parse_ice_url(text: str, schemes: tuple[str, ...]) -> IceUrl:
    scheme, separator, rest = text.partition(":")
    scheme = scheme.lower()
    address, question, query = rest.partition("?")
    if not separator or scheme not in schemes or address.startswith("//") or "@" in address:
        raise ValueError("not such a URL")
    transport = "tcp" if scheme == "turns" else "udp"
    if question:
        name, _, transport = query.partition("=")
        # TURN over DTLS exists (RFC 7350), but neither in browsers nor in aioice.
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
        there = path.is_file()
    except (OSError, RuntimeError) as error:  # too long, not for us to see, or in nobody's home
        raise ValueError("no such file") from error
    if not there:
        raise ValueError("no such file")
    return path


def _parse_file_or_url(text: str) -> Path | HttpUrl:
    return parse_http_url(text) if "://" in text else _parse_file(text)


HOST_PORT: Final = SettingType(_parse_host_port, "HOST:PORT such as 127.0.0.1:8080 or [::]:8080", "HOST:PORT")
IP_PORT: Final = SettingType(_parse_ip_port, "IP:PORT such as 0.0.0.0:7882 or [::]:7882", "IP:PORT")
IP_PORT_OR_OFF: Final = SettingType(
    lambda text: None if text == "off" else _parse_ip_port(text),
    "IP:PORT such as 0.0.0.0:7881 or [::]:7881, or off",
    "IP:PORT|off",
)
IPS: Final = SettingType(_parse_ips, "IP addresses separated by commas", "IP,…")
ORIGINS: Final = SettingType(
    _parse_origins, "origins such as https://example.org separated by commas, or *", "ORIGIN,…"
)
STUN_URLS: Final = SettingType(
    _parse_stun_urls, "stun:HOST[:PORT] (3478 without a port), several separated by commas", "URL,…"
)
TURN_URLS: Final = SettingType(
    _parse_turn_urls,
    "turn:HOST[:PORT][?transport=udp|tcp] (3478 without a port) or turns:HOST[:PORT][?transport=tcp] (5349), "
    "several separated by commas",
    "URL,…",
)
FILE: Final = SettingType(_parse_file, "the path of a file that exists", "FILE")
FILE_OR_URL: Final = SettingType(
    _parse_file_or_url, "the path of a file that exists, or https://HOST[:PORT][/PATH] (or http)", "FILE|URL"
)


def _parse_secret(text: str) -> str:
    if len(text.encode()) < MIN_SECRET:
        raise ValueError("too short")
    return text


MIN_SECRET: Final = 32
"""Bytes of a shared secret: as many as HS256's hash has (RFC 7518 section 3.2)."""

SECRET: Final = SettingType(
    _parse_secret, f"at least {MIN_SECRET} bytes, as `openssl rand -hex 32` gives", "SECRET"
)


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
    """Return the kind of a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError("out of range")
        return number

    return SettingType(parse, f"a whole number from {low} to {high}", "N")


def choice(*words: str) -> SettingType:
    """Return the kind of a setting that is one of `words`."""

    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError("not one of them")
        return word

    return SettingType(parse, " or ".join(words), "|".join(words))
