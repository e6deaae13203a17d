"""The rule of the architecture, and the one direction of its imports, read from the source.

Only `sfu/shell` and `sfu/cli.py` may use Trio, sockets, the clock or randomness, and nothing else imports them.

Imports between our packages point one way; the order is the table below.
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "sfu"

MAY_IMPORT = {
    "errors": set(),
    "deadlines": set(),
    "histogram": set(),
    "rtp": set(),
    "dtls": set(),
    "ice": set(),
    "sdp": set(),
    "bwe": {"rtp"},
    "transport": {"rtp", "dtls", "ice", "sdp", "bwe", "histogram"},
    "conference": {"rtp", "dtls", "ice", "sdp", "bwe", "transport"},
    "state": {"conference", "histogram"},
}
"""What each pure package or module may import of our own, beside itself, `sfu.errors` and `sfu.deadlines`."""

IMPURE = {
    "_thread",
    "aioice",
    "asyncio",
    "concurrent",
    "jwt",
    "logging",
    "multiprocessing",
    "prometheus_client",
    "random",
    "redis",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "trio",
    "trio_asyncio",
    "trio_websocket",
}
"""Modules that do input and output, know the time, make randomness, or start tasks."""

IMPURE_NAMES = {
    ("datetime", "now"),
    ("datetime", "today"),
    ("datetime", "utcnow"),
    ("os", "urandom"),
    ("uuid", "uuid1"),
    ("uuid", "uuid4"),
}
"""Impure functions of modules that are otherwise harmless."""

FILES = sorted(path for path in ROOT.rglob("*.py") if "web" not in path.relative_to(ROOT).parts)
PURE_FILES = [
    path
    for path in FILES
    if path.relative_to(ROOT).parts[0] not in ("shell", "cli.py", "__init__.py", "__main__.py")
]


def name_of(path: Path) -> str:
    """Return a short test id."""
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the parsed source of a module."""
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of everything that a module imports, `a.b.c` for ``from a.b import c``."""
    package = ["sfu", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield from (".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names)


@pytest.mark.parametrize("path", PURE_FILES, ids=name_of)
def test_packages_are_pure(path: Path) -> None:
    tree = tree_of(path)
    assert not {name.partition(".")[0] for name in imports(path)} & IMPURE
    for node in ast.walk(tree):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in IMPURE_NAMES
    assert not {tuple(name.rsplit(".", 1)) for name in imports(path) if "." in name} & IMPURE_NAMES


@pytest.mark.parametrize("path", PURE_FILES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0].removesuffix(".py")
    allowed = MAY_IMPORT[package] | {package, "errors", "deadlines"}
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("sfu.")}
    assert ours <= allowed
    assert "sfu" not in imports(path)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_asyncio_has_one_place(path: Path) -> None:
    if path != ROOT / "shell" / "aio.py":
        assert not {name.partition(".")[0] for name in imports(path)} & {"asyncio", "trio_asyncio"}


def test_pure_packages_load_without_trio() -> None:
    """What `import sfu.transport` and `import sfu.conference` load, in a fresh interpreter."""
    import subprocess

    code = "import sys, sfu.conference, sfu.transport; print('trio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_module_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def module_name(path: Path) -> str:
    """Return the name by which a module is imported."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Imports under TYPE_CHECKING and inside functions count too: a circle is one to a reader as well."""
    modules = {module_name(path): path for path in FILES}
    graph = {
        name: {
            found
            for imported in imports(path)
            if (found := imported if imported in modules else imported.rpartition(".")[0]) in modules
        }
        for name, path in modules.items()
    }
    try:
        TopologicalSorter({name: targets - {name} for name, targets in graph.items()}).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_a_class_name_means_one_thing() -> None:
    found: dict[str, list[str]] = {}
    for path in FILES:
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(name_of(path))
    assert not {name: places for name, places in found.items() if len(places) > 1}
