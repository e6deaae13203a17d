"""What the documents say about the code is true."""

import doctest
import importlib
import pkgutil
import re
import runpy
from pathlib import Path
from types import ModuleType

import pytest

import sfu.dtls
import sfu.ice
import sfu.rtp
import sfu.sdp
from sfu.conference.messages import CLIENT_MESSAGES, SERVER_MESSAGES
from sfu.config import rows
from sfu.peer import CLOSE_CODES, INTERNAL_ERROR
from sfu.series import SERIES

ROOT = Path(__file__).parents[1]
DIAGRAMS = ROOT / "docs" / "diagrams"


def test_readme_has_every_setting_as_it_is() -> None:
    table = [
        f"| `{row.variable}` "
        f"| {row.default_text if row.default in (None, ()) else f'`{row.default_text}`'} "
        f"| {row.help} |"
        for row in rows()
    ]
    written = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `SFU_")]
    assert written == table


def test_operations_has_every_metric_as_it_is() -> None:
    table = [
        f"| `{series.name}` |{''.join(f' `{label}`,' for label in series.labels).rstrip(',')} | {series.help} |"
        for series in SERIES
    ]
    text = (ROOT / "docs" / "operations.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("| `sfu_")] == table


def test_signaling_has_every_message() -> None:
    text = (ROOT / "docs" / "signaling.md").read_text()
    from_clients, from_server = text.partition("| From the server |")[::2]
    for table, messages in ((from_clients, CLIENT_MESSAGES), (from_server, SERVER_MESSAGES)):
        cells = [
            line.split("|")[1] for line in table.partition("\n## ")[0].splitlines() if line.startswith("| `")
        ]
        assert {name for cell in cells for name in re.findall(r"`([a-z-]+)`", cell)} == set(messages)


def test_signaling_has_every_close_code() -> None:
    text = (ROOT / "docs" / "signaling.md").read_text()
    written = [int(code) for code in re.findall(r"(?m)^\| (\d{4}) \|", text)]
    assert sorted(written) == sorted({*CLOSE_CODES.values(), INTERNAL_ERROR})


def test_links_between_documents_lead_somewhere() -> None:
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "web" / "README.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("script", ["conference", "dtls"])
def test_figures_show_the_tables(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DIAGRAMS)
    drawn = runpy.run_path(str(DIAGRAMS / "pages.py"))["drawn"]
    for page, figures in runpy.run_path(str(DIAGRAMS / f"{script}.py"))["pages"]().items():
        text = (ROOT / "docs" / page).read_text()
        assert drawn(text, figures) == text, f"run python docs/diagrams/{script}.py"


def test_every_harness_is_in_the_page_about_fuzzing() -> None:
    held, _, rest = (ROOT / "docs" / "fuzzing.md").read_text().partition("## What was done")
    done = rest.partition("## What was found")[0]
    harnesses = {path.stem.removeprefix("fuzz_") for path in (ROOT / "fuzz").glob("fuzz_*.py")}
    assert harnesses <= set(re.findall(r"`(\w+)`", held))
    assert set(re.findall(r"^\| `(\w+)`", done, re.MULTILINE)) <= harnesses


def test_contributing_names_files_that_exist() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## Where things go")[2].partition("## Rules")[0]
    for name in re.findall(r"`([\w/]+/[\w.]*)`", table):
        assert (ROOT / name).exists(), name


LIBRARY = (sfu.rtp, sfu.dtls, sfu.ice, sfu.sdp)
"""What people import without the server."""


@pytest.mark.parametrize("package", LIBRARY, ids=lambda package: package.__name__)
def test_examples_in_docstrings_run(package: ModuleType) -> None:
    names = [row.name for row in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    results = [
        doctest.testmod(importlib.import_module(name), optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
        for name in names
    ]
    assert sum(result.attempted for result in results) >= 3
    assert sum(result.failed for result in results) == 0


@pytest.mark.parametrize("package", LIBRARY, ids=lambda package: package.__name__)
def test_public_names_are_there_documented_and_in_the_page(package: ModuleType) -> None:
    page = (ROOT / "docs" / "library.md").read_text()
    section = page.partition(f"## {package.__name__}\n")[2].partition("\n## ")[0]
    for name in package.__all__:
        public = getattr(package, name)
        assert not isinstance(public, type) or public.__doc__, name
        assert f"`{name}`" in section, name


def test_the_library_is_typed() -> None:
    assert (ROOT / "sfu" / "py.typed").exists()


def test_examples_of_the_library_page_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # they read a recording of tests/vectors
    examples = re.findall(
        r"```python\n(.*?)```\n+```text\n(.*?)```", (ROOT / "docs" / "library.md").read_text(), re.DOTALL
    )
    assert len(examples) == 4
    for code, printed in examples:
        exec(compile(code, "docs/library.md", "exec"), {})
        assert capsys.readouterr().out == printed
