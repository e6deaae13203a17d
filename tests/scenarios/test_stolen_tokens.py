"""Tokens that are wrong, old, stolen or used twice: never a takeover, and always the same answer.

Each case runs in memory, on a clock that jumps, and on real ports.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Protocol

import pytest
import trio
from support.in_memory_server import in_memory_server
from support.real_server import close_code, hear, real_server, tell
from support.sessions import accepts
from support.waiting import PATIENCE, becomes
from trio.testing import MockClock
from trio_websocket import WebSocketConnection

from sfu.conference import session
from sfu.shell.peer import CLOSE_CODES
from sfu.shell.server import Server

LASTING: dict[str, Any] = {"session_ttl_sec": 60, "room_ttl_sec": 60}


class AnyServer(Protocol):
    """A server, in memory or on real ports."""

    sfu: Server

    def websocket(self) -> AbstractAsyncContextManager[tuple[WebSocketConnection, trio.abc.Stream]]:
        """Open a WebSocket to it."""


@dataclass(frozen=True)
class Proof:
    """What a client shows to come back."""

    session_id: str
    token: str
    room: str = "room"
    user: str = "victim"


# --- clients ---


async def join(websocket: WebSocketConnection, proof: Proof | None, *, room: str, user: str) -> dict[str, Any]:
    """Join; return the reply."""
    shown = {} if proof is None else {"sessionId": proof.session_id, "sessionToken": proof.token}
    await tell(websocket, "join", roomId=room, userId=user, name="Who", transport="keep", **shown)
    return await hear(websocket, "join", "error")


async def come(websocket: WebSocketConnection, proof: Proof | None = None, user: str = "victim") -> Proof:
    """Join as an honest client; return the proof of the session."""
    reply = await join(websocket, proof, room="room", user=user)
    assert reply["success"]
    assert reply["resumed"] is (proof is not None)
    return Proof(reply["sessionId"], reply["sessionToken"], user=user)


async def is_read(websocket: WebSocketConnection) -> None:
    """Show that everything so far has been read: say something, and wait until that is answered."""
    await tell(websocket, "ping")
    await hear(websocket, "pong")


async def answer_to(server: AnyServer, proof: Proof | None, room: str) -> str:
    """What Mallory is answered, but for what is new in every answer."""
    async with server.websocket() as (websocket, _):
        shown = {} if proof is None else {"sessionId": proof.session_id, "sessionToken": proof.token}
        await tell(websocket, "join", roomId=room, userId="mallory", name="Mallory", transport="keep", **shown)
        texts: list[str] = []
        with trio.fail_after(PATIENCE):
            while not texts or json.loads(texts[-1])["type"] != "room-state":
                texts.append(str(await websocket.get_message()))
        await tell(websocket, "leave")
        assert await close_code(websocket) == CLOSE_CODES["left"]
    fresh = json.loads(texts[0])["data"]
    for name in ("peerId", "sessionId", "sessionToken"):
        texts = [text.replace(fresh[name], "?" * len(fresh[name])) for text in texts]
    return re.sub(r'"timestamp":"[^"]*"', '"timestamp":"?"', "\n".join(texts))


def failures(server: AnyServer) -> int:
    """How many joins named a session and did not prove it: `sfu_session_recovery_failures_total`."""
    return server.sfu.conference.statistics().failed_resumes


# --- what Mallory has got hold of ---

Forge = Callable[[Proof, Proof, Proof], Proof]
"""Makes a false proof of: the victim's proof, the one before, and that of a session that has ended."""

FORGED: dict[str, Forge] = {
    "wrong token": lambda now, _old, _ended: replace(now, token="0" * 64),
    "no token": lambda now, _old, _ended: replace(now, token=""),
    "token without its end": lambda now, _old, _ended: replace(now, token=now.token[:-1]),
    "token in capitals": lambda now, _old, _ended: replace(now, token=now.token.upper() + "A"),
    "unknown session": lambda now, _old, _ended: replace(now, session_id="0" * 32),
    "no session": lambda now, _old, _ended: replace(now, session_id=""),
    "id and token swapped": lambda now, _old, _ended: replace(now, session_id=now.token, token=now.session_id),
    "old token": lambda now, old, _ended: replace(now, token=old.token),
    "ended session": lambda _now, _old, ended: ended,
    "token of another session": lambda now, _old, ended: replace(now, token=ended.token),
    "true proof, another user": lambda now, _old, _ended: now,
    "true proof, another room": lambda now, _old, _ended: replace(now, room="elsewhere"),
}


async def present_forgeries(server: AnyServer) -> None:
    """A forged proof is answered like a new join, is counted, and does not affect the session."""
    async with (
        server.websocket() as (first, _),
        server.websocket() as (second, _),
        server.websocket() as (third, _),
    ):
        async with server.websocket() as (leaver, _):
            ended = await come(leaver, user="leaver")
            await tell(leaver, "leave")
        old = await come(first)
        proof = await come(second, old)
        await is_read(second)
        victim = server.sfu.conference.directory.find_session(proof.session_id)
        assert victim is not None
        fresh = {room: await answer_to(server, None, room) for room in ("room", "elsewhere")}
        assert failures(server) == 0
        for count, (name, forge) in enumerate(FORGED.items(), 1):
            forged = forge(proof, old, ended)
            assert await answer_to(server, forged, forged.room) == fresh[forged.room], name
            assert failures(server) == count, name
        # The victim has noticed nothing, and its token is good.
        await is_read(second)
        assert server.sfu.conference.directory.find_session(proof.session_id) is victim
        assert (await come(third, proof)).session_id == proof.session_id
        assert server.sfu.conference.statistics().resumes == 2


async def use_twice_at_once(server: AnyServer) -> None:
    """If two connections use the same token at once, either may be the client. The later gets the session."""
    async with server.websocket() as (first, _):
        proof = await come(first)
        victim = server.sfu.conference.directory.find_session(proof.session_id)
        assert victim is not None
    async with server.websocket() as (one, _), server.websocket() as (two, _):
        replies: list[dict[str, Any]] = []

        async def return_by(websocket: WebSocketConnection) -> None:
            replies.append(await join(websocket, proof, room=proof.room, user=proof.user))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(return_by, one)
            nursery.start_soon(return_by, two)
        assert [reply["peerId"] for reply in replies] == [victim.id] * 2
        codes: dict[WebSocketConnection, int] = {}

        async def listen(websocket: WebSocketConnection) -> None:
            codes[websocket] = await close_code(websocket)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, one)
            nursery.start_soon(listen, two)
            await becomes(lambda: list(codes.values()), [CLOSE_CODES["replaced"]])
            nursery.cancel_scope.cancel("one of them is closed")
        await is_read(one if two in codes else two)
        assert server.sfu.conference.directory.find_session(proof.session_id) is victim
        assert server.sfu.conference.statistics().peers == 1
        # Both have a token, and one of them, the newest, is good.
        proofs = [replace(proof, token=reply["sessionToken"]) for reply in replies]
        assert [accepts(victim.session, each.token) for each in proofs] in ([True, False], [False, True])
        assert not accepts(victim.session, proof.token)


async def replay(server: AnyServer) -> None:
    """A used token is invalid from the moment that its successor has been used."""
    async with server.websocket() as (first, _), server.websocket() as (second, _):
        tokens = [await come(first)]
        tokens.append(await come(second, tokens[-1]))
        await is_read(second)
        for _ in range(5):
            for old in tokens[:-1]:
                await answer_to(server, old, "room")
            async with server.websocket() as (again, _):
                tokens.append(await come(again, tokens[-1]))
                await is_read(again)
        assert failures(server) == sum(range(1, 6))
        assert server.sfu.conference.statistics().resumes == 6


async def test_forgeries_in_memory(autojump_clock: MockClock) -> None:
    async with in_memory_server(**LASTING) as server:
        await present_forgeries(server)


async def test_forgeries_on_ports() -> None:
    async with real_server(**LASTING) as server:
        await present_forgeries(server)


async def test_a_token_used_twice_at_once_in_memory(autojump_clock: MockClock) -> None:
    async with in_memory_server(**LASTING) as server:
        await use_twice_at_once(server)


async def test_a_token_used_twice_at_once_on_ports() -> None:
    async with real_server(**LASTING) as server:
        await use_twice_at_once(server)


async def test_replays_in_memory(autojump_clock: MockClock) -> None:
    async with in_memory_server(**LASTING) as server:
        await replay(server)


async def test_replays_on_ports() -> None:
    async with real_server(**LASTING) as server:
        await replay(server)


async def test_every_wrong_proof_takes_the_same_work_to_refuse(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def compare(one: bytes, other: bytes) -> bool:
        done.append("compare")
        return hmac.compare_digest(one, other)

    def digest(data: bytes) -> "hashlib._Hash":
        done.append("hash")
        return hashlib.sha256(data)

    monkeypatch.setattr(session, "hmac", SimpleNamespace(compare_digest=compare))
    monkeypatch.setattr(session, "hashlib", SimpleNamespace(sha256=digest))
    async with (
        in_memory_server(**LASTING) as server,
        server.websocket() as (first, _),
        server.websocket() as (second, _),
    ):
        async with server.websocket() as (leaver, _):
            ended = await come(leaver, user="leaver")
            await tell(leaver, "leave")
        old = await come(first)
        proof = await come(second, old)
        await is_read(second)
        work = {}
        for name, forge in FORGED.items():
            done.clear()
            forged = forge(proof, old, ended)
            await answer_to(server, forged, forged.room)
            work[name] = tuple(done)
    assert len(set(work.values())) == 1, work
