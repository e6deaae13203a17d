"""What the numbers in docs/benchmarks.md come from; `python -m benchmarks` (or `make bench`) takes them.

The clients here are the tests' scripted clients and browser drivers, so this package looks for modules in
tests/ as pytest does.
"""

import sys
from pathlib import Path

_TESTS = str(Path(__file__).parent.parent / "tests")
if _TESTS not in sys.path:
    sys.path.insert(0, _TESTS)
