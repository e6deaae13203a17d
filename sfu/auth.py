"""Who may enter: signed join tokens (JWT, RFC 7519), verified and made.

A token's claims are::

    {"room": "daily", "sub": "alice", "exp": 1790000000,
     "grants": {"publish": ["audio", "video", "screen"], "subscribe": true, "admin": false}}

`sub` is the user id. `nbf` is heeded. Each grant may be left out, and is then as above; so may all of them.
Tokens are signed by a secret that the server shares with whoever makes them (HS256), or by a private key whose
public half is in a file of keys (JWKS, RFC 7517; RS256, ES256 or EdDSA).
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NoReturn

import jwt
import msgspec

from sfu.conference.errors import Forbidden, Refused, Unauthorized
from sfu.conference.grants import EVERYTHING, Grants, PublishGrant
from sfu.conference.messages import Join
from sfu.config import ConfigError, Settings

SHARED: Final = "HS256"
"""The algorithm of tokens signed by a shared secret."""

PUBLIC: Final = ("RS256", "ES256", "EdDSA")
"""Those of tokens signed by a private key. Which one is decided by the key, never by the token."""

LEEWAY: Final = 10.0
"""Seconds that the clock of whoever makes tokens may differ from ours."""


class GrantClaims(msgspec.Struct, omit_defaults=True):
    """What a token grants."""

    publish: frozenset[PublishGrant] = EVERYTHING
    subscribe: bool = True
    admin: bool = False


class Claims(msgspec.Struct, omit_defaults=True):
    """What a token says."""

    room: str
    sub: str
    exp: float
    nbf: float = 0.0
    grants: GrantClaims = msgspec.field(default_factory=GrantClaims)


class Doorkeeper:
    """Verifies the tokens of joins, or lets everybody in where there is nothing to verify them with."""

    def __init__(
        self,
        secret: str | None = None,
        public_keys: Mapping[str | None, jwt.PyJWK] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`public_keys` are by key id. `clock` returns seconds since 1970."""
        self._secret = secret
        self._public_keys = public_keys or {}
        self._clock = clock
        self._refusals: Counter[str] = Counter()

    @property
    def asks(self) -> bool:
        """Whether a join needs a token."""
        return self._secret is not None or bool(self._public_keys)

    def refusals(self) -> dict[str, int]:
        """Return how many joins were refused, by reason."""
        return dict(self._refusals)

    def authenticate(self, request: Join) -> Grants:
        """Return what the sender of a join may do.

        Raises:
            Unauthorized: there is no token, or it proves nothing: wrong signature, expired, malformed.
            Forbidden: it is a good one for another room or another user.
        """
        if not self.asks:
            return Grants()
        if request.token is None:
            self._refuse("missing", Unauthorized("this server asks for a token to join"))
        claims = self._verify(request.token)
        if claims.room != request.room_id:
            self._refuse("room", Forbidden("the token is for another room"))
        if claims.sub != request.user_id:
            self._refuse("user", Forbidden("the token is another user's"))
        return Grants(claims.grants.publish, claims.grants.subscribe, claims.grants.admin)

    def _verify(self, token: str) -> Claims:
        try:
            header = jwt.get_unverified_header(token)
            key, algorithm = self._key(header.get("alg"), header.get("kid"))
            payload = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                # Times are checked below, on our clock; who else may read the token is not our business.
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
            )
            claims = msgspec.convert(payload, Claims)
        except jwt.InvalidSignatureError:
            self._refuse("signature", Unauthorized("the token's signature is wrong"))
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError):
            # Not said in detail: who makes tokens sees the claims, who forges them need not be helped.
            self._refuse("malformed", Unauthorized("the token cannot be understood"))
        now = self._clock()
        if not now < claims.exp + LEEWAY:  # in this form NaN is refused too
            self._refuse("expired", Unauthorized("the token has expired"))
        if not now >= claims.nbf - LEEWAY:
            self._refuse("early", Unauthorized("the token is not valid yet"))
        return claims

    def _key(self, algorithm: object, key_id: object) -> tuple[str | jwt.PyJWK, str]:
        """Return the key that a token should be signed with, and its algorithm."""
        if algorithm == SHARED and self._secret is not None:
            return self._secret, SHARED
        keys = self._public_keys
        if key_id is None and len(keys) == 1:
            (key,) = keys.values()
        elif (key_id is None or isinstance(key_id, str)) and key_id in keys:
            key = keys[key_id]
        else:
            self._refuse("unknown-key", Unauthorized("the token is signed with a key that is not known here"))
        return key, key.algorithm_name

    def _refuse(self, reason: str, error: Refused) -> NoReturn:
        self._refusals[reason] += 1
        raise error from None


def open_door(settings: Settings) -> Doorkeeper:
    """Return the doorkeeper that the settings ask for. Raises `ConfigError` for keys that cannot be used."""
    if settings.auth_secret is not None:
        try:
            jwt.encode({}, settings.auth_secret, SHARED)
        except jwt.PyJWTError:
            raise ConfigError("SFU_AUTH_SECRET=***: looks like a key of another kind") from None
    keys = {} if settings.auth_jwks is None else _read_keys(settings.auth_jwks)
    return Doorkeeper(settings.auth_secret, keys)


def make_token(
    secret: str, room: str, user: str, grants: Grants, *, ttl: float, clock: Callable[[], float] = time.time
) -> str:
    """Return a token, signed by the shared secret, that lets `user` into `room` for the next `ttl` seconds."""
    granted = GrantClaims(grants.publish, grants.subscribe, grants.admin)
    claims = Claims(room, user, int(clock() + ttl), grants=granted)
    return jwt.encode(msgspec.to_builtins(claims), secret, SHARED)


def _read_keys(file: Path) -> dict[str | None, jwt.PyJWK]:
    """Return the usable public keys of a JWKS file by key id."""
    try:
        found = jwt.PyJWKSet.from_json(file.read_text()).keys
    except (OSError, ValueError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise ConfigError(f"SFU_AUTH_JWKS={file}: not a JSON Web Key Set: {error}") from error
    usable = {key.key_id: key for key in found if key.algorithm_name in PUBLIC}
    if not usable:
        raise ConfigError(f"SFU_AUTH_JWKS={file}: has no key for {', '.join(PUBLIC)}")
    return usable
