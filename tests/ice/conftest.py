import pytest
from support.captures import VECTORS


@pytest.fixture(scope="session")
def vectors() -> dict[str, bytes]:
    """The STUN messages of tests/vectors/ice, by file name without suffix."""
    return {file.stem: file.read_bytes() for file in sorted((VECTORS / "ice").glob("*.bin"))}
