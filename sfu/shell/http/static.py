"""The built page: its files are read once and served from memory.

All files that can be requested are in a table, which is made at the start. A request never uses the file
system, so no path can lead out of the folder, however it is written.
"""

import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from sfu.shell.http.responses import Headers, Response, text

CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".mp3": "audio/mpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""By file name extension. The system's own table (`mimetypes`) differs between machines."""

HASHED_FOLDER: Final = "/assets/"
"""The build puts files here whose names contain a hash of their content. They never change."""

_NOT_BUILT: Final = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>trio-sfu</title>
<h1>trio-sfu is running</h1>
<p>Its page has not been built into this installation. In a checkout, <code>make run</code> builds it
(or <code>npm ci &amp;&amp; npm run build</code> in the folder <code>web</code>); then restart the server.
Signaling at <code>/ws</code> works without it.</p>
</html>
"""


@dataclass(frozen=True, slots=True)
class _File:
    headers: Headers
    etag: str
    body: bytes


class StaticSite:
    """The files of one folder, by URL path."""

    def __init__(self, root: Path) -> None:
        """Read all files below `root`. Without an ``index.html``, the page says how to build it."""
        self._files: dict[str, _File] = {}
        if root.is_dir():
            for path in sorted(root.rglob("*")):
                if path.is_file():
                    url = "/" + path.relative_to(root).as_posix()
                    self._files[url] = _file(url, path.read_bytes())
        self.built = "/index.html" in self._files
        """Whether `root` contains the page."""
        if not self.built:
            self._files["/index.html"] = _file("/index.html", _NOT_BUILT)
        self._files["/"] = self._files["/index.html"]

    def get(self, path: str, if_none_match: str | None = None) -> Response:
        """Return the response for a decoded URL path. `if_none_match` is the value of that header."""
        file = self._files.get(path)
        if file is None:
            return text(HTTPStatus.NOT_FOUND, "There is nothing here.")
        if if_none_match is not None and _matches(if_none_match, file.etag):
            return Response(HTTPStatus.NOT_MODIFIED, file.headers)
        return Response(HTTPStatus.OK, file.headers, file.body)


def _file(url: str, body: bytes) -> _File:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    suffix = url[url.rfind(".") :]
    # Browsers ask for other files each time, and get 304 while the file has not changed.
    caching = "public, max-age=31536000, immutable" if url.startswith(HASHED_FOLDER) else "no-cache"
    headers = (
        ("Content-Type", CONTENT_TYPES.get(suffix, "application/octet-stream")),
        ("Cache-Control", caching),
        ("ETag", etag),
    )
    return _File(headers, etag, body)


def _matches(if_none_match: str, etag: str) -> bool:
    """Compare weakly, as RFC 9110 section 13.1.2 requires for this header."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags
