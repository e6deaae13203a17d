"""HTTP URLs of settings and redirects: only ValueError escapes; what is read fits a request line and survives.

The input is a URL, up to the first line break; what follows is a reference that was found there.
"""

import contextlib
import ipaddress

from sfu.shell.config.urls import HttpUrl, parse_http_url, resolve

BASE = HttpUrl("https", "example.org", 444, "/path/keys?q")


def one_input(data: bytes) -> None:
    """Check the invariants on a URL and a reference."""
    text, _, reference = data.decode("utf-8", "replace").partition("\n")
    base = BASE
    with contextlib.suppress(ValueError):
        base = check(parse_http_url(text))
    with contextlib.suppress(ValueError):
        check(resolve(base, reference))
    with contextlib.suppress(ValueError):
        check(parse_http_url(f"http://{text}"))


def check(url: HttpUrl) -> HttpUrl:
    """One URL."""
    assert parse_http_url(str(url)) == url
    assert url.scheme in ("http", "https")
    assert 0 < url.port < 1 << 16
    assert url.target.startswith("/")
    assert "#" not in url.target
    for part in (url.target, url.authority):
        assert part.isascii()
        assert part.isprintable()
        assert " " not in part
    assert "@" not in url.authority
    if ":" in url.host:
        assert str(ipaddress.IPv6Address(url.host)) == url.host
    else:
        assert url.host == url.host.lower()
        assert "/" not in url.host
    return url
