"""The certificate of the public port: a new one is used without a restart, and a wrong one harms nothing."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography import x509
from support.http_site import LOCAL, PATIENCE, HttpSite, http_site, open_client
from support.issuer import make_certificate
from support.log_capture import LogEntry
from support.waiting import becomes, until

from sfu.shell.config.settings import Settings
from sfu.shell.config.timeouts import Timeouts
from sfu.shell.http import tls
from sfu.shell.http.tls import TlsCertificate

POLLING = Timeouts(certificate_poll=0.01)
NEVER_POLLING = Timeouts(certificate_poll=3600)

Pair = tuple[Path, Path]


@pytest.fixture
def old(tmp_path: Path) -> Pair:
    """Return the files that the server is told."""
    return make_certificate(_folder(tmp_path, "live"), "127.0.0.1")


@pytest.fixture
def new(tmp_path: Path) -> Pair:
    """Return the files of the certificate that comes later."""
    return make_certificate(_folder(tmp_path, "renewed"), "127.0.0.1")


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def served_by(pair: Pair) -> Settings:
    """Return the settings of a server with this certificate."""
    return Settings(http_addr=LOCAL, tls_cert=pair[0], tls_key=pair[1])


def der(pair: Pair) -> bytes:
    """Return a certificate as TLS sends it."""
    return ssl.PEM_cert_to_DER_cert(pair[0].read_text())


def replace(target: Path, source: Path) -> None:
    """Put a file in the place of another, as ACME clients do."""
    source.replace(target)


async def shown_by(site: HttpSite) -> bytes:
    """Return the certificate that a new client is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    stream = trio.SSLStream(await site.connect(), context, https_compatible=True)
    with trio.fail_after(PATIENCE):
        await stream.do_handshake()
    shown: bytes = stream.getpeercert(binary_form=True)
    await trio.aclose_forcefully(stream)
    return shown


def reads(site: HttpSite) -> dict[str, int]:
    """Return the counts of reads by result."""
    assert site.certificate is not None
    return dict(site.certificate.statistics().reads)


async def test_new_connections_get_the_new_certificate_and_old_ones_go_on(
    root: Path, old: Pair, new: Pair, events: list[LogEntry]
) -> None:
    async with http_site(root, served_by(old), timeouts=POLLING) as site:
        first, second = der(old), der(new)
        assert await shown_by(site) == first
        trusting = ssl.create_default_context(cafile=str(old[0]))
        async with open_client(site.websocket_url, trusting) as websocket:
            # One by one: between the two, the key does not fit, and the old certificate stays.
            replace(old[0], new[0])
            replace(old[1], new[1])
            await until(lambda: reads(site)["ok"] > 1)
            assert await shown_by(site) == second
            await websocket.send_message("still here")
            assert await websocket.get_message() == "STILL HERE"
    # There is an error before this if the server looked between the two.
    assert (events[-1]["event"], events[-1]["log_level"]) == ("TLS certificate read again", "info")
    assert events[-1]["cert"] == str(old[0])
    events.clear()


def _truncate(cert: Path, _key: Path, _other: Pair) -> None:
    cert.write_bytes(cert.read_bytes()[:200])


def _empty(cert: Path, _key: Path, _other: Pair) -> None:
    cert.write_bytes(b"")


def _remove(cert: Path, _key: Path, _other: Pair) -> None:
    cert.unlink()


def _remove_the_key(_cert: Path, key: Path, _other: Pair) -> None:
    key.unlink()


def _take_a_foreign_key(_cert: Path, key: Path, other: Pair) -> None:
    key.write_bytes(other[1].read_bytes())


def _take_a_foreign_certificate(cert: Path, _key: Path, other: Pair) -> None:
    cert.write_bytes(other[0].read_bytes())


@pytest.mark.parametrize(
    "spoil",
    [_truncate, _empty, _remove, _remove_the_key, _take_a_foreign_key, _take_a_foreign_certificate],
    ids=lambda function: function.__name__.strip("_"),
)
async def test_a_wrong_file_is_logged_and_counted_and_the_old_certificate_stays(
    root: Path, old: Pair, new: Pair, events: list[LogEntry], spoil: Callable[[Path, Path, Pair], None]
) -> None:
    first, contents = der(old), [file.read_bytes() for file in old]
    async with http_site(root, served_by(old), timeouts=POLLING) as site:
        spoil(*old, new)
        await until(lambda: reads(site).get("error", 0) > 0)
        assert await shown_by(site) == first
        assert reads(site)["ok"] == 1
        assert {(entry["event"], entry["log_level"]) for entry in events} == {
            ("TLS certificate cannot be read: the old one stays in use", "error")
        }
        assert str(old[0]) in events[-1]["reason"]
        for file, content in zip(old, contents, strict=True):
            file.write_bytes(content)
        await until(lambda: reads(site)["ok"] > 1)
        assert await shown_by(site) == first
    events.clear()


async def test_files_are_read_again_on_request_although_nothing_has_changed(
    root: Path, old: Pair, events: list[LogEntry]
) -> None:
    async with http_site(root, served_by(old), timeouts=NEVER_POLLING) as site:
        assert site.certificate is not None
        site.certificate.read_again()
        await becomes(lambda: reads(site), {"ok": 2})
        replace(old[0], old[1])
        site.certificate.read_again()
        site.certificate.read_again()
        await becomes(lambda: reads(site), {"ok": 2, "error": 1})
    assert [entry["log_level"] for entry in events] == ["info", "error"]
    events.clear()


class Clock:
    """The time of day, and how often it was asked for: once for each look at the files."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.looks = 0

    def __call__(self) -> datetime:
        """Return the time."""
        self.looks += 1
        return self.now

    async def looks_again(self) -> None:
        """Wait until the files have been looked at some more times."""
        enough = self.looks + 5
        await until(lambda: self.looks >= enough)


@asynccontextmanager
async def kept(pair: Pair, clock: Clock, **timeouts: Any) -> AsyncIterator[TlsCertificate]:
    """Run a certificate that is looked at all the time."""
    certificate = TlsCertificate(*pair, timeouts=Timeouts(certificate_poll=0.001, **timeouts), now=clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(certificate.run)
        yield certificate
        nursery.cancel_scope.cancel("the test is over")


async def test_a_wrong_file_that_stays_is_logged_once(old: Pair, events: list[LogEntry]) -> None:
    clock = Clock(datetime.now(UTC))
    async with kept(old, clock):
        old[1].unlink()
        await until(lambda: events)
        await clock.looks_again()
        assert len(events) == 1
    events.clear()


@pytest.mark.parametrize(
    ("days", "left", "event"),
    [
        (90, timedelta(days=15), None),
        (90, timedelta(days=13), "TLS certificate expires soon"),
        (365, timedelta(days=15), None),
        (6, timedelta(days=5), None),
        (6, timedelta(hours=23), "TLS certificate expires soon"),
        (90, timedelta(seconds=-1), "TLS certificate has expired"),
    ],
)
async def test_expiry_is_logged_once_a_day(
    tmp_path: Path, events: list[LogEntry], days: int, left: timedelta, event: str | None
) -> None:
    pair = make_certificate(tmp_path, "127.0.0.1", days)
    end = x509.load_pem_x509_certificate(pair[0].read_bytes()).not_valid_after_utc
    clock = Clock(end - left)
    async with kept(pair, clock) as certificate:
        await clock.looks_again()
        assert certificate.statistics().remaining == left.total_seconds()
    expected = [(event, end.isoformat())] if event else []
    assert [(entry["event"], entry["expires"]) for entry in events] == expected
    events.clear()


async def test_expiry_is_logged_again_after_a_day(old: Pair, events: list[LogEntry]) -> None:
    clock = Clock(datetime.now(UTC) + timedelta(hours=23))
    async with kept(old, clock, certificate_report=0.0):
        await until(lambda: len(events) > 1)
    assert {entry["log_level"] for entry in events} == {"warning"}
    events.clear()


async def test_a_certificate_that_only_openssl_can_parse_is_used(
    root: Path, old: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: bytes) -> list[x509.Certificate]:
        raise ValueError("a serial number of zero")

    monkeypatch.setattr(x509, "load_pem_x509_certificates", refuse)
    async with http_site(root, served_by(old), timeouts=POLLING) as site:
        assert await shown_by(site) == der(old)
        assert site.certificate is not None
        assert site.certificate.statistics().remaining is None


async def test_a_defect_while_reading_ends_nothing(
    root: Path, old: Pair, events: list[LogEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_cert: Path, _key: Path) -> None:
        raise RuntimeError("a bug")

    async with http_site(root, served_by(old), timeouts=NEVER_POLLING) as site:
        assert site.certificate is not None
        with monkeypatch.context() as patch:
            patch.setattr(tls, "_read", fail)
            site.certificate.read_again()
            await becomes(lambda: reads(site), {"ok": 1, "error": 1})
        assert await shown_by(site) == der(old)
        site.certificate.read_again()
        await becomes(lambda: reads(site), {"ok": 2, "error": 1})
    assert [entry["event"] for entry in events] == [
        "reading the TLS certificate failed",
        "TLS certificate read again",
    ]
    events.clear()
