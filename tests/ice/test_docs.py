import re
from pathlib import Path as FilePath

import pytest

PAGE = FilePath(__file__).parents[2] / "docs" / "ice.md"


def test_example_in_the_docs_runs(capsys: pytest.CaptureFixture[str]) -> None:
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(example, str(PAGE), "exec"), {})
    assert "PathSelected" in capsys.readouterr().out
