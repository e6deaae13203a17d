"""The user-name fragment and password that authenticate connectivity checks (RFC 8445 section 5.3)."""

from base64 import b64encode
from collections.abc import Callable
from typing import NamedTuple


class Credentials(NamedTuple):
    """One side's ICE credentials, as `a=ice-ufrag` and `a=ice-pwd` carry them."""

    ufrag: str
    pwd: str

    def __repr__(self) -> str:
        # The password authenticates checks, so it must not be in logs and tracebacks.
        return f"Credentials(ufrag={self.ufrag!r}, pwd=...)"


def make_credentials(random: Callable[[int], bytes]) -> Credentials:
    """Make credentials with `random`, which returns that many unpredictable bytes (`os.urandom`).

    RFC 8445 section 5.3 requires at least 24 bits of randomness in the fragment and 128 bits in the password.
    Our fragment has 72 bits: on the shared socket it also routes a first check to its peer, so two connected
    peers must never have the same one. Base 64 without padding uses exactly the characters of the `ice-char`
    grammar (letters, digits, `+` and `/`).
    """
    return Credentials(
        ufrag=b64encode(random(9)).decode("ascii"),
        pwd=b64encode(random(18)).decode("ascii"),
    )
