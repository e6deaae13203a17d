"""What `run.py` and `campaign.py` share: one harness fuzzed in a process of its own, and what came of it."""

import argparse
import importlib
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
PREFIX: Final = "fuzz_"


def names() -> list[str]:
    """Return the names of all harnesses."""
    return sorted(path.stem.removeprefix(PREFIX) for path in HERE.glob(f"{PREFIX}*.py"))


def read_names(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read a command line with names of harnesses. A wrong one ends the process."""
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; default: all")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names())
    if unknown:
        parser.error(f"no such harness: {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    arguments.names = arguments.names or names()
    return arguments


def read_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the same for a program that fuzzes: without atheris it ends."""
    arguments = read_names(parser)
    try:
        importlib.import_module("atheris")
    except ImportError as error:
        parser.exit(3, f"Fuzzing needs atheris, which this interpreter does not have: {error}\n")
    return arguments


def corpus(name: str) -> Path:
    """Return the folder of the committed inputs."""
    return HERE / "corpus" / name


def found(name: str) -> Path:
    """Return the folder of the inputs that runs have found, which need not exist."""
    return HERE / "findings" / name / "corpus"


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one harness."""

    name: str
    executions: int | None
    """Inputs tried; `None` when the run did not get so far as to tell."""
    cpu: float
    """Seconds of processor time."""
    edges: int
    """Places of `sfu` that libFuzzer has seen reached, with those of the corpora."""
    finds: int
    """Inputs that broke an invariant, took too long or too much memory."""
    log: str

    @property
    def ok(self) -> bool:
        """Whether the run came to its end without a find."""
        return self.executions is not None and not self.finds


def run(name: str, seconds: int) -> Result:
    """Fuzz one harness for a time. Finds are left beside `found(name)`."""
    found(name).mkdir(parents=True, exist_ok=True)
    findings = found(name).parent
    options = [f"-max_total_time={seconds}", f"-artifact_prefix={findings}/"]
    # libFuzzer writes new inputs into the first folder and only reads the others.
    began = time.time()
    status, cpu, log = _target(name, [*options, str(found(name)), str(corpus(name))])
    executions = re.search(r"number_of_executed_units: (\d+)", log)
    edges = re.findall(r"cov: (\d+)", log)
    crashes = [path for path in findings.iterdir() if path.is_file() and path.stat().st_mtime >= began]
    return Result(
        name,
        int(executions[1]) if executions and not status else None,
        cpu,
        int(edges[-1]) if edges else 0,
        len(crashes),
        log,
    )


def merge(name: str) -> int:
    """Keep of the found inputs only those that reach what the committed ones do not; return how many."""
    folder = found(name)
    old = folder.with_name("before-merge")
    old.mkdir(exist_ok=True)  # it is there where an earlier merge was interrupted, with what had been found
    for path in folder.iterdir():
        path.replace(old / path.name)
    # Into a copy of the committed inputs: libFuzzer adds to the first folder what that lacks.
    for path in corpus(name).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    status, _, log = _target(name, ["-merge=1", str(folder), str(old)])
    for path in corpus(name).iterdir():
        (folder / path.name).unlink()
    if status:
        for path in old.iterdir():
            path.replace(folder / path.name)
        old.rmdir()
        raise RuntimeError(f"merging {name} failed:\n{log[-2000:]}")
    for path in old.iterdir():
        path.unlink()
    old.rmdir()
    return sum(1 for _ in folder.iterdir())


def _target(name: str, arguments: list[str]) -> tuple[int, float, str]:
    """Run `target.py`; return its status, its processor time and what it printed."""
    command = [sys.executable, str(HERE / "target.py"), name, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        log = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime, log
