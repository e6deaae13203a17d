"""What a process has used: CPU time and memory, from /proc (Linux, `man 5 proc`)."""

import os
from pathlib import Path
from typing import Final

_PAGE_SIZE: Final = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process, user and system, in seconds.

    From the scheduler's own count in nanoseconds. The user and system times of /proc/PID/stat say the same in
    steps of 10 ms, too coarse for a window of a few seconds. Time that a hypervisor gave to others is in
    neither.
    """
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM now, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_SIZE


def separate(load: int, server: int) -> None:
    """Give load generator and server (process ids) a CPU each, so that neither takes the other's.

    Without a second CPU they have to share the one.
    """
    if len(os.sched_getaffinity(0)) > 1:
        first, second = sorted(os.sched_getaffinity(0))[:2]
        os.sched_setaffinity(load, {first})
        os.sched_setaffinity(server, {second})
