"""The lock files in requirements/ agree with pyproject.toml and with each other."""

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

ROOT: Final = Path(__file__).parents[1]
PYTHONS: Final = ("3.11.7", "3.12.0", "3.13.0", "3.14.0")
FILES: Final = sorted((ROOT / "requirements").glob("*.lock"))


def text(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.lock").read_text()


def locked(name: str, python: str) -> dict[str, str]:
    """Return the versions that a lock file has for one interpreter on Linux, by the package's name."""
    rows = [Requirement(line.rstrip(" \\")) for line in re.findall(r"(?m)^[\w.-]+==.*", text(name))]
    return {row.name: str(row.specifier).removeprefix("==") for row in rows if applies(row, python)}


def applies(requirement: Requirement, python: str) -> bool:
    environment = {
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "sys_platform": "linux",
    }
    return requirement.marker is None or requirement.marker.evaluate(environment)


def wanted(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    return [Requirement(line) for lines in lists for line in lines]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("name", "extras"),
    [("server", ()), ("lowest", ()), ("dev", ("test", "bench"))],
    ids=lambda value: str(value),
)
def test_a_lock_file_has_what_pyproject_asks_for(name: str, extras: tuple[str, ...], python: str) -> None:
    versions = locked(name, python)
    for requirement in wanted(*extras):
        if applies(requirement, python):
            key = requirement.name.lower().replace("_", "-")
            assert requirement.specifier.contains(versions[key]), f"{requirement}: run make lock"


@pytest.mark.parametrize("python", PYTHONS)
def test_the_server_is_tested_with_the_versions_that_it_is_released_with(python: str) -> None:
    assert locked("server", python).items() <= locked("dev", python).items()


def test_the_lowest_lock_file_has_the_lower_bounds() -> None:
    versions = locked("lowest", PYTHONS[0])
    for requirement in wanted():
        (bound,) = (part.version for part in requirement.specifier if part.operator == ">=")
        assert versions[requirement.name] in (bound, f"{bound}.0"), f"{requirement}: run make lock"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_locked_package_has_hashes_and_no_address(path: Path) -> None:
    content = path.read_text()
    blocks = re.split(r"(?m)^(?=\S)", content)[2:]
    assert blocks
    for block in blocks:
        assert "--hash=sha256:" in block, block
    assert "://" not in content
    assert "--index" not in content
