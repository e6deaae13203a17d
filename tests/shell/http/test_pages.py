"""Pages and health checks of the public TCP port."""

import json
import re
from pathlib import Path

import pytest
from support.http_site import (
    http_site,
    parse_response,
    request,
)

from sfu.shell.http.public import Readiness


@pytest.mark.parametrize(
    ("path", "content_type", "caching", "body"),
    [
        ("/", "text/html; charset=utf-8", "no-cache", b"<!doctype html><title>page</title>"),
        ("/?room=blue&name=x", "text/html; charset=utf-8", "no-cache", b"<!doctype html><title>page</title>"),
        ("/index.html", "text/html; charset=utf-8", "no-cache", b"<!doctype html><title>page</title>"),
        ("/client.js", "text/javascript; charset=utf-8", "no-cache", b"export {};"),
        ("/assets/page-abc123.css", "text/css; charset=utf-8", "public, max-age=31536000, immutable", b"a{}"),
        ("/odd%20name.bin", "application/octet-stream", "no-cache", b"\0\1"),
        ("http://sfu.example/client.js", "text/javascript; charset=utf-8", "no-cache", b"export {};"),
    ],
)
async def test_files(root: Path, path: str, content_type: str, caching: str, body: bytes) -> None:
    async with http_site(root) as site:
        status, headers, received = parse_response(await site.ask(request(path)))
    assert (status, received) == (200, body)
    assert headers["content-type"] == content_type
    assert headers["cache-control"] == caching
    assert headers["content-length"] == str(len(body))
    assert headers["x-content-type-options"] == "nosniff"
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["date"].endswith(" GMT")


async def test_head_has_the_headers_alone(root: Path) -> None:
    async with http_site(root) as site:
        status, headers, body = parse_response(await site.ask(request("/", method="HEAD")))
    assert (status, body) == (200, b"")
    assert headers["content-length"] == "34"


async def test_unchanged_file_is_not_sent_again(root: Path) -> None:
    async with http_site(root) as site:
        _, headers, _ = parse_response(await site.ask(request("/")))
        etag = headers["etag"]
        for condition in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            status, headers, body = parse_response(await site.ask(request("/", f"If-None-Match: {condition}")))
            assert (status, body) == (304, b"")
            assert headers["etag"] == etag
            assert "content-length" not in headers
        assert parse_response(await site.ask(request("/", 'If-None-Match: "other"')))[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/assets/../../secret.txt",
        "/assets",
        "/assets/",
        "//etc/passwd",
        "/index.html/",
        "/%00",
        "/\xe4",
    ],
)
async def test_no_other_file_is_reachable(root: Path, path: str) -> None:
    async with http_site(root) as site:
        status, _, body = parse_response(await site.ask(request(path)))
    assert status in (400, 404)
    assert b"secret" not in body


async def test_kept_alive_connection_serves_several_requests(root: Path) -> None:
    async with http_site(root) as site:
        requests = [request("/", last=False), request("/nothing", last=False), request("/healthz")]
        together = await site.ask(*requests)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", together) == [b"200", b"404", b"200"]


async def test_http_1_0_is_answered_and_closed(root: Path) -> None:
    async with http_site(root) as site:
        answer = await site.ask(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert parse_response(answer)[0] == 200


async def test_page_that_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    async with http_site(tmp_path / "absent") as site:
        status, headers, body = parse_response(await site.ask(request("/")))
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert b"make run" in body


async def test_health(root: Path) -> None:
    async with http_site(root) as site:
        status, headers, body = parse_response(await site.ask(request("/healthz")))
        assert (status, json.loads(body)) == (200, {"status": "ok"})
        assert headers["content-type"] == "application/json"
        assert headers["cache-control"] == "no-store"


async def test_readiness_is_asked_each_time(root: Path) -> None:
    async with http_site(root) as site:
        assert parse_response(await site.ask(request("/readyz")))[0] == 200
        site.readiness = Readiness(True, "degraded")
        status, _, body = parse_response(await site.ask(request("/readyz")))
        assert (status, json.loads(body)) == (200, {"status": "degraded"})
        site.readiness = Readiness(False, "draining")
        status, _, body = parse_response(await site.ask(request("/readyz")))
        assert (status, json.loads(body)) == (503, {"status": "draining"})
