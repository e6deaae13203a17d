"""Connections to Redis: TCP, TLS, log-in, and what is not a reply of Redis."""

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from support.log_capture import LogEntry
from support.records import record
from support.redis import RedisServer, free_port, needs_redis, proxied, redis_server
from support.redis_store import GRACE, running_store, stored, warnings, written
from support.waiting import until

from sfu.shell.config.redis_url import parse_address
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS
from sfu.shell.store.redis_connection import RedisConnection

pytestmark = needs_redis


async def test_tcp_with_database_user_and_password(tmp_path: Path) -> None:
    port = free_port()
    async with redis_server(tmp_path, "--bind", "127.0.0.1", "::1", "--port", str(port)) as redis:
        redis.client.acl_setuser("sfu", enabled=True, passwords=["+p@ss/word"], commands=["+@all"], keys=["*"])
        for host in ("127.0.0.1", "localhost", "[::1]"):
            async with running_store(parse_address(f"redis://sfu:p%40ss%2Fword@{host}:{port}/3")) as store:
                store.put(record(1), GRACE)
                await written(store)
        databases: Any = redis.client.info("keyspace")
        assert set(databases) == {"db3"}


async def test_tls_verifies_the_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[LogEntry]
) -> None:
    cert, key, port = tmp_path / "cert.pem", tmp_path / "key.pem", free_port()
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=redis"
    )
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    await trio.run_process(
        [*command.split(), *names, "-keyout", key, "-out", cert], capture_stdout=True, capture_stderr=True
    )
    options = ["--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key)]
    address = parse_address(f"rediss://127.0.0.1:{port}")
    async with redis_server(tmp_path, *options, "--tls-auth-clients", "no") as redis:
        async with running_store(address) as store:
            await until(lambda: store.statistics().errors)
            assert warnings(log) == ["connection"]
            assert "CERTIFICATE_VERIFY_FAILED" in str(log)
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        async with running_store(address) as store:
            store.put(record(1), GRACE)
            await written(store)
            assert stored(redis, 1)
    gc.collect()  # a socket that was left open warns now, and not in another test


NOT_REDIS = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"$x\r\n",
    b"*1\r\n" * 5000,
    b":7\r\n",
    b"+OK\r\n",
    b"*0\r\n",
    b"*2\r\n:0\r\n*1\r\n:1\r\n" * 8,
    b"\xff" * 100_000,
]


@pytest.mark.parametrize("answer", NOT_REDIS, ids=range(len(NOT_REDIS)))
async def test_bytes_that_are_no_redis_reply_only_end_the_connection(redis: RedisServer, answer: bytes) -> None:
    timeouts = replace(DEFAULT_TIMEOUTS, redis_connect=0.2, redis_reply=0.2, redis_heartbeat=0.02)
    async with proxied(redis) as proxy, running_store(proxy.address, timeouts=timeouts) as store:
        proxy.answer = answer
        await until(lambda: store.statistics().errors)
        proxy.answer = None
        await until(lambda: store.healthy)
        proxy.answer = answer
        store.put(record(1), GRACE)
        await until(lambda: not store.healthy)
        proxy.answer = None
        await written(store)
        assert stored(redis, 1)
        assert set(store.statistics().errors) <= {"protocol", "connection", "timeout"}


async def test_a_failure_in_the_event_loop_only_ends_the_connection(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections: list[RedisConnection] = []
    ask = RedisConnection.ask

    async def spy(connection: RedisConnection, commands: Any) -> list[Any]:
        connections.append(connection)
        return await ask(connection, commands)

    monkeypatch.setattr(RedisConnection, "ask", spy)
    async with running_store(redis.address) as store:
        await until(lambda: store.healthy)
        connections[-1].loop.asyncio.call_soon(lambda: 1 // 0)
        store.put(record(1), GRACE)
        await written(store)
        assert store.statistics().errors == {"loop": 1}
