"""The bare C loop that forwarding is compared with, if it is there.

It is no part of this repository: a folder with a `setup.sh` and a `drive.py`, looked for in
``$SFU_YARDSTICKS`` or beside the checkout. Its variant *d* receives a batch by `recvmmsg`, decrypts, rewrites
header, SSRC, sequence number, timestamp and VP8 picture id for each receiver, encrypts by the same libsrtp, and
sends by `sendmmsg`: all in C, and without ICE, DTLS, RTCP, statistics or a history. So it is a limit that no
server reaches.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

VARIANT: Final = "d"

ATTEMPTS: Final = 3
"""The load generator fails now and then on a busy machine, when a run gave it no packet at all."""


class Yardstick:
    """A built yardstick."""

    def __init__(self, source: Path, build: Path) -> None:
        self._source = source
        self._build = build

    def measure(self, receivers: int, profile: str, rate: float | None, seconds: float) -> dict[str, Any]:
        """Do one run; return what its driver printed. ``cpu_us`` is CPU time per packet put out.

        Raises RuntimeError when it did not work, `ATTEMPTS` times.
        """
        command = [
            str(self._build / "venv/bin/python"),
            str(self._source / "drive.py"),
            *("--variants", VARIANT, "--receivers", str(receivers), "--profiles", profile),
            *("--rounds", "1", "--ms", str(round(seconds * 1000))),
            *(("--rate", str(rate)) if rate is not None else ()),
        ]
        for _ in range(ATTEMPTS):
            run = subprocess.run(
                command, capture_output=True, text=True, check=False, env=_environment(self._build)
            )
            if run.returncode == 0 and run.stdout:
                result: dict[str, Any] = json.loads(run.stdout)
                return result
        raise RuntimeError(f"the yardstick failed:\n{run.stderr}")


def find() -> Path | None:
    """Return the folder of the yardsticks, or None."""
    beside = Path(__file__).parents[2] / "shared" / "bench"
    folder = Path(os.environ.get("SFU_YARDSTICKS", beside))
    return folder if (folder / "setup.sh").exists() else None


def build(source: Path, folder: Path) -> Yardstick:
    """Build the yardsticks of `source` in `folder` (about 15 s). Raises CalledProcessError."""
    subprocess.run(
        ["bash", str(source / "setup.sh")], check=True, capture_output=True, env=_environment(folder)
    )
    return Yardstick(source, folder)


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "BENCH_BUILD": str(folder)}
