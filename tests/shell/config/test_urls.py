"""HTTP URLs: which are read, and which are refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.shell.config.urls import HttpUrl, parse_http_url, resolve


@pytest.mark.parametrize(
    ("text", "url", "written"),
    [
        ("https://example.org", HttpUrl("https", "example.org", 443, "/"), "https://example.org/"),
        ("HTTP://Example.org:8080/Keys", HttpUrl("http", "example.org", 8080, "/Keys"), None),
        ("https://a_b.example:443/k?x=1&y#part", HttpUrl("https", "a_b.example", 443, "/k?x=1&y"), None),
        ("http://[2001:DB8::1]/", HttpUrl("http", "2001:db8::1", 80, "/"), "http://[2001:db8::1]/"),
        ("http://[::1]:81/?q", HttpUrl("http", "::1", 81, "/?q"), "http://[::1]:81/?q"),
    ],
)
def test_valid_urls(text: str, url: HttpUrl, written: str | None) -> None:
    assert parse_http_url(text) == url
    if written is not None:
        assert str(url) == written
    assert parse_http_url(str(url)) == url


NOT_ALLOWED = [
    "",
    "example.org",
    "//example.org/keys",
    "file:///etc/passwd",
    "ftp://example.org/",
    "https:///keys",
    "https://user:secret@example.org/",
    "https://@example.org/",
    "https://example.org:0/",
    "https://example.org:65536/",
    "https://example.org:x/",
    "https://exa mple.org/",
    "https://example.org/a b",
    "https://example.org/\r\nX-Header: 1",
    "https://ex\N{LATIN SMALL LETTER A WITH DIAERESIS}mple.org/",
    "https://example..org/",
    "https://.example.org/",
    f"https://{'a' * 64}.example/",
    "https://[::1/",
    "https://[fe80::1%eth0/",
    "https://[1.2.3.4]/",
]


@pytest.mark.parametrize("text", NOT_ALLOWED)
def test_invalid_urls(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is for people
        parse_http_url(text)


@pytest.mark.parametrize(
    ("reference", "leads"),
    [
        ("/other", "https://example.org:444/other"),
        ("other?x", "https://example.org:444/path/other?x"),
        ("../up", "https://example.org:444/up"),
        ("//cdn.example/keys", "https://cdn.example/keys"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1/"),
    ],
)
def test_references(reference: str, leads: str) -> None:
    assert str(resolve(parse_http_url("https://example.org:444/path/keys?q"), reference)) == leads


@pytest.mark.parametrize("reference", ["", "file:///etc/passwd", "data:,x", "/a b", "//user@host/"])
def test_invalid_references(reference: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is for people
        resolve(parse_http_url("https://example.org/"), reference)


@given(st.text(max_size=80) | st.text(max_size=60).map("https://a".__add__))
def test_a_url_survives_writing_and_reading(text: str) -> None:
    with contextlib.suppress(ValueError):
        url = parse_http_url(text)
        assert parse_http_url(str(url)) == url
        resolve(url, text)
