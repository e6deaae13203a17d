"""Join tokens: every way in which one can be wrong, and what its grants allow in the server."""

import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode
from support.in_memory_server import in_memory_server, proof_of
from trio.testing import MockClock

from sfu.conference.errors import Refused, Unauthorized
from sfu.conference.grants import EVERYTHING, Grants
from sfu.conference.messages import Join
from sfu.shell.auth.jwks import MAX_BYTES
from sfu.shell.auth.tokens import LEEWAY, TokenVerifier, make_token, make_token_verifier
from sfu.shell.config.settings import ConfigError, Settings
from sfu.shell.config.urls import parse_http_url

SECRET = "a secret of thirty-two bytes, or more"
NOW = 1_790_000_000.0
CLAIMS = {"room": "daily", "sub": "alice", "exp": NOW + 60}

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
PUBLIC_KEYS: dict[str, dict[str, Any]] = {
    "RS256": RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True),
    "ES256": ECAlgorithm.to_jwk(EC.public_key(), as_dict=True),
    "EdDSA": OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True),
}
PRIVATE_KEYS: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey] = {
    "RS256": RSA,
    "ES256": EC,
    "EdDSA": ED,
}


def verifier_of(secret: str | None = SECRET) -> TokenVerifier:
    """Return a verifier whose clock stands still."""
    return TokenVerifier(secret, clock=lambda: NOW)


def join(token: str | None, room: str = "daily", user: str = "alice") -> Join:
    """Return a join."""
    return Join(room_id=room, user_id=user, token=token)


def sign(**changes: Any) -> str:
    """Return a token with some claims changed; `None` leaves a claim out."""
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    return jwt.encode(claims, SECRET, "HS256")


def refused(verifier: TokenVerifier, request: Join) -> tuple[int, str]:
    """Expect a refusal; return its code and the reason that was counted."""
    with pytest.raises(Refused) as caught:
        verifier.authenticate(request)
    (reason,) = verifier.refusals()
    assert verifier.refusals() == {reason: 1}
    return caught.value.code, reason


def test_a_valid_token() -> None:
    verifier = verifier_of()
    assert verifier.required
    assert verifier.authenticate(join(sign())) == Grants(EVERYTHING, subscribe=True, admin=False)
    granted = {"publish": ["audio"], "subscribe": False, "admin": True}
    assert verifier.authenticate(join(sign(grants=granted))) == Grants(frozenset({"audio"}), False, True)
    assert verifier.authenticate(join(sign(grants={"publish": []}))).publish == frozenset()
    assert verifier.authenticate(join(sign(aud="other", iat=NOW + 5, nbf=NOW))).subscribe
    assert verifier.refusals() == {}


def test_without_keys_every_join_is_allowed() -> None:
    verifier = verifier_of(None)
    assert not verifier.required
    assert verifier.authenticate(join(None)) == verifier.authenticate(join("nonsense")) == Grants()


def unsigned() -> str:
    """Return a token with ``alg: none`` (RFC 7519 section 6)."""
    return jwt.encode(CLAIMS, "", "none")


def cut(token: str) -> str:
    """Return a token without its signature."""
    return token.rpartition(".")[0] + "."


@pytest.mark.parametrize(
    ("make", "answer"),
    [
        (lambda: None, (401, "missing")),
        (lambda: "", (401, "malformed")),
        (lambda: "a.b.c", (401, "malformed")),
        (lambda: "\N{SNOWMAN}\ud800", (401, "malformed")),
        (unsigned, (401, "unknown-key")),
        (lambda: cut(sign()), (401, "signature")),
        (lambda: jwt.encode(CLAIMS, "another secret of more than 32 bytes", "HS256"), (401, "signature")),
        (lambda: jwt.encode(CLAIMS, SECRET * 2, "HS512"), (401, "unknown-key")),
        (lambda: jwt.encode(CLAIMS, RSA, "RS256"), (401, "unknown-key")),
        (lambda: jwt.encode(CLAIMS, SECRET, "HS256", {"crit": ["x"], "x": 1}), (401, "malformed")),
        (lambda: sign(exp=NOW - LEEWAY), (401, "expired")),
        (lambda: sign(exp=float("nan")), (401, "expired")),
        (lambda: sign(nbf=NOW + LEEWAY + 1), (401, "early")),
        (lambda: sign(exp=None), (401, "malformed")),
        (lambda: sign(room=None), (401, "malformed")),
        (lambda: sign(sub=None), (401, "malformed")),
        (lambda: sign(exp="tomorrow"), (401, "malformed")),
        (lambda: sign(grants={"publish": ["everything"]}), (401, "malformed")),
        (lambda: sign(grants=[]), (401, "malformed")),
        (lambda: sign(room="other"), (403, "room")),
        (lambda: sign(sub="bob"), (403, "user")),
    ],
)
def test_an_invalid_token(make: Callable[[], str | None], answer: tuple[int, str]) -> None:
    assert refused(verifier_of(), join(make())) == answer


@given(st.text(max_size=200) | st.builds(lambda a, b: f"{a}.{b}.", st.text(max_size=60), st.text(max_size=60)))
def test_any_text_is_refused(token: str) -> None:
    with pytest.raises(Unauthorized):
        verifier_of().authenticate(join(token))


def test_a_token_with_a_changed_character_is_refused() -> None:
    token = sign()
    # Not the last one: two of its bits are beyond the end of the signature.
    for index, letter in enumerate(token[:-1]):
        changed = token[:index] + ("A" if letter != "A" else "B") + token[index + 1 :]
        with pytest.raises(Unauthorized):
            verifier_of().authenticate(join(changed))


def test_a_made_token_is_accepted() -> None:
    token = make_token(
        SECRET, "daily", "alice", Grants(frozenset({"screen"}), False), ttl=60, clock=lambda: NOW
    )
    assert verifier_of().authenticate(join(token)) == Grants(frozenset({"screen"}), False, False)
    late = TokenVerifier(SECRET, clock=lambda: NOW + 60 + LEEWAY)
    assert refused(late, join(token)) == (401, "expired")


# --- public keys ---


@pytest.fixture
def jwks(tmp_path: Path) -> Callable[[Any], Settings]:
    """Return a function that writes a key set file and returns the settings that name it."""

    def write(content: Any) -> Settings:
        file = tmp_path / "jwks.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return Settings(auth_jwks=file)

    return write


KEY_SET = {"keys": [{**key, "kid": name, "use": "sig"} for name, key in PUBLIC_KEYS.items()]}
LATER = {**CLAIMS, "exp": 4e9}


@pytest.mark.parametrize("algorithm", PUBLIC_KEYS)
def test_public_keys(jwks: Callable[[Any], Settings], algorithm: str) -> None:
    verifier = make_token_verifier(jwks(KEY_SET))
    token = jwt.encode(LATER, PRIVATE_KEYS[algorithm], algorithm, headers={"kid": algorithm})
    assert verifier.authenticate(join(token)) == Grants()
    other = next(name for name in PUBLIC_KEYS if name != algorithm)
    mixed = jwt.encode(LATER, PRIVATE_KEYS[algorithm], algorithm, headers={"kid": other})
    assert refused(verifier, join(mixed)) == (401, "malformed")


def test_a_token_without_a_key_id_and_several_keys(jwks: Callable[[Any], Settings]) -> None:
    token = jwt.encode(LATER, RSA, "RS256")
    assert refused(make_token_verifier(jwks(KEY_SET)), join(token)) == (401, "unknown-key")


async def test_an_unknown_key_triggers_a_read(jwks: Callable[[Any], Settings], nursery: trio.Nursery) -> None:
    verifier = make_token_verifier(jwks(KEY_SET))
    assert verifier.key_ring is not None
    nursery.start_soon(verifier.key_ring.run)
    request = join(jwt.encode(LATER, RSA, "RS256", headers={"kid": "unknown"}))
    await verifier.prepare(request)
    assert refused(verifier, request) == (401, "unknown-key")
    assert verifier.key_ring.statistics().reads == {"ok": 2}


async def test_a_changed_file_is_read_again(jwks: Callable[[Any], Settings], nursery: trio.Nursery) -> None:
    verifier = make_token_verifier(jwks({"keys": [{**PUBLIC_KEYS["ES256"], "kid": "old"}]}))
    assert verifier.key_ring is not None
    nursery.start_soon(verifier.key_ring.run)
    jwks({"keys": [{**PUBLIC_KEYS["EdDSA"], "kid": "new"}]})
    request = join(jwt.encode(LATER, ED, "EdDSA", headers={"kid": "new"}))
    await verifier.prepare(request)
    assert verifier.authenticate(request) == Grants()
    old = join(jwt.encode(LATER, EC, "ES256", headers={"kid": "old"}))
    assert refused(verifier, old) == (401, "unknown-key")


async def test_a_file_that_cannot_be_read_changes_nothing(jwks: Callable[[Any], Settings]) -> None:
    settings = jwks(KEY_SET)
    verifier = make_token_verifier(settings)
    assert verifier.key_ring is not None
    assert isinstance(settings.auth_jwks, Path)
    for spoil, reason in (
        (settings.auth_jwks.unlink, "file"),
        (lambda: jwks(" " * (MAX_BYTES + 1)), "too-large"),
        (lambda: jwks("{}"), "format"),
    ):
        spoil()
        await verifier.key_ring._refresh()
        assert verifier.key_ring.statistics().reads[reason] == 1
        assert set(verifier.key_ring.keys) == set(PUBLIC_KEYS)


async def test_a_token_that_needs_no_public_key_does_not_wait(autojump_clock: MockClock) -> None:
    """The keys are never read: a call that waits for them makes the clock jump."""
    verifier = make_token_verifier(
        Settings(auth_secret=SECRET, auth_jwks=parse_http_url("https://192.0.2.1/keys"))
    )
    assert verifier.required
    assert not verifier.ready
    for token in (None, "", "a.b.c", "\ud800", unsigned(), token_for("alice")):
        await verifier.prepare(join(token, "room"))
    assert trio.current_time() == 0
    assert verifier.authenticate(join(token_for("alice"), "room")).subscribe
    public = join(jwt.encode(LATER, RSA, "RS256"))
    assert refused(verifier, public) == (503, "unavailable")


def test_a_single_key_needs_no_id(jwks: Callable[[Any], Settings]) -> None:
    verifier = make_token_verifier(jwks({"keys": [PUBLIC_KEYS["ES256"]]}))
    assert verifier.authenticate(join(jwt.encode(LATER, EC, "ES256"))) == Grants()


def test_a_public_key_is_not_accepted_as_a_shared_secret(jwks: Callable[[Any], Settings]) -> None:
    """The classic attack: HS256 with the text of the public key, which is public."""
    verifier = make_token_verifier(jwks({"keys": [PUBLIC_KEYS["RS256"]]}))
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, LATER)]
    signed = b".".join(base64url_encode(part) for part in parts)
    public = json.dumps(PUBLIC_KEYS["RS256"]).encode()
    token = (signed + b"." + base64url_encode(hmac.digest(public, signed, "sha256"))).decode()
    assert refused(verifier, join(token)) == (401, "malformed")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"keys": []}',
        {"keys": [{"kty": "oct", "k": "AAAA", "alg": "HS256"}]},
        {"keys": [7]},
        "\0",
    ],
)
def test_a_file_without_usable_keys_stops_the_start(jwks: Callable[[Any], Settings], content: Any) -> None:
    settings = jwks(content)
    with pytest.raises(ConfigError, match=r"^SFU_AUTH_JWKS=.*jwks\.json: "):
        make_token_verifier(settings)


def test_a_secret_that_is_a_public_key_stops_the_start() -> None:
    with pytest.raises(ConfigError, match=r"^SFU_AUTH_SECRET=\*\*\*: "):
        make_token_verifier(Settings(auth_secret=json.dumps(PUBLIC_KEYS["RS256"])))


# --- in a server ---


def token_for(user: str, **grants: Any) -> str:
    """Return a token that is valid on the real clock."""
    claims = {"room": "room", "sub": user, "exp": 4e9, "grants": grants}
    return jwt.encode(claims, SECRET, "HS256")


@pytest.mark.parametrize(
    ("token", "code"), [(None, 401), (sign(exp=1.0), 401), (token_for("bob"), 403), (sign(exp=4e9), 403)]
)
async def test_a_refused_client_gets_an_error_and_is_disconnected(
    autojump_clock: MockClock, token: str | None, code: int
) -> None:
    async with in_memory_server(auth_secret=SECRET) as server, server.client("alice") as alice:
        await alice.say("join", roomId="room", userId="alice", **({"token": token} if token else {}))
        await alice.until(lambda: alice.closed)
        (error,) = alice.heard("error")
        assert (error["code"], error["type"]) == (code, "join")
        assert alice.close_code == 1008
        assert server.sfu.conference.statistics().messages == {("join", str(code)): 1}
        assert not server.sfu.conference.rooms


async def enter(client: Any, **grants: Any) -> None:
    """Join with a token."""
    await client.say("join", roomId="room", userId=client.user, token=token_for(client.user, **grants))
    await client.until(lambda: client.heard("room-state"))


async def test_a_peer_without_the_subscribe_grant_receives_nothing(autojump_clock: MockClock) -> None:
    async with (
        in_memory_server(auth_secret=SECRET) as server,
        server.client("alice") as alice,
        server.client("bob") as bob,
    ):
        await enter(alice)
        await alice.publish("audio")
        await enter(bob, subscribe=False)
        await alice.publish("video")
        await bob.until(lambda: len(bob.heard("track-published")) == 1)
        peers = server.sfu.conference.rooms["room"].peers.values()
        assert [len(peer.connection.subscriptions) for peer in peers] == [0, 0]
        await bob.publish("video")
        await alice.until(lambda: any(line.track for line in alice.browser.lines))
        assert [len(peer.connection.subscriptions) for peer in peers] == [1, 0]


async def test_an_offer_without_the_publish_grant_is_refused(autojump_clock: MockClock) -> None:
    async with in_memory_server(auth_secret=SECRET) as server, server.client("alice") as alice:
        await enter(alice, publish=["audio"])
        await alice.publish("audio")
        alice.browser.add("video", receives=False)
        await alice.say("offer", sdp=alice.own(alice.browser.offer()), type="offer")
        await alice.until(lambda: alice.heard("error"))
        (error,) = alice.heard("error")
        assert (error["code"], error["type"]) == (403, "offer")
        assert [track["kind"] for track in alice.heard("track-published")] == ["audio"]
        assert server.sfu.conference.statistics().messages["offer", "403"] == 1


async def test_a_resumed_session_keeps_its_grants_and_needs_no_token(autojump_clock: MockClock) -> None:
    async with in_memory_server(auth_secret=SECRET) as server:
        async with server.client("alice") as alice:
            await enter(alice, publish=["screen"])
            (joined,) = alice.heard("join")
            await alice.vanish()
        async with server.client("alice") as alice:
            proof = proof_of(joined)
            await alice.say("join", roomId="room", userId="alice", **proof)
            await alice.until(lambda: alice.heard("join"))
            assert alice.heard("join")[0]["resumed"]
            (peer,) = server.sfu.conference.rooms["room"].peers.values()
            assert peer.grants.publish == {"screen"}
        async with server.client("alice") as alice:
            await alice.say("join", roomId="room", userId="alice", **{**proof, "sessionToken": "wrong"})
            await alice.until(lambda: alice.heard("error"))
            assert alice.heard("error")[0]["code"] == 401
