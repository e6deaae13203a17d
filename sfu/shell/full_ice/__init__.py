"""Full ICE agents (`SFU_ICE_MODE=full`): aioice, one asyncio loop per peer."""
