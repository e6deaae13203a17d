"""A message takes no more bytes than `SFU_MAX_MESSAGE_BYTES`, whatever its characters are."""

from pathlib import Path

import pytest
import trio
from support.http_site import LOCAL, http_site, open_client
from trio_websocket import ConnectionClosed

from sfu.shell.config.settings import Settings

LIMIT = 64 * 1024
PATIENCE = 30


@pytest.mark.parametrize("character", ["x", "\u00e9", "\u20ac", "\U0001f642"])
async def test_characters_of_several_bytes_do_not_raise_the_limit(tmp_path: Path, character: str) -> None:
    """A text that exceeds the limit in bytes, but not in characters, ends the connection."""
    settings = Settings(http_addr=LOCAL, max_message_bytes=LIMIT)
    size = len(character.encode())
    async with http_site(tmp_path, settings) as site, open_client(site.websocket_url) as websocket:
        await websocket.send_message(character * (LIMIT // size))
        with trio.fail_after(PATIENCE):
            assert len(await websocket.get_message()) == LIMIT // size
        await websocket.send_message(character * (LIMIT // size + 10_000))
        with pytest.raises(ConnectionClosed), trio.fail_after(PATIENCE):
            await websocket.get_message()
