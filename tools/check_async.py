"""Run flake8-async on the files that it can say something about, and only on those that changed.

    python tools/check_async.py [FILE…]

flake8-async builds six syntax trees of each file: half a second of a CPU. What it says depends on the file,
its settings and the versions alone, so a hash of these is kept in .cache/flake8-async for what passed.
"""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
FOLDERS: Final = ("sfu", "tests", "fuzz", "tools", "benchmarks", "examples")
PASSED: Final = ROOT / ".cache" / "flake8-async"
"""One hash per line: each stands for a file that passed."""
HAS_ASYNC: Final = re.compile(rb"^ *async (?:def|with|for)\b", re.MULTILINE)
PLACE: Final = re.compile(r"^(.+?):\d+:\d+: ", re.MULTILINE)


def sources(names: list[str]) -> Iterable[Path]:
    """Yield the named files, or all Python files of the project, relative to its root."""
    if names:
        yield from (Path(name).resolve().relative_to(ROOT) for name in names)
        return
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            if "node_modules" not in path.parts:
                yield path.relative_to(ROOT)


def main(names: list[str]) -> int:
    """Check what did not pass before, remember what passes, and return flake8's exit status."""
    os.chdir(ROOT)
    tools = " ".join(f"{name} {version(name)}" for name in ("flake8", "flake8-async", "libcst"))
    common = hashlib.sha256(f"{tools} {sys.version}".encode() + Path(".flake8").read_bytes()).digest()
    contents = ((str(path), path.read_bytes()) for path in sources(names))
    keys = {
        name: hashlib.sha256(common + content).hexdigest()
        for name, content in contents
        if HAS_ASYNC.search(content)
    }
    passed = set(PASSED.read_text().split()) if PASSED.exists() else set()
    changed = sorted(name for name, key in keys.items() if key not in passed)
    status, failed = 0, set[str]()
    if changed:
        # No path of ours holds a colon, so a name ends where the line number begins.
        result = subprocess.run([sys.executable, "-m", "flake8", *changed], stdout=subprocess.PIPE, text=True)
        status, failed = result.returncode, set(PLACE.findall(result.stdout))
        print(result.stdout, end="")
    if status == 0 or failed:  # otherwise flake8 itself failed, and has said nothing about any file
        clean = {key for name, key in keys.items() if name not in failed}
        PASSED.parent.mkdir(exist_ok=True)
        # A run over everything also forgets the files of the past.
        PASSED.write_text("\n".join(sorted(clean | passed if names else clean)))
    print(f"flake8-async: checked {len(changed)} of {len(keys)} files; the others passed before")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
