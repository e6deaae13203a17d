"""What the documents say about the code is true."""

import ast
import doctest
import importlib
import json
import pkgutil
import re
import runpy
import tomllib
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

import sfu.dtls
import sfu.ice
import sfu.rtp
import sfu.sdp
from sfu.cli import EXIT_WRONG_SETTING
from sfu.conference import errors
from sfu.conference.envelope import parse
from sfu.conference.messages import CLIENT_MESSAGES, SERVER_MESSAGES
from sfu.shell.config.settings import load, rows
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS
from sfu.shell.ops.metrics import METRICS
from sfu.shell.peer import CLOSE_CODES, INTERNAL_ERROR

ROOT = Path(__file__).parents[1]
DIAGRAMS = ROOT / "docs" / "diagrams"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "web" / "README.md"])


def test_readme_has_every_setting_as_it_is() -> None:
    table = [
        f"| `{row.variable}` "
        f"| {row.default_text if row.default in (None, (), '') else f'`{row.default_text}`'} "
        f"| {row.help} |"
        for row in rows()
    ]
    written = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `SFU_")]
    assert written == table


def test_operations_has_every_metric_as_it_is() -> None:
    table = [
        f"| `{series.name}` |{''.join(f' `{label}`,' for label in series.labels).rstrip(',')} | {series.help} |"
        for series in METRICS
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


def test_signaling_has_every_code_of_an_error() -> None:
    section = (ROOT / "docs" / "signaling.md").read_text().partition("## Errors")[2].partition("\n## ")[0]
    codes = {error.code for error in errors.Refused.__subclasses__()}
    assert {int(code) for code in re.findall(r"(?m)^\| (\d{3}) \|", section)} == codes


def test_messages_in_the_page_about_signaling_are_messages() -> None:
    text = (ROOT / "docs" / "signaling.md").read_text()
    said = [parse(message).message_type for message in re.findall(r"(?m)^    → (.*)", text)]
    heard = [json.loads(message) for message in re.findall(r"(?m)^    ← (.*)", text)]
    for message in heard:
        example = msgspec.convert(message["data"], SERVER_MESSAGES[message["type"]])
        assert json.loads(msgspec.json.encode(example)) == message["data"]
    assert said == ["join", "offer"]
    assert [message["type"] for message in heard] == ["join", "room-state", "answer", "track-published"]


LOGGING = ("info", "warning", "warn", "error", "exception")
"""Methods whose first argument is an event that operators read."""


def test_operations_has_every_event_of_the_log() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page.partition("## The log")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    listed = {event for cell in cells for event in re.findall(r"`([^`]+)`", cell)}
    texts, logged = set(), set()
    for path in (ROOT / "sfu").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(ast.Attribute(_, method), [ast.Constant(event), *_]) if method in LOGGING:
                    logged.add(event)
                case ast.Constant(str(text)):
                    texts.add(text)
    assert logged <= listed, "what is logged has its line in docs/operations.md"
    assert listed <= texts


def test_links_between_documents_lead_somewhere() -> None:
    for page in PAGES:
        for target, _, anchor in re.findall(r"\]\(([^)#:]*)(#([^)]*))?\)", page.read_text()):
            document = page.parent / target if target else page
            assert document.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(document), f"{page.name}: {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """Return what the headings of a page are called in links, as GitHub makes it."""
    headings = re.findall(r"(?m)^#+ (.*)", page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("folder", [ROOT / "docs", ROOT / "docs" / "decisions"], ids=lambda path: path.name)
def test_every_page_is_in_the_index(folder: Path) -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", (folder / "README.md").read_text()))
    assert linked == {page.name for page in folder.glob("*.md")} - {"README.md"}


def test_every_dependency_has_a_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = {re.split(r"[\[<>=~]", name)[0] for names in lists for name in names}
    package = json.loads((ROOT / "web" / "package.json").read_text())
    wanted |= {*package["dependencies"], *package["devDependencies"]}
    text = (ROOT / "docs" / "decisions" / "README.md").read_text().partition("## What each")[2]
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)} == wanted


def test_pages_name_settings_metrics_and_files_that_exist() -> None:
    settings = {row.variable for row in rows()} | {"SFU_CONFIG"}
    metrics = {series.name for series in METRICS} | {"sfu_memory_per_peer_bytes"}
    for page in PAGES:
        text = page.read_text()
        assert set(re.findall(r"\bSFU_[A-Z_]+[A-Z]\b", text)) <= settings, page.name
        assert {name.removesuffix("_bucket") for name in re.findall(r"\bsfu_\w+", text)} <= metrics, page.name
        for name in re.findall(r"`((?:sfu|tests|docs|fuzz|tools|benchmarks|web)/[\w./-]*\w)`", text):
            if name not in NOT_COMMITTED:
                assert (ROOT / name).exists(), f"{page.name}: {name}"


def defined_names(path: Path) -> set[str]:
    """Return the functions of a module and ``Class.method`` of its classes."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = (row for row in node.body if isinstance(row, ast.FunctionDef | ast.AsyncFunctionDef))
            names |= {node.name} | {f"{node.name}.{method.name}" for method in methods}
    return names


@pytest.mark.parametrize(("walk", "most"), [("The way of a packet", 15), ("The way of a join", 18)])
def test_the_walks_name_functions_that_exist(walk: str, most: int) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.partition(f"## {walk}\n")[2].partition("\n## ")[0]
    hops = re.findall(r"(?m)^\| (\d+) \| `([\w/]+\.py)` `([\w.]+)` \|", section)
    assert [int(number) for number, _, _ in hops] == list(range(1, len(hops) + 1))
    assert 5 < len(hops) <= most
    for _, file, name in hops:
        assert name in defined_names(ROOT / file), f"{file} {name}"


def test_what_the_page_about_architecture_names_exists() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    names = set().union(*(defined_names(path) for path in (ROOT / "sfu").rglob("*.py")))
    for name in re.findall(r"`([A-Z]\w+\.\w+)`", page):
        assert name in names, name
    for name in re.findall(r"\b(sfu/[\w/]+(?:\.py|/))", page):
        assert (ROOT / name).exists(), name


NOT_COMMITTED = ("sfu/web", "benchmarks/results", "fuzz/findings", "fuzz/corpus/NAME")
"""What is made when it is needed, or stands for another name."""


def test_settings_file_in_the_page_about_deployment_is_one(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "settings.toml"
    file.write_text(example)
    assert load({}, {}, file).session_ttl_sec == 60


def test_the_unit_in_the_page_about_deployment_is_the_file() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    (example,) = re.findall(r"```ini\n(.*?)```", page, re.DOTALL)
    assert example == (ROOT / "deploy" / "trio-sfu.service").read_text()


def test_the_unit_confines_the_server_and_leaves_it_time_to_stop() -> None:
    unit: dict[str, list[str]] = {}
    for line in (ROOT / "deploy" / "trio-sfu.service").read_text().splitlines():
        if line and not re.fullmatch(r"#.*|\[(Unit|Service|Install)\]", line):
            name, equals, value = line.partition("=")
            assert equals, line
            assert re.fullmatch(r"[A-Z]\w+", name), line
            unit.setdefault(name, []).append(value)
    expected = {
        "Type": ["notify"],
        "Restart": ["always"],
        "RestartPreventExitStatus": [str(EXIT_WRONG_SETTING)],
        "CapabilityBoundingSet": [""],
        "NoNewPrivileges": ["yes"],
        "PrivateTmp": ["yes"],
        "ProtectSystem": ["strict"],
        "RestrictAddressFamilies": ["AF_INET AF_INET6 AF_UNIX AF_NETLINK"],
        "SystemCallFilter": ["@system-service", "~@privileged"],
    }
    assert {name: unit[name] for name in expected} == expected
    assert unit["MemoryMax"][0] != "infinity"
    assert int(unit["WatchdogSec"][0]) > 0
    # The page says that SFU_DRAIN_SEC may be up to 45.
    times = DEFAULT_TIMEOUTS
    assert int(unit["TimeoutStopSec"][0]) - 45 >= times.stop + times.websocket_close + times.flush
    assert int(unit["LimitNOFILE"][0]) > 2 * load({}, {}).max_connections


def test_files_of_the_page_have_their_question() -> None:
    text = (ROOT / "web" / "README.md").read_text().partition("## Where things are")[2]
    named = set(re.findall(r"`([\w-]+\.tsx?)`", text))
    assert named == {path.name for path in (ROOT / "web" / "src").rglob("*.ts*")}


@pytest.mark.parametrize("script", ["conference", "dtls", "transport"])
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
