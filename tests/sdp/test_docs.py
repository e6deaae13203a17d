import re

import pytest
from support.captures import TESTS


def test_the_example_in_the_docs_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (TESTS.parent / "docs" / "sdp.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "docs/sdp.md", "exec"), {})
    assert "a=msid:bob screen\r\n" in capsys.readouterr().out
