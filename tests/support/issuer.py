"""A token issuer: its keys, and a small HTTP server on loopback with scripted responses."""

import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import trio
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm


class Signer:
    """A key that signs tokens, and its public half as a JWK."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        self._key = ec.generate_private_key(ec.SECP256R1())
        public: dict[str, Any] = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self.public = {**public, "kid": key_id, "use": "sig", "alg": "ES256"}

    def token(self, user: str = "alice", room: str = "room") -> str:
        """Return a token for a user and a room that expires in the far future."""
        claims = {"room": room, "sub": user, "exp": 4e9}
        return jwt.encode(claims, self._key, "ES256", headers={"kid": self.key_id})


def key_set(*signers: Signer) -> bytes:
    """Return the key set (JWKS) of these signers."""
    return json.dumps({"keys": [signer.public for signer in signers]}).encode()


def ok(body: bytes, *headers: str) -> bytes:
    """Return a response with a document."""
    head = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def moved(location: str, status: int = 302) -> bytes:
    """Return a redirect."""
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


class Issuer:
    """The issuer's HTTP server."""

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        self.url = f"{'http' if context is None else 'https'}://127.0.0.1:{port}"
        self.answers: dict[str, bytes] = {}
        """Raw responses by path. After a response the connection is closed, unless `holds` is set."""
        self.holds = False
        self.held = trio.Event()
        self.requests: list[str] = []
        """The heads of the requests so far."""
        self.connections = 0
        self._context = context

    async def serve(self, connection: trio.SocketStream) -> None:
        """Answer one request."""
        self.connections += 1
        stream: trio.abc.Stream = connection
        if self._context is not None:
            stream = trio.SSLStream(connection, self._context, server_side=True, https_compatible=True)
        try:
            await self._answer(stream)
        except trio.BrokenResourceError:
            pass  # some tests cancel the client in the middle
        finally:
            await trio.aclose_forcefully(stream)
            self.connections -= 1

    async def _answer(self, stream: trio.abc.Stream) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            received = await stream.receive_some()
            if not received:
                return
            head += received
        self.requests.append(head.decode())
        await stream.send_all(self.answers[head.split()[1].decode()])
        if self.holds:
            self.held.set()
            await stream.receive_some()


@asynccontextmanager
async def issuer(certificate: tuple[Path, Path] | None = None) -> AsyncIterator[Issuer]:
    """Run an issuer's HTTP server, with TLS if there is a certificate."""
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        running = Issuer(listener.socket.getsockname()[1], context)
        await nursery.start(trio.serve_listeners, running.serve, [listener])
        yield running
        nursery.cancel_scope.cancel("the test is over")


def make_certificate(folder: Path, address: str, days: int = 1) -> tuple[Path, Path]:
    """Make a self-signed certificate and its key for a server at an IP address, valid for `days` from now."""
    cert, key = folder / f"{address}.pem", folder / f"{address}.key"
    command = (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days {days} -subj /CN=t"
    )
    subprocess.run(
        [*command.split(), "-addext", f"subjectAltName=IP:{address}", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key
