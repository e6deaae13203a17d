"""Public keys in a whole server: what clients get while there are none, and how keys change."""

from pathlib import Path
from typing import Any

import pytest
import trio
from support.in_memory_server import Client, InMemoryServer, in_memory_server, proof_of
from support.issuer import Signer, issuer, key_set, make_certificate, moved, ok
from support.real_server import RealServer, hear, real_server, tell
from support.waiting import becomes
from trio.testing import MockClock

from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.config.urls import HttpUrl, parse_http_url
from sfu.shell.http.fetch import FetchFailed

URL = parse_http_url("https://issuer.example/keys")
OLD, NEW = Signer("old"), Signer("new")


class Remote:
    """Replaces `fetch`: the document at the issuer, and how long it takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.content: bytes | Exception = FetchFailed("connect", "connection refused")
        self.takes = 0.0
        self.fetches = 0
        monkeypatch.setattr("sfu.shell.auth.tokens.fetch", self.fetch)

    async def fetch(self, url: HttpUrl, limit: int) -> bytes:
        """Return the content; raise it if it is an exception."""
        assert url == URL
        self.fetches += 1
        await trio.sleep(self.takes)
        if isinstance(self.content, Exception):
            raise self.content
        assert len(self.content) <= limit
        return self.content


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Remote:
    """Return an issuer that does not answer yet."""
    return Remote(monkeypatch)


async def join(client: Client, **data: Any) -> list[int]:
    """Try to join; return the codes of all errors so far."""
    before = len(client.heard("error")) + len(client.heard("join"))
    await client.say("join", roomId="room", userId=client.user, **data)
    await client.until(lambda: len(client.heard("error")) + len(client.heard("join")) > before)
    return [error["code"] for error in client.heard("error")]


def status(server: InMemoryServer) -> str:
    """Return what ``/readyz`` says."""
    readiness = server.sfu.readiness()
    assert readiness.ready
    return readiness.status


async def test_a_join_without_keys_gets_503_and_may_try_again(
    autojump_clock: MockClock, remote: Remote
) -> None:
    async with in_memory_server(auth_jwks=URL) as server, server.client("alice") as alice:
        assert await join(alice, token=OLD.token()) == [503]
        (error,) = alice.heard("error")
        assert error["message"] == "the token cannot be verified now: try again"
        assert await join(alice, token="nonsense") == [503, 401]
        assert alice.closed is None or alice.closed.reason is not None
        assert status(server) == "degraded"
        remote.content = key_set(OLD)
        async with server.client("alice") as again:
            await trio.sleep(DEFAULT_TIMEOUTS.key_retry_max)
            assert await join(again, token=OLD.token()) == []
        assert status(server) == "ok"
        assert server.sfu.token_verifier.refusals() == {"unavailable": 1, "malformed": 1}
        assert server.sfu.conference.statistics().messages["join", "503"] == 1


async def test_a_join_at_the_start_waits_for_the_first_read(autojump_clock: MockClock, remote: Remote) -> None:
    remote.content, remote.takes = key_set(OLD), 2.0
    async with in_memory_server(auth_jwks=URL) as server, server.client("alice") as alice:
        assert await join(alice, token=OLD.token()) == []
        assert 2.0 <= trio.current_time() < DEFAULT_TIMEOUTS.key_wait


async def test_keys_change(autojump_clock: MockClock, remote: Remote) -> None:
    remote.content = key_set(OLD)
    async with in_memory_server(auth_jwks=URL) as server:
        async with server.client("alice") as alice:
            assert await join(alice, token=OLD.token()) == []
        await trio.sleep(100)
        remote.content = key_set(NEW, OLD)
        async with server.client("bob") as bob:
            assert await join(bob, token=NEW.token("bob")) == []
        async with server.client("alice") as alice:
            assert await join(alice, token=OLD.token()) == []
        assert remote.fetches == 2
        remote.content = key_set(NEW)
        await trio.sleep(600)
        async with server.client("alice") as alice:
            assert await join(alice, token=OLD.token()) == [401]
        assert remote.fetches == 3


async def test_a_session_is_resumed_without_keys(autojump_clock: MockClock, remote: Remote) -> None:
    remote.content = key_set(OLD)
    async with in_memory_server(auth_jwks=URL, session_ttl_sec=3600) as server:
        async with server.client("alice") as alice:
            assert await join(alice, token=OLD.token()) == []
            (joined,) = alice.heard("join")
            await alice.vanish()
        remote.content, remote.takes = b'{"keys": []}', 1e9
        await trio.sleep(650)
        proof = proof_of(joined)
        async with server.client("alice") as alice:
            began = trio.current_time()
            assert await join(alice, token=NEW.token(), **proof) == []
            assert trio.current_time() == pytest.approx(began, abs=0.1)
            assert alice.heard("join")[0]["resumed"]


@pytest.mark.parametrize("there", [True, False])
async def test_a_join_with_a_wrong_session_token_waits_for_keys_whether_the_session_exists_or_not(
    autojump_clock: MockClock, remote: Remote, there: bool
) -> None:
    remote.content = key_set(OLD)
    async with in_memory_server(auth_jwks=URL, session_ttl_sec=3600) as server:
        async with server.client("alice") as alice:
            assert await join(alice, token=OLD.token()) == []
            session_id = alice.heard("join")[0]["sessionId"] if there else "made up"
            await alice.vanish()
        await trio.sleep(100)
        remote.content, remote.takes = key_set(OLD, NEW), 2.0
        async with server.client("alice") as alice:
            began = trio.current_time()
            assert await join(alice, token=NEW.token(), sessionId=session_id, sessionToken="wrong") == []
            assert trio.current_time() - began == pytest.approx(2.0, abs=0.1)
            assert not alice.heard("join")[0]["resumed"]


async def answer(server: RealServer, signer: Signer) -> dict[str, Any]:
    """Join on a new WebSocket; return whether it succeeded, or the error code."""
    async with server.websocket() as (websocket, _):
        await tell(websocket, "join", roomId="room", userId="alice", token=signer.token())
        heard = await hear(websocket, "join", "error")
        return {name: heard[name] for name in ("success", "code") if name in heard}


async def test_an_issuer_with_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On real ports: the keys are fetched with TLS after a redirect, and change."""
    certificate = make_certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with issuer(certificate) as login:
        login.answers = {"/certs": moved("/keys"), "/keys": ok(key_set(OLD))}
        times = Timeouts(key_cooldown=0.0)
        async with real_server(auth_jwks=parse_http_url(f"{login.url}/certs"), timeouts=times) as server:
            ring = server.sfu.token_verifier.key_ring
            assert ring is not None
            assert await answer(server, OLD) == {"success": True}
            login.answers["/keys"] = ok(key_set(NEW))
            assert await answer(server, NEW) == {"success": True}
            assert await answer(server, OLD) in ({"code": 401}, {"code": 503})
            assert set(ring.keys) == {"new"}
            assert set(ring.statistics().reads) == {"ok"}
        await becomes(lambda: login.connections, 0)
