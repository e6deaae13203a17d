"""Where something can be fetched: http and https URLs (RFC 3986, RFC 9110 section 4.2), read strictly.

What is allowed is what an operator would write into a setting and a server into a redirect. User names,
other schemes and names that are not ASCII (an international one has its ``xn--`` form) are not.
"""

import ipaddress
import re
from typing import Final, NamedTuple
from urllib.parse import urljoin, urlsplit

_PORTS: Final = {"http": 80, "https": 443}
_VISIBLE: Final = re.compile(r"[!-~]+")
_NAME: Final = re.compile(r"[a-z0-9._-]+")


class HttpUrl(NamedTuple):
    """The parts of a URL that a request needs."""

    scheme: str
    """``http`` or ``https``."""
    host: str
    """A name in lower case or a textual IP address, without brackets."""
    port: int
    target: str
    """Path and query, as they stand in the request line."""

    @property
    def authority(self) -> str:
        """Host and port, as they stand in the header ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def parse_http_url(text: str) -> HttpUrl:
    """Read a URL; a fragment is dropped, since it is never sent. Raises `ValueError`."""
    if not _VISIBLE.fullmatch(text):
        raise ValueError("characters that a URL does not have")
    parts = urlsplit(text)
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or "@" in parts.netloc:
        raise ValueError("not http://HOST or https://HOST")
    if ":" in host:
        host = str(ipaddress.IPv6Address(host))
    elif not _NAME.fullmatch(host):
        raise ValueError("not a host name")
    else:
        host.encode("idna")  # for its check of the labels' lengths
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    if not port:
        raise ValueError("no such port")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return HttpUrl(parts.scheme, host, port, target)


def resolve(base: HttpUrl, reference: str) -> HttpUrl:
    """Return where a reference that was found at `base` leads (RFC 3986 section 5). Raises `ValueError`."""
    if not _VISIBLE.fullmatch(reference):
        raise ValueError("characters that a URL does not have")
    return parse_http_url(urljoin(str(base), reference))
