import pytest
from browser.chromium import Chromium
from browser.sfu_process import open_sfu
from browser.test_calls import call, everybody_sees_everybody

pytestmark = pytest.mark.browser


async def test_smoke(chromium: Chromium) -> None:
    async with open_sfu({"SFU_ICE_MODE": "full", "SFU_LOG_LEVEL": "debug"}) as server:
        try:
            anna, ben = await call(server, "two", (chromium, "Anna"), (chromium, "Ben"))
            await everybody_sees_everybody(anna, ben)
        finally:
            print(server.log_text())
