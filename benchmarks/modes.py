"""The servers that can be measured: with one port for everybody, or with full ICE agents."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from browser.sfu_process import SfuProcess, open_sfu
from support.coturn import coturn

from benchmarks.crowd import Crowd, gather

MODES: Final = ("lite", "full", "relay")
"""`relay`: full agents that are reached through a TURN server alone, coturn on this host, by UDP."""


@asynccontextmanager
async def open_server(mode: str) -> AsyncIterator[SfuProcess]:
    """Run a server of one of `MODES`, with default settings otherwise."""
    settings = {"SFU_ANNOUNCED_IPS": "127.0.0.1"}
    if mode != "lite":
        settings["SFU_ICE_MODE"] = "full"
    if mode != "relay":
        async with open_sfu(settings, options=()) as server:
            yield server
        return
    with tempfile.TemporaryDirectory(prefix="sfu-bench-") as folder:
        async with coturn(Path(folder)) as turn:
            settings |= {"SFU_ICE_POLICY": "relay", **turn.settings()}
            async with open_sfu(settings, options=()) as server:
                yield server


@asynccontextmanager
async def open_crowd(mode: str, server: SfuProcess) -> AsyncIterator[Crowd]:
    """Run an empty crowd of clients for it."""
    async with gather(server.url, server.udp_port if mode == "lite" else None) as crowd:
        yield crowd
