"""One harness under libFuzzer, in this process: `python fuzz/target.py NAME [libFuzzer's options and folders]`.

A program of its own, since libFuzzer ends the process, and starts it again by its name when it merges
corpora.
"""

import importlib
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

HERE: Final = Path(__file__).resolve().parent
MAX_INPUT: Final = 4096
"""Bytes of the longest input, unless the harness has a `MAX_INPUT` of its own: two datagrams' worth."""


def load(name: str) -> Callable[[bytes], None]:
    """Return the function of a harness. Harnesses may use what the tests have: models of browsers, say."""
    for folder in (HERE, HERE.parent / "tests"):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    module = importlib.import_module(f"fuzz_{name}")
    return cast("Callable[[bytes], None]", module.one_input)


def main() -> None:
    """Fuzz, or merge, until libFuzzer has enough."""
    import atheris

    name, *arguments = sys.argv[1:]
    with atheris.instrument_imports(include=["sfu"]):
        one_input = load(name)
    dictionary = HERE / "dictionaries" / f"{name}.dict"
    options = [
        f"-max_len={getattr(sys.modules[one_input.__module__], 'MAX_INPUT', MAX_INPUT)}",
        "-timeout=10",  # seconds for one input: everything here is linear, but the machine may be busy
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        *([f"-dict={dictionary}"] if dictionary.exists() else []),
    ]
    itself = shlex.join([sys.executable, str(HERE / "target.py"), name])
    atheris.Setup([itself, *options, *arguments], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
