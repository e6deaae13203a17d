"""What all tests share."""

from importlib.util import find_spec

import pytest
from hypothesis import settings
from support.captures import missing_captures

# How long one example takes depends on what else the machine is doing, and says nothing about the code.
settings.register_profile("sfu", deadline=None)
settings.load_profile("sfu")

NEED_TRIO_ASYNCIO = [
    "scenarios/test_behind_a_nat.py",
    "scenarios/test_redis.py",
    "scenarios/test_redis_claims.py",
    "scenarios/test_redis_trouble.py",
    "shell/full_ice/test_agent.py",
    "shell/full_ice/test_candidates.py",
    "shell/full_ice/test_hostile_peers.py",
    "shell/full_ice/test_mdns.py",
    "shell/full_ice/test_relays.py",
    "shell/full_ice/test_server.py",
    "shell/store/test_redis.py",
    "shell/store/test_redis_connection.py",
    "shell/store/test_redis_failures.py",
    "shell/test_aio.py",
]
"""Tests of what a server cannot do without trio-asyncio, which has no version for Python 3.14."""

collect_ignore = [] if find_spec("trio_asyncio") else NEED_TRIO_ASYNCIO


def pytest_report_header() -> list[str]:
    """Say which tests are left out."""
    return (
        [f"trio-asyncio is not installed: left out are {', '.join(collect_ignore)}"] if collect_ignore else []
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say so where the tests have not read the complete captures."""
    if line := missing_captures():
        terminalreporter.write_line(line)
