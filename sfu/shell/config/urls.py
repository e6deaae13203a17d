"""HTTP URLs, read strictly (RFC 3986, RFC 9110 section 4.2).

They come from a setting or from a redirect. Only http and https are allowed, no user names, and no characters
outside ASCII. (An international host name has an ASCII form with ``xn--``.)
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
    """Path and query, as in the request line."""

    @property
    def authority(self) -> str:
        """Host and port, as in the header ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def parse_http_url(text: str) -> HttpUrl:
    """Read a URL. A fragment is dropped: it is never sent to a server. Raises `ValueError`."""
    if not _VISIBLE.fullmatch(text):
        raise ValueError("a character that is not allowed in a URL")
    parts = urlsplit(text)
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or "@" in parts.netloc:
        raise ValueError("not http://HOST or https://HOST")
    if ":" in host:
        host = str(ipaddress.IPv6Address(host))
    elif not _NAME.fullmatch(host):
        raise ValueError("not a host name")
    else:
        host.encode("idna")  # checks the lengths of the labels
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    if not port:
        raise ValueError("port 0")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return HttpUrl(parts.scheme, host, port, target)


def resolve(base: HttpUrl, reference: str) -> HttpUrl:
    """Resolve a reference that was found at `base` (RFC 3986 section 5). Raises `ValueError`."""
    if not _VISIBLE.fullmatch(reference):
        raise ValueError("a character that is not allowed in a URL")
    return parse_http_url(urljoin(str(base), reference))
