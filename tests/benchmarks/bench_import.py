"""What `import caveatlib` adds to starting Python. Goal: at most 50 ms.

Run: ``python tests/benchmarks/bench_import.py``.
"""

import statistics
import subprocess
import sys
import time

ROUNDS = 30


def took(code: str) -> float:
    """Return how many seconds an interpreter takes that runs this code."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begun


def main() -> None:
    """Time both in turn, so that a drifting machine meets both, and print the difference."""
    pairs = [(took("pass"), took("import caveatlib")) for _ in range(ROUNDS)]
    bare = statistics.median(a for a, _ in pairs)
    added = statistics.median(b - a for a, b in pairs)
    ratio = statistics.median(b / a for a, b in pairs)
    print(
        f"bare Python {bare * 1e3:.1f} ms; import caveatlib adds {added * 1e3:.1f} ms "
        f"({ratio:.2f}x); goal 50 ms"
    )


if __name__ == "__main__":
    main()
