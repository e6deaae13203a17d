"""A real STUN and TURN server for tests: Debian's coturn, on loopback."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TURNSERVER = shutil.which("turnserver") or ""
"""The program; empty where it is not installed."""

HOST = "127.0.0.1"
USER, PASSWORD = "user", "a password"

SECONDS = 10.0
"""Seconds within which it starts. It takes 0.2 s on an idle machine."""


class Coturn:
    """A running server."""

    def __init__(self, process: trio.Process, host: str, port: int, tls_port: int, log: Path) -> None:
        self.host = host
        self.port = port
        self.tls_port = tls_port
        self._process = process
        self._log = log

    @property
    def stun(self) -> str:
        """Its STUN URL."""
        return f"stun:{self.host}:{self.port}"

    def turn(self, transport: str = "udp") -> str:
        """Its TURN URL; `transport` is ``udp``, ``tcp``, or ``tls`` where it was started with that."""
        if transport == "tls":
            return f"turns:{self.host}:{self.tls_port}"
        return f"turn:{self.host}:{self.port}?transport={transport}"

    def allocations(self) -> int:
        """Return how many allocations it has made so far."""
        return self._log.read_text(errors="replace").count("ALLOCATE processed, success")

    def released(self) -> int:
        """How many allocations its clients have deleted (RFC 8656 section 8: a lifetime of 0)."""
        return self._log.read_text(errors="replace").count("lifetime=0")

    def settings(self) -> dict[str, str]:
        """Return the environment variables for a server that uses it."""
        return {
            "SFU_STUN_URLS": self.stun,
            "SFU_TURN_URLS": self.turn(),
            "SFU_TURN_USER": USER,
            "SFU_TURN_PASSWORD": PASSWORD,
        }

    async def die(self) -> None:
        """Kill the process; its clients are not told."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()


def need_coturn() -> None:
    """Skip the test where coturn is not installed; fail in CI."""
    if not TURNSERVER:
        assert os.environ.get("CI") != "true", "coturn is not installed"
        pytest.skip("coturn is not installed")


@asynccontextmanager
async def coturn(
    folder: Path,
    *,
    host: str = HOST,
    tls: bool = False,
    certified: str | None = None,
    secret: str | None = None,
) -> AsyncIterator[Coturn]:
    """Run a server on one of this host's addresses, which is also where it relays.

    With `tls` it takes TLS too, with a certificate of its own making (`folder`/cert.pem) for `certified`, an
    address, which is `host` if nothing else is said. With a `secret` it takes credentials made with
    that (``use-auth-secret``). Skips the test where there is no coturn, as `need_coturn`.
    """
    need_coturn()
    port, tls_port = _free_port(host), _free_port(host)
    log = folder / f"coturn-{port}.log"
    command = [TURNSERVER, "-n", "--verbose", "--log-file=stdout", "--simple-log", "--no-cli", "--no-dtls"]
    command += (
        [f"--tls-listening-port={tls_port}", *_certificate(folder, certified or host)] if tls else ["--no-tls"]
    )
    if secret is None:
        command += ["--lt-cred-mech", f"--user={USER}:{PASSWORD}"]
    else:
        command += ["--use-auth-secret", f"--static-auth-secret={secret}"]
    command += ["--realm=test"]
    command += [f"--listening-ip={host}", f"--listening-port={port}", f"--relay-ip={host}"]
    command += ["--allow-loopback-peers", f"--pidfile={folder / 'pid'}", f"--userdb={folder / 'users'}"]
    with log.open("wb") as sink:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        )
    server = Coturn(process, host, port, tls_port, log)
    try:
        with trio.fail_after(SECONDS):
            await _listens(host, port)
            if tls:
                await _listens(host, tls_port)
        yield server
    finally:
        with trio.CancelScope(shield=True):
            await server.die()


def _free_port(host: str) -> int:
    """Return a port that is free for UDP and TCP; coturn tries for minutes to bind one that is taken."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
        ):
            udp.bind((host, 0))
            port: int = udp.getsockname()[1]
            with suppress(OSError):
                tcp.bind((host, port))
                return port


def _certificate(folder: Path, address: str) -> list[str]:
    """Make a key and a self-signed certificate for an IP address; return the options that name them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a relay of the tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, pkcs8, plain))
    return [f"--cert={folder / 'cert.pem'}", f"--pkey={folder / 'key.pem'}"]


async def _listens(host: str, port: int) -> None:
    """Wait until it takes TCP connections, which it does last."""
    while True:
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError:
            await trio.sleep(0.05)
        else:
            await stream.aclose()
            return
