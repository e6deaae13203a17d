"""Run the fuzz harnesses under atheris: coverage-guided, each for a limited time.

    python fuzz/run.py                      every harness, 10 seconds each
    python fuzz/run.py rtcp stun -s 60      these two, a minute each

A harness is a file ``fuzz_<name>.py`` with a function ``one_input(data: bytes) -> None`` that states an
invariant by not raising. Its committed corpus is ``corpus/<name>``; what a run finds of its own (new inputs
under ``findings/<name>/corpus``, crashes beside them) is not committed. To keep a crash as a test, copy it into
the corpus: ``tests/test_fuzz_corpora.py`` runs every committed input at each `make test`.
"""

import argparse
import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

HERE: Final = Path(__file__).parent
PREFIX: Final = "fuzz_"
MAX_INPUT: Final = 4096
"""Bytes of the longest input: two datagrams' worth, or a page of SDP."""


def names() -> list[str]:
    """Return the names of all harnesses."""
    return sorted(path.stem.removeprefix(PREFIX) for path in HERE.glob(f"{PREFIX}*.py"))


def run_one(name: str, seconds: int) -> bool:
    """Fuzz one harness in a process of its own; return whether its invariant held."""
    (HERE / "findings" / name / "corpus").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, name, "--seconds", str(seconds), "--in-process"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    executions = re.search(r"number_of_executed_units: (\d+)", done.stdout)
    coverage = re.findall(r"cov: (\d+)", done.stdout)
    ok = done.returncode == 0 and executions is not None
    print(
        f"{name:24} {executions[1] if executions else '?':>9} executions, "
        f"{coverage[-1] if coverage else '?':>5} branches reached, {'ok' if ok else 'FAILED'}",
        flush=True,
    )
    if not ok:
        print(done.stdout[-6000:])
    return ok


def fuzz_here(name: str, seconds: int) -> None:
    """Fuzz one harness in this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=["sfu"]):
        module = importlib.import_module(PREFIX + name)
    one_input = cast("Callable[[bytes], None]", module.one_input)
    findings, corpus = HERE / "findings" / name, HERE / "corpus" / name
    # libFuzzer writes new inputs into the first folder and only reads the others.
    folders = [str(findings / "corpus")] + ([str(corpus)] if corpus.is_dir() else [])
    options: list[Any] = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_INPUT}",
        f"-artifact_prefix={findings}/",
        "-timeout=10",  # seconds for one input: parsers are linear
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
    ]
    atheris.Setup([__file__, *options, *folders], one_input)
    atheris.Fuzz()


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; default: all")
    parser.add_argument("-s", "--seconds", type=int, default=10, help="for each harness")
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names())
    if unknown:
        parser.error(f"no such harness: {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    try:
        importlib.import_module("atheris")
    except ImportError as error:
        print(f"Fuzzing needs atheris, which this interpreter does not have: {error}", file=sys.stderr)
        return 3
    if arguments.in_process:
        fuzz_here(arguments.names[0], arguments.seconds)
    held = [run_one(name, arguments.seconds) for name in arguments.names or names()]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
