"""What systemd is told: when the ports are open, when the server stops, and that the event loop runs."""

import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from support.log_capture import LogEntry, capture_logs
from support.waiting import PATIENCE
from trio.testing import MockClock

from sfu.shell.config.settings import ConfigError, load
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS
from sfu.shell.process import serve
from sfu.shell.systemd import READY, STOPPING, WATCHDOG, Systemd

ANY_PORT = dict.fromkeys(("http_addr", "admin_addr", "udp_addr", "ice_tcp_addr"), "127.0.0.1:0")

AT_A_START = {
    "anyone can join any room: neither SFU_AUTH_SECRET nor SFU_AUTH_JWKS is set",
    "sessions are lost on a restart: neither SFU_REDIS_URL nor SFU_REDIS_ADDR is set",
}
"""Warnings about the settings of these tests."""


@pytest.fixture(autouse=True)
def events() -> Iterator[list[LogEntry]]:
    """Collect the log. A test that expects warnings clears it."""
    with capture_logs() as captured:
        yield captured
    complaints = {entry["event"] for entry in captured if entry["log_level"] in ("warning", "error")}
    assert complaints <= AT_A_START


class Manager:
    """systemd's end: a datagram socket."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        self.environ = {"NOTIFY_SOCKET": name}
        self._raw = sock
        self._socket = trio.socket.from_stdlib_socket(sock)

    async def hears(self) -> bytes:
        """Return the next message."""
        with trio.fail_after(PATIENCE):
            return await self._socket.recv(4096)

    def has_heard_nothing(self) -> bool:
        """Return whether no message waits."""
        try:
            self._raw.recv(4096)
        except BlockingIOError:
            return True
        return False


@contextmanager
def manager(folder: Path, *, abstract: bool = False) -> Iterator[Manager]:
    """Listen as systemd does."""
    name = f"@trio-sfu-test-{os.getpid()}" if abstract else str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0", 1))
        yield Manager(sock, name)


@pytest.mark.parametrize("abstract", [False, True])
async def test_a_server_says_when_its_ports_are_open_and_when_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    with manager(tmp_path, abstract=abstract) as systemd:
        for name, value in systemd.environ.items():
            monkeypatch.setenv(name, value)
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve, load(ANY_PORT, {}))
            assert await systemd.hears() == READY
            port = int(url.rstrip("/").rpartition(":")[2])
            async with await trio.open_tcp_stream("127.0.0.1", port):
                signal.raise_signal(signal.SIGTERM)
                assert await systemd.hears() == STOPPING


async def test_a_server_that_cannot_start_does_not_say_that_it_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with manager(tmp_path) as systemd, socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("NOTIFY_SOCKET", systemd.environ["NOTIFY_SOCKET"])
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.RaisesGroup(ConfigError, flatten_subgroups=True):
            await serve(load({**ANY_PORT, "http_addr": address}, {}))
        assert systemd.has_heard_nothing()


async def test_the_watchdog_is_answered_at_half_its_interval(tmp_path: Path, autojump_clock: MockClock) -> None:
    with manager(tmp_path) as systemd:
        environ = {**systemd.environ, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
        with Systemd.open(environ) as opened:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(opened.run_watchdog)
                for second in (15, 30, 45):
                    assert await systemd.hears() == WATCHDOG
                    assert trio.current_time() == pytest.approx(second)
                nursery.cancel_scope.cancel("heard enough")


@pytest.mark.parametrize(
    "watchdog",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
    ],
)
async def test_without_a_watchdog_for_this_process_nothing_is_answered(
    tmp_path: Path, autojump_clock: MockClock, watchdog: Mapping[str, str]
) -> None:
    with manager(tmp_path) as systemd, Systemd.open({**systemd.environ, **watchdog}) as opened:
        await opened.run_watchdog()
        assert systemd.has_heard_nothing()


async def test_the_end_of_the_watchdog_task_ends_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Systemd) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a bug")

    monkeypatch.setattr(Systemd, "run_watchdog", fail)
    with pytest.RaisesGroup(RuntimeError, flatten_subgroups=True):
        await serve(load(ANY_PORT, {}))


async def test_without_systemd_nothing_is_sent() -> None:
    with Systemd.open({}) as opened:
        await opened.notify(READY)
        await opened.run_watchdog()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("/does/not/exist", "No such file or directory"),
        ("/" + "x" * 200, "AF_UNIX path too long"),
        ("vsock:2:1234", "only Unix sockets are supported"),
    ],
)
async def test_a_socket_that_cannot_be_reached_is_logged_once_a_minute(
    autojump_clock: MockClock, events: list[LogEntry], address: str, reason: str
) -> None:
    with Systemd.open({"NOTIFY_SOCKET": address}) as opened:
        for _ in range(3):
            await opened.notify(READY)
    (entry,) = events
    assert (entry["event"], entry["reason"]) == ("systemd cannot be notified", reason)
    events.clear()


async def test_a_full_socket_is_tried_again_and_holds_nobody_up(
    tmp_path: Path, autojump_clock: MockClock, events: list[LogEntry]
) -> None:
    with manager(tmp_path) as systemd, Systemd.open(systemd.environ) as opened:
        before = trio.current_time()
        while not events:
            await opened.notify(READY)
        assert events[0]["reason"] == "its socket is full"
        assert trio.current_time() - before == pytest.approx(DEFAULT_TIMEOUTS.systemd_notify)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opened.notify, STOPPING)
            while await systemd.hears() != STOPPING:
                pass
    events.clear()
