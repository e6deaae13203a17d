"""Join tokens (JWT, RFC 7519): verifying them and making them.

The claims of a token::

    {"room": "daily", "sub": "alice", "exp": 1790000000,
     "grants": {"publish": ["audio", "video", "screen"], "subscribe": true, "admin": false}}

`sub` is the user id. `nbf` is checked if it is there. Each grant may be left out, and so may `grants`; the
defaults are as above. A token is signed with a secret that the server shares with the issuer (HS256), or with a
private key whose public half is in a key set (RS256, ES256 or EdDSA; see `sfu.shell.auth.jwks`). The key set is
a file, or what an HTTP URL returns.
"""

import os
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import jwt
import msgspec
import trio

from sfu.conference.errors import Forbidden, Refused, Unauthorized, Unavailable
from sfu.conference.grants import EVERYTHING, Grants, PublishGrant
from sfu.conference.identifiers import check_visible
from sfu.conference.messages import Join
from sfu.errors import BadPacket
from sfu.shell.auth.jwks import MAX_BYTES, PUBLIC, KeySet, read_keys
from sfu.shell.auth.key_ring import KeyRing
from sfu.shell.config.settings import ConfigError, Settings
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.config.urls import HttpUrl
from sfu.shell.http.fetch import FetchFailed, fetch

SHARED: Final = "HS256"
"""The algorithm of tokens signed with a shared secret."""

LEEWAY: Final = 10.0
"""Seconds that the issuer's clock may differ from ours."""


class GrantClaims(msgspec.Struct, omit_defaults=True):
    """The claim ``grants``: what the user may do."""

    publish: frozenset[PublishGrant] = EVERYTHING
    subscribe: bool = True
    admin: bool = False


class TokenClaims(msgspec.Struct, omit_defaults=True):
    """The claims of a token."""

    room: str
    sub: str
    exp: float
    nbf: float = 0.0
    grants: GrantClaims = msgspec.field(default_factory=GrantClaims)

    def __post_init__(self) -> None:
        """Check the characters of room and user. Raises `ValueError`."""
        check_visible("room", self.room)
        check_visible("sub", self.sub)


class TokenVerifier:
    """Verifies the tokens of joins. Without a secret and without public keys, every join is allowed."""

    def __init__(
        self,
        secret: str | None = None,
        key_ring: KeyRing | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`secret` verifies HS256 tokens, `key_ring` the others. `clock` returns seconds since 1970."""
        self.key_ring = key_ring
        """The public keys, if the settings name a key set. The server runs it."""
        self._secret = secret
        self._clock = clock
        self._refusals: Counter[str] = Counter()

    @property
    def required(self) -> bool:
        """Whether a join needs a token."""
        return self._secret is not None or self.key_ring is not None

    @property
    def ready(self) -> bool:
        """Whether every token can be verified: false while public keys are needed and missing."""
        return self.key_ring is None or bool(self.key_ring.keys)

    def refusals(self) -> dict[str, int]:
        """Return how many joins were refused, by reason."""
        return dict(self._refusals)

    async def prepare(self, request: Join) -> None:
        """If the key of a join's token is unknown but may come, wait for it, for a bounded time.

        This does not verify the token. `authenticate` does, and never waits.
        """
        if self.key_ring is not None and request.token is not None:
            try:
                header = jwt.get_unverified_header(request.token)
            except (jwt.PyJWTError, ValueError):
                return
            if header.get("alg") in PUBLIC:
                await self.key_ring.look_for(header.get("kid"))

    def authenticate(self, request: Join) -> Grants:
        """Return what the client that sent the join may do.

        Raises:
            Unauthorized: there is no token, or it is not valid: wrong signature, expired, malformed.
            Forbidden: the token is valid, but for another room or another user.
            Unavailable: the token names a key that is not known yet and may still come.
        """
        if not self.required:
            return Grants()
        if request.token is None:
            self._refuse("missing", Unauthorized("joining requires a token"))
        claims = self._verify(request.token)
        if claims.room != request.room_id:
            self._refuse("room", Forbidden("the token is for another room"))
        if claims.sub != request.user_id:
            self._refuse("user", Forbidden("the token is for another user"))
        return Grants(claims.grants.publish, claims.grants.subscribe, claims.grants.admin)

    def _verify(self, token: str) -> TokenClaims:
        try:
            header = jwt.get_unverified_header(token)
            key, algorithm = self._key(header.get("alg"), header.get("kid"))
            payload = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                # The times are checked below, on our clock. The audience does not concern us.
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
            )
            claims = msgspec.convert(payload, TokenClaims)
        except jwt.InvalidSignatureError:
            self._refuse("signature", Unauthorized("the token's signature is wrong"))
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError):
            # No details: an issuer can see the claims, and a forger should get no help.
            self._refuse("malformed", Unauthorized("the token is malformed"))
        now = self._clock()
        if not now < claims.exp + LEEWAY:  # written like this, it refuses NaN too
            self._refuse("expired", Unauthorized("the token has expired"))
        if not now >= claims.nbf - LEEWAY:
            self._refuse("early", Unauthorized("the token is not valid yet"))
        return claims

    def _key(self, algorithm: object, key_id: object) -> tuple[str | jwt.PyJWK, str]:
        """Return the key that the token should be signed with, and its algorithm."""
        if algorithm == SHARED and self._secret is not None:
            return self._secret, SHARED
        key_ring = self.key_ring
        key = None if key_ring is None else key_ring.find(key_id)
        if key is None:
            if key_ring is not None and algorithm in PUBLIC and key_ring.request(key_id):
                self._refuse("unavailable", Unavailable("the token cannot be verified now: try again"))
            self._refuse("unknown-key", Unauthorized("the token is signed with an unknown key"))
        return key, key.algorithm_name

    def _refuse(self, reason: str, error: Refused) -> NoReturn:
        self._refusals[reason] += 1
        raise error from None


def make_token_verifier(settings: Settings, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> TokenVerifier:
    """Return the verifier for the settings. Raises `ConfigError` for keys that cannot be used."""
    if settings.auth_secret is not None:
        try:
            jwt.encode({}, settings.auth_secret, SHARED)
        except jwt.PyJWTError:
            raise ConfigError("SFU_AUTH_SECRET=***: looks like a public or private key, not a secret") from None
    return TokenVerifier(settings.auth_secret, _key_ring(settings, timeouts))


def _key_ring(settings: Settings, timeouts: Timeouts) -> KeyRing | None:
    source, interval = settings.auth_jwks, settings.auth_jwks_refresh_sec
    if source is None:
        return None
    if isinstance(source, HttpUrl):
        return KeyRing(str(source), partial(fetch, source, MAX_BYTES), interval, os.urandom, timeouts=timeouts)
    # A file is read at once: without a usable key in it, the setting is wrong.
    first = _load(source)
    return KeyRing(str(source), partial(_fetch_file, source), interval, os.urandom, first, timeouts=timeouts)


def make_token(
    secret: str, room: str, user: str, grants: Grants, *, ttl: float, clock: Callable[[], float] = time.time
) -> str:
    """Return a token signed with the shared secret. It lets `user` join `room` for the next `ttl` seconds.

    Raises:
        ValueError: `room` or `user` has a character that ids may not have.
    """
    granted = GrantClaims(grants.publish, grants.subscribe, grants.admin)
    claims = TokenClaims(room, user, int(clock() + ttl), grants=granted)
    return jwt.encode(msgspec.to_builtins(claims), secret, SHARED)


def _load(file: Path) -> KeySet:
    try:
        found = read_keys(_read_file(file))
    except (FetchFailed, BadPacket) as error:
        raise ConfigError(f"SFU_AUTH_JWKS={file}: {error}") from error
    if not found.keys:
        raise ConfigError(f"SFU_AUTH_JWKS={file}: contains no key for {', '.join(PUBLIC)}")
    return found


async def _fetch_file(file: Path) -> bytes:
    return await trio.to_thread.run_sync(_read_file, file, abandon_on_cancel=True)


def _read_file(file: Path) -> bytes:
    """Return the content of a file. Raises `FetchFailed`."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise FetchFailed("file", f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise FetchFailed("too-large", f"more than {MAX_BYTES} bytes")
    return data
