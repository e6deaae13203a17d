from pathlib import Path

import pytest

VECTORS = Path(__file__).parents[1] / "vectors" / "ice"


@pytest.fixture(scope="session")
def vectors() -> dict[str, bytes]:
    """The STUN messages of tests/vectors/ice by file name without suffix."""
    return {file.stem: file.read_bytes() for file in sorted(VECTORS.glob("*.bin"))}
