"""Every committed input of every fuzz harness holds its invariant, without a fuzzer."""

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import cast

import engine
import pytest

FUZZ = Path(__file__).parents[1] / "fuzz"
NAMES = sorted(path.stem.removeprefix("fuzz_") for path in FUZZ.glob("fuzz_*.py"))
RUNNABLE = [name for name in NAMES if name != "mdns" or importlib.util.find_spec("dns")]
"""Python 3.14 has no full ICE agents, so dnspython is not installed there."""


@cache
def harness(name: str) -> Callable[[bytes], None]:
    """Return the function of a harness."""
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", FUZZ / f"fuzz_{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Callable[[bytes], None]", module.one_input)


@pytest.mark.parametrize("name", RUNNABLE)
def test_harness_has_a_corpus_and_holds_on_it(name: str) -> None:
    inputs = sorted((FUZZ / "corpus" / name).iterdir())
    assert inputs
    one_input = harness(name)
    one_input(b"")
    for path in inputs:
        one_input(path.read_bytes())


def test_every_corpus_has_a_harness() -> None:
    assert sorted(path.name for path in (FUZZ / "corpus").iterdir() if path.is_dir()) == NAMES


def test_merging_goes_on_where_it_was_interrupted_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "HERE", tmp_path)
    monkeypatch.setattr(engine, "_target", lambda name, arguments: (1, 0.0, "no fuzzer here"))
    for folder, name in (
        ("corpus/rtcp", "a"),
        ("findings/rtcp/before-merge", "b"),
        ("findings/rtcp/corpus", "c"),
    ):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).write_text(name)
    with pytest.raises(RuntimeError, match="no fuzzer here"):
        engine.merge("rtcp")
    assert sorted(path.name for path in engine.found("rtcp").iterdir()) == ["b", "c"]
    assert [path.name for path in (tmp_path / "findings" / "rtcp").iterdir()] == ["corpus"]
