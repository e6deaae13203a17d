"""Fixtures of the tests of the public TCP port."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.log_capture import LogEntry, capture_logs


@pytest.fixture(autouse=True)
def events() -> Iterator[list[LogEntry]]:
    """Collect the log. It must be empty at the end: clients cannot write into it."""
    with capture_logs() as captured:
        yield captured
    assert captured == []


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the folder of a small page."""
    folder = tmp_path / "web"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "client.js").write_text("export {};")
    (folder / "assets" / "page-abc123.css").write_text("a{}")
    (folder / "odd name.bin").write_bytes(b"\0\1")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=127.0.0.1"
    )
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key
