"""All benchmarks: what `make bench` runs.

Every figure comes from a process of its own, and a server of its own. Rounds are interleaved: each round runs
every case once, our server and the yardstick one right after the other, so that a ratio compares two runs of
the same half minute. Reported are medians over the rounds, of the ratios too.
"""

import argparse
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import join, yardstick
from benchmarks.yardstick import Yardstick

RESULTS: Final = Path(__file__).parent / "results"

RATE: Final = 300.0
"""Packets per second from the publisher: 30 frames of ten packets, 2.9 Mbit/s."""

ALL: Final = ("protocol", "forwarding", "memory", "join", "swarm", "resume")

COMPARED: Final = ("aiortc", "dpkt")
"""What the protocol core is compared with."""

Json = dict[str, Any]


def run_module(name: str, *arguments: str) -> Json:
    """Run one benchmark in a process of its own; return what it printed. Raises CalledProcessError."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: Json = json.loads(done.stdout)
    return result


def forwarding(options: argparse.Namespace, reference: Yardstick | None) -> list[Json]:
    """Measure CPU per forwarded packet: all rounds of all cases, each with its yardstick."""
    runs = []
    cases = [
        (rate, profile, receivers)
        for rate in (RATE, None)
        for profile in options.profiles
        for receivers in options.receivers
        if rate is not None or options.saturated
    ]
    for number in range(options.rounds):
        for rate, profile, receivers in cases:
            arguments = ("--receivers", str(receivers), "--profile", profile, "--rate", str(rate or 0))
            run = run_module("load", *arguments, "--seconds", str(options.seconds))
            run["round"] = number
            if reference is not None:
                run["yardstick"] = reference.measure(receivers, profile, rate, options.seconds)
                run["ratio"] = run["cpu_us"] / run["yardstick"]["cpu_us"]
            runs.append(run)
            print(".", end="", flush=True)
    print()
    return runs


def forwarding_table(runs: list[Json]) -> str:
    """Medians over the rounds as a Markdown table."""
    lines = [
        "| packets/s in | SRTP | receivers | µs per packet out (min … max) | C loop | ratio (min … max) "
        "| packets/s out | busy | lost |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    cases = list(dict.fromkeys((run["rate"], run["profile"], run["receivers"]) for run in runs))
    for rate, profile, receivers in cases:
        mine = [
            run for run in runs if (run["rate"], run["profile"], run["receivers"]) == (rate, profile, receivers)
        ]
        compared = [run for run in mine if "ratio" in run]
        reference = f"{median(run['yardstick']['cpu_us'] for run in compared):.1f}" if compared else "–"
        lines.append(
            f"| {f'{rate:.0f}' if rate else 'all it takes'} | {profile} | {receivers} "
            f"| {_spread([run['cpu_us'] for run in mine], 1)} | {reference} "
            f"| {_spread([run['ratio'] for run in compared], 2)} "
            f"| {median(run['packets_out'] / run['seconds'] for run in mine):.0f} "
            f"| {median(run['busy'] for run in mine):.2f} | {sum(run['lost'] for run in mine)} |"
        )
    return "\n".join(lines)


def protocol_table(result: Json) -> str:
    """Medians of the protocol core beside other people's as a Markdown table."""
    lines = ["| Work | sfu | other | ratio |", "|---|---|---|---|"]
    for work, ours, theirs in (
        ("RTP packet, extensions carried", "rtp_carried_sfu", "rtp_carried_dpkt"),
        ("RTP packet, extensions understood", "rtp_understood_sfu", "rtp_understood_aiortc"),
        ("DTLS handshake, both ends", "dtls_sfu", "dtls_aiortc"),
    ):
        other = theirs.rpartition("_")[2]
        lines.append(
            f"| {work} | {result[ours]:.2f} µs | {other} {result[theirs]:.2f} µs "
            f"| {result[ours] / result[theirs]:.2f} |"
        )
    return "\n".join(lines)


def _spread(values: list[float], digits: int) -> str:
    if not values:
        return "–"
    low, middle, high = (f"{value:.{digits}f}" for value in (min(values), median(values), max(values)))
    return f"{middle} ({low} … {high})"


def machine() -> Json:
    """What the numbers were taken on."""
    cpus = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": cpus[0].partition(":")[2].strip() if cpus else platform.machine(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }


def main() -> None:
    """Parse the command line, run what is asked for, print tables, keep the raw results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("only", nargs="*", help=f"{', '.join(ALL)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measuring window")
    parser.add_argument("--receivers", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--profiles", nargs="+", choices=("gcm", "cm"), default=["gcm", "cm"])
    parser.add_argument("--saturated", action="store_true", help="also as fast as it goes")
    parser.add_argument("--joins", type=int, default=12)
    options = parser.parse_args()
    wanted = options.only or ALL
    if unknown := set(wanted) - set(ALL):
        parser.error(f"there is no benchmark {', '.join(unknown)}")
    started = datetime.now(UTC)
    results: Json = {"started": started.isoformat(), "machine": machine()}
    print(", ".join(f"{name}: {value}" for name, value in results["machine"].items()))
    if "protocol" in wanted and not all(importlib.util.find_spec(name) for name in COMPARED):
        print(f"no {' or '.join(COMPARED)} (pip install -e '.[bench]'): the protocol core is left out")
    elif "protocol" in wanted:
        results["protocol"] = run_module("protocol")
        print(protocol_table(results["protocol"]), end="\n\n")
    if "forwarding" in wanted:
        source = yardstick.find()
        if source is None:
            print("no yardsticks (../shared/bench or $SFU_YARDSTICKS): the ratio to the C loop is left out")
        with tempfile.TemporaryDirectory(prefix="sfu-bench-") as folder:
            reference = None if source is None else yardstick.build(source, Path(folder))
            results["forwarding"] = forwarding(options, reference)
        print(forwarding_table(results["forwarding"]), end="\n\n")
    if "memory" in wanted:
        results["memory"] = [run_module("memory", "--room", str(room)) for room in (1, 2)]
        for result in results["memory"]:
            print(f"memory: {result['kib_per_peer']:.0f} KiB per idle peer, {result['room']} in a room")
        print()
    if "join" in wanted and not join.available():
        print("no Chromium: the time to the first frame is left out")
    elif "join" in wanted:
        results["join"] = run_module("join", "--joins", str(options.joins))
        times = results["join"]["milliseconds"]
        print(f"join to first frame: {_spread(times, 0)} ms, {len(times)} joins", end="\n\n")
    if "swarm" in wanted:
        results["swarm"] = run_module("swarm")
        for phase in results["swarm"]["phases"]:
            print(
                f"resume ({phase['transport']}): p50 {phase['p50_ms']:.1f}, p99 {phase['p99_ms']:.1f} ms, "
                f"{phase['cpu_ms']:.1f} ms of CPU, {results['swarm']['sessions']} sessions"
            )
        print()
    if "resume" in wanted and shutil.which("redis-server") is None:
        print("no redis-server: resumes over Redis are left out")
    elif "resume" in wanted:
        result = results["resume"] = run_module("resume")
        for name, phase in result["phases"].items():
            print(f"resume over Redis, {name}: p50 {phase['p50_ms']:.1f}, p99 {phase['p99_ms']:.1f} ms")
        print(f"recovery of {result['recovered']} sessions: {result['recovery_ms']:.0f} ms")
        print(f"a write: {result['write_us']:.0f} µs of CPU", end="\n\n")
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{started:%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(results, indent=1) + "\n")
    print(f"raw results: {file}")


if __name__ == "__main__":
    main()
