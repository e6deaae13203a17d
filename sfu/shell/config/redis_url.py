"""The address of Redis, as in the setting `SFU_REDIS_URL`."""

from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit

DEFAULT_PORT: Final = 6379

FORMS: Final = (
    "redis://[[user]:password@]host[:port][/db], rediss://… for TLS, or unix://[[user]:password@]/path[?db=N]"
)
"""The expected forms, for error messages."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """How to reach Redis. Its text does not contain the password."""

    scheme: Literal["redis", "rediss", "unix"]
    host: str = ""
    """With ``redis`` and ``rediss``: a name or an IP address, without brackets."""
    port: int = DEFAULT_PORT
    path: str = ""
    """With ``unix``: the path of the socket."""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}/{self.db}"


def parse_address(text: str) -> RedisAddress:
    """Read a URL.

    User and password may be percent-encoded. The user may be missing, as in ``redis://:password@host``.

    Raises:
        ValueError: the URL has none of the `FORMS`.
    """
    url = urlsplit(text)
    username = unquote(url.username) if url.username else None
    password = unquote(url.password) if url.password else None
    if url.fragment:
        raise ValueError("a Redis URL has no fragment")
    match url.scheme:
        case "unix":
            if url.hostname or not url.path.startswith("/"):
                raise ValueError("the path of a socket must be absolute")
            name, _, number = (url.query or "db=0").partition("=")
            if name != "db":
                raise ValueError("unknown parameter")
            db = _number(number)
            return RedisAddress("unix", path=unquote(url.path), db=db, username=username, password=password)
        case "redis" | "rediss" as scheme:
            if not url.hostname or url.query:
                raise ValueError("no host, or a query")
            db = _number(url.path.removeprefix("/") or "0")
            return RedisAddress(
                scheme, unquote(url.hostname), _port(url), db=db, username=username, password=password
            )
        case _:
            raise ValueError("unknown scheme")


def _port(url: SplitResult) -> int:
    port = DEFAULT_PORT if url.port is None else url.port  # raises ValueError above 65535
    if port == 0:
        raise ValueError("port 0")
    return port


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise ValueError("not a database number")
    return int(text)
