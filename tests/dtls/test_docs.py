import re
import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_figures_show_the_tables() -> None:
    page = (DOCS / "dtls.md").read_text()
    drawn = runpy.run_path(str(DOCS / "diagrams" / "dtls.py"))["drawn"]
    assert drawn(page) == page, "run python docs/diagrams/dtls.py"


def test_the_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (DOCS / "dtls.md").read_text(), re.DOTALL)
    exec(compile(example, "docs/dtls.md", "exec"), {})
