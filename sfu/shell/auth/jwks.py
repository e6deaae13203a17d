"""Key sets (JWKS, RFC 7517): which of their keys are used, and why the others are not.

A set may contain keys for other purposes and of unknown types. They are ignored (RFC 7517 section 5).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
import msgspec

from sfu.errors import BadPacket

PUBLIC: Final = ("RS256", "ES256", "EdDSA")
"""Algorithms of tokens signed with a private key. The key decides which one is used, never the token."""

MAX_BYTES: Final = 256 * 1024
"""Bytes of a set. A dozen keys with their certificate chains take some 50 KB."""

MAX_KEYS: Final = 64
"""Keys of a set that are used. Two or three are usual: the previous, the current and the next one."""

MIN_RSA_BITS: Final = 2048
"""Bits of an RSA key (RFC 7518 section 3.3)."""

KeysById = Mapping[str | None, jwt.PyJWK]
"""Keys by key id. One key may have no id."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of a set."""

    keys: KeysById
    unused: Mapping[str, int]
    """Number of keys that are not used, by reason: ``symmetric`` (a secret, which the set discloses to everyone
    who reads it), ``private`` (the same for a private key), ``use`` (for encryption), ``algorithm`` (none of
    `PUBLIC`), ``weak`` (RSA with less than `MIN_RSA_BITS`), ``malformed``, ``duplicate`` (another key has the
    id), ``too-many``."""


class _Unused(Exception):
    """A key is not used. The text is the reason."""


class _Set(msgspec.Struct):
    keys: list[Any]


def read_keys(data: bytes) -> KeySet:
    """Return the usable keys of a set; there may be none.

    Raises:
        BadPacket: the data is not a key set.
    """
    try:
        entries = msgspec.json.decode(data, type=_Set).keys
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadPacket("format", f"not a JSON Web Key Set: {error}") from None
    keys: dict[str | None, jwt.PyJWK] = {}
    unused: Counter[str] = Counter()
    for entry in entries:
        try:
            if len(keys) >= MAX_KEYS:
                raise _Unused("too-many")
            key = _read_key(entry)
            if key.key_id in keys:
                raise _Unused("duplicate")
            keys[key.key_id] = key
        except _Unused as reason:
            unused[str(reason)] += 1
    return KeySet(keys, unused)


def _read_key(entry: Any) -> jwt.PyJWK:
    if not isinstance(entry, dict):
        raise _Unused("malformed")
    algorithm, key_id = entry.get("alg"), entry.get("kid")
    if not isinstance(algorithm, str | None) or not isinstance(key_id, str | None):
        raise _Unused("malformed")
    if entry.get("kty") == "oct":
        raise _Unused("symmetric")
    if "d" in entry:
        raise _Unused("private")
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise _Unused("use")
    if algorithm is not None and algorithm not in PUBLIC:
        raise _Unused("algorithm")
    try:
        key = jwt.PyJWK(entry)
    except (jwt.PyJWTError, TypeError, ValueError, AttributeError):
        # PyJWT does not check the types of the members.
        raise _Unused("malformed") from None
    if key.algorithm_name not in PUBLIC:
        raise _Unused("algorithm")
    if key.algorithm_name == "ES256" and key.key.curve.name != "secp256r1":
        raise _Unused("algorithm")  # RFC 7518 section 3.4
    if key.algorithm_name == "RS256" and key.key.key_size < MIN_RSA_BITS:
        raise _Unused("weak")
    return key
