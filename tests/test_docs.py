"""What the documents say about the code is true."""

import re
from pathlib import Path

from sfu.conference.messages import CLIENT_MESSAGES, SERVER_MESSAGES
from sfu.config import rows
from sfu.series import SERIES

ROOT = Path(__file__).parents[1]


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


def test_links_between_documents_lead_somewhere() -> None:
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "web" / "README.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_contributing_names_files_that_exist() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## Where things go")[2].partition("## Rules")[0]
    for name in re.findall(r"`([\w/]+/[\w.]*)`", table):
        assert (ROOT / name).exists(), name
