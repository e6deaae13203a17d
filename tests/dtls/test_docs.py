import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (DOCS / "dtls.md").read_text(), re.DOTALL)
    exec(compile(example, "docs/dtls.md", "exec"), {})
