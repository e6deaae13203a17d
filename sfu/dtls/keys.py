"""The key schedule of TLS 1.2: pseudo-random function, master secret, traffic keys, Finished, exporter.

Secrets are never in a ``repr`` or a log. Only a key log set by the caller receives the master secret.
"""

import hashlib
import hmac
from typing import NamedTuple

from sfu.dtls.protection import RecordProtection
from sfu.dtls.suites import CipherSuite

MASTER_SECRET_LENGTH = 48
VERIFY_DATA_LENGTH = 12
RANDOM_LENGTH = 32


def prf(hash_name: str, secret: bytes, label: bytes, seed: bytes, length: int) -> bytes:
    """Derive `length` bytes from a secret: P_hash of RFC 5246 section 5 with ``label + seed``."""
    seed = label + seed
    output = b""
    link = seed
    while len(output) < length:
        link = hmac.digest(secret, link, hash_name)
        output += hmac.digest(secret, link + seed, hash_name)
    return output[:length]


class TrafficKeys(NamedTuple):
    """The keys of the records of epoch 1, as seen from one end."""

    read: RecordProtection
    write: RecordProtection


class Secrets:
    """The master secret of one connection, and what is derived from it."""

    __slots__ = ("_client_random", "_master", "_server_random", "_suite")

    def __init__(
        self,
        suite: CipherSuite,
        premaster: bytes,
        session_hash: bytes,
        client_random: bytes,
        server_random: bytes,
    ) -> None:
        """Compute the *extended* master secret, which depends on all messages so far (RFC 7627 section 4)."""
        self._suite = suite
        self._client_random = client_random
        self._server_random = server_random
        self._master = prf(
            suite.hash_name, premaster, b"extended master secret", session_hash, MASTER_SECRET_LENGTH
        )

    def traffic_keys(self, *, server: bool) -> TrafficKeys:
        """Return the keys of both directions (RFC 5246 section 6.3). AEADs need no MAC keys."""
        suite = self._suite
        key, iv = suite.key_length, suite.iv_length
        seed = self._server_random + self._client_random
        block = prf(suite.hash_name, self._master, b"key expansion", seed, 2 * (key + iv))
        client = suite.protection(block[:key], block[2 * key : 2 * key + iv])
        server_side = suite.protection(block[key : 2 * key], block[2 * key + iv :])
        return TrafficKeys(client, server_side) if server else TrafficKeys(server_side, client)

    def verify_data(self, *, server: bool, transcript: bytes) -> bytes:
        """Return the content of a Finished message (RFC 5246 section 7.4.9)."""
        label = b"server finished" if server else b"client finished"
        digest = hashlib.new(self._suite.hash_name, transcript).digest()
        return prf(self._suite.hash_name, self._master, label, digest, VERIFY_DATA_LENGTH)

    def export(self, label: bytes, length: int, context: bytes | None = None) -> bytes:
        """Derive keys for another protocol (RFC 5705 section 4). No context differs from an empty context."""
        seed = self._client_random + self._server_random
        if context is not None:
            seed += len(context).to_bytes(2, "big") + context
        return prf(self._suite.hash_name, self._master, label, seed, length)

    def key_log_line(self) -> str:
        """Return the line that lets Wireshark decrypt the connection (NSS key log format)."""
        return f"CLIENT_RANDOM {self._client_random.hex()} {self._master.hex()}"
