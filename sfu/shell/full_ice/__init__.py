"""Full ICE agents (`SFU_ICE_MODE=full`): aioice in an asyncio loop for each peer."""
