"""What the inputs of a harness reach, and the best of them for the committed corpus.

    python fuzz/corpora.py                    every harness: what its inputs reach
    python fuzz/corpora.py rtcp --keep 4000   move the best found inputs, 4000 bytes at most, into its corpus

Measured by coverage.py and not by libFuzzer, in a fresh process for each harness: branches of the modules that
the harness itself imports, or that it names in `TARGETS` where it imports much that it is not about.
"""

import argparse
import ast
import subprocess
import sys
from pathlib import Path

import coverage
from engine import HERE, PREFIX, corpus, found, read_names
from target import load


def targets(name: str) -> list[str]:
    """The files that a harness is about: its `TARGETS`, or else the modules of `sfu` that it imports."""
    tree = ast.parse((HERE / f"{PREFIX}{name}.py").read_text())
    files: set[Path] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sfu."):
            for alias in node.names:
                files |= _files(f"{node.module}.{alias.name}") or _files(node.module)
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TARGETS":
            files = set().union(*map(_files, ast.literal_eval(node.value)))
    return sorted(map(str, files - _files("sfu.errors")))


def _files(module: str) -> set[Path]:
    """The files of a module or package, found without importing it: imports are to be measured too."""
    path = HERE.parent.joinpath(*module.split("."))
    return (
        set(path.glob("*.py"))
        if path.is_dir()
        else {file for file in [path.with_suffix(".py")] if file.exists()}
    )


def inputs(name: str) -> list[Path]:
    """All inputs there are: the committed ones, then the found ones, the shortest first."""
    kept = sorted(corpus(name).iterdir())
    new = found(name).iterdir() if found(name).is_dir() else ()
    return kept + sorted(new, key=lambda path: path.stat().st_size)


def measure(name: str) -> tuple[coverage.Coverage, dict[Path, set[tuple[str, int, int]]]]:
    """Run every input of a harness; return what all reached, and the branches of each."""
    files = targets(name)
    cover = coverage.Coverage(branch=True, data_file=None, config_file=False, include=files)
    cover.start()
    one_input = load(name)
    for path in inputs(name):
        cover.switch_context(str(path))
        one_input(path.read_bytes())
    cover.stop()
    data = cover.get_data()
    reached: dict[Path, set[tuple[str, int, int]]] = {}
    for path in inputs(name):
        data.set_query_context(str(path))
        reached[path] = {(file, *arc) for file in files for arc in data.arcs(file) or ()}
    data.set_query_contexts(None)
    return cover, reached


def report(name: str) -> str:
    """Say how many branches of its target the inputs of a harness reach."""
    cover, _ = measure(name)
    there = taken = 0
    for file in targets(name):
        for all_of_it, some_of_it in cover.branch_stats(file).values():
            there += all_of_it
            taken += some_of_it
    return f"{taken} of {there}"


def keep(name: str, limit: int) -> int:
    """Copy found inputs that reach something new into the committed corpus; return how many."""
    _, reached = measure(name)
    known = set[tuple[str, int, int]]().union(
        *(arcs for path, arcs in reached.items() if path.parent == corpus(name))
    )
    copied = 0
    for path, arcs in reached.items():
        size = path.stat().st_size
        if arcs <= known or path.parent == corpus(name) or size > limit:
            continue
        known |= arcs
        limit -= size
        (corpus(name) / f"found-{path.name[:8]}").write_bytes(path.read_bytes())
        copied += 1
    return copied


def reached(name: str) -> str:
    """Return `report`'s line, made in a process that has imported nothing of ours yet."""
    command = [sys.executable, str(HERE / "corpora.py"), name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip().partition(": ")[2]


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description="What the inputs of harnesses reach.")
    parser.add_argument("--keep", type=int, metavar="BYTES", help="extend the committed corpus by so much")
    arguments = read_names(parser)
    chosen = arguments.names
    if len(chosen) > 1:
        for name in chosen:
            options = [] if arguments.keep is None else ["--keep", str(arguments.keep)]
            subprocess.run([sys.executable, str(HERE / "corpora.py"), name, *options], check=True)
    elif arguments.keep is None:
        print(f"{chosen[0]}: {report(chosen[0])}")
    else:
        print(f"{chosen[0]}: {keep(chosen[0], arguments.keep)} inputs added")


if __name__ == "__main__":
    main()
