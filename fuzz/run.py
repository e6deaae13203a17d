"""Run the fuzz harnesses under atheris: coverage-guided, each for a limited time.

    python fuzz/run.py                      every harness, 10 seconds each
    python fuzz/run.py rtcp stun -s 60      these two, a minute each

A harness is a file ``fuzz_<name>.py`` with a function ``one_input(data: bytes) -> None`` that states an
invariant by not raising. Its committed corpus is ``corpus/<name>``, its words (if it has some) are
``dictionaries/<name>.dict``; what a run finds of its own (new inputs under ``findings/<name>/corpus``,
crashes beside them) is not committed. To keep a crash as a test, copy it into the corpus:
``tests/test_fuzz_corpora.py`` runs every committed input at each `make test`. See docs/fuzzing.md.
"""

import argparse
import sys

from engine import read_arguments, run


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Fuzz harnesses one after another.")
    parser.add_argument("-s", "--seconds", type=int, default=10, help="for each harness")
    arguments = read_arguments(parser)
    ok = True
    for name in arguments.names:
        result = run(name, arguments.seconds)
        ok = ok and result.ok
        print(
            f"{name:24} {result.executions or '?':>9} executions, {result.edges:>5} places reached, "
            f"{'ok' if result.ok else 'FAILED'}",
            flush=True,
        )
        if not result.ok:
            print(result.log[-6000:])
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
