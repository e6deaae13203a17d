"""tests/README.md names every module of tests/support, and nothing that does not exist."""

import re

from support.captures import TESTS

TEXT = (TESTS / "README.md").read_text()
MODULES = {path.stem for path in (TESTS / "support").glob("*.py")}


def test_every_module_of_support_is_on_the_map() -> None:
    assert set(re.findall(r"`(\w+)`", TEXT)) >= MODULES
    assert set(re.findall(r"\*\*`(\w+)`\*\*", TEXT)) <= MODULES


def test_what_the_map_names_exists() -> None:
    for name in re.findall(r"`((?:sfu|tests|fuzz|web)/[\w./-]*\w)`", TEXT):
        assert (TESTS.parent / name).exists(), name
    for name in re.findall(r"`(browser/\w+\.py)`", TEXT):
        assert (TESTS / name).exists(), name
    for target in re.findall(r"\]\(([\w./-]+)\)", TEXT):
        assert (TESTS / target).exists(), target


def test_classes_on_the_map_are_defined() -> None:
    classes = set(re.findall(r"`([A-Z]\w*[a-z]\w*)`", TEXT))
    sources = [*(TESTS / "support").glob("*.py"), *(TESTS.parent / "sfu").rglob("*.py")]
    defined = {name for path in sources for name in re.findall(r"(?m)^class (\w+)", path.read_text())}
    assert classes <= defined
