"""Fuzz all harnesses for hours, a few at a time: `make fuzz-all HOURS=8`.

    python fuzz/campaign.py --hours 8                     every harness, the time divided among them
    python fuzz/campaign.py --hours 1 rtcp dtls_connection

Each goes on from what earlier runs have found. At the end the new inputs are merged (those that reach nothing
of their own are dropped), and a table tells what was done. What the inputs reach of the code that a harness
is about is measured by running them once more: ``python fuzz/corpora.py``, which also moves the best into the
committed corpora.
"""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import corpora
from engine import Result, merge, read_arguments, run


def row(result: Result) -> str:
    """One line of the table."""
    executions, cpu = result.executions or 0, result.cpu
    kept = merge(result.name)  # first: what is measured is what is left
    return (
        f"| `{result.name}` | {executions:,} | {cpu / 60:.1f} | {executions / cpu if cpu else 0:,.0f} "
        f"| {result.edges} | {corpora.reached(result.name)} | {kept} | {result.finds} |"
    )


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Fuzz all harnesses for hours.")
    parser.add_argument("--hours", type=float, default=1.0, help="of wall-clock time for all together (1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="harnesses at a time (cores)")
    arguments = read_arguments(parser)
    rounds = -(-len(arguments.names) // arguments.jobs)
    seconds = max(1, int(arguments.hours * 3600 / rounds))
    print(f"{len(arguments.names)} harnesses, {arguments.jobs} at a time, {seconds} s each", flush=True)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = []
        for result in pool.map(lambda name: run(name, seconds), arguments.names):
            print(f"{result.name}: {'ok' if result.ok else 'FAILED'}", flush=True)
            if not result.ok:
                print(result.log[-6000:])
            results.append(result)
    print("| Harness | Executions | CPU min | /CPU s | Places | Branches of its target | New inputs | Finds |")
    print("|---|---|---|---|---|---|---|---|")
    for result in results:
        print(row(result), flush=True)
    return 0 if all(result.ok for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
