"""What one journal record costs, beside a plain write and flush of the same line.

Run: ``python tests/benchmarks/bench_journal.py [folder]``. Goal: a median of at
most 1 ms. Both take turns in every round, so that a drift of the machine meets both.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from caveatlib.measuring.journal import Journal

ROUNDS = 5000
ROW = {f"measure_{i}_s": 0.1 * i for i in range(20)} | {"place": "docker-runc", "ok": True}


def main(folder: str | None = None) -> None:
    """Print both medians, the worst of each, and the ratio."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        journal_s, plain_s = [], []
        plain = (Path(name) / "plain.jsonl").open("w")
        with plain, Journal(Path(name) / "journal.jsonl") as journal:
            for _ in range(ROUNDS):
                start = time.perf_counter()
                journal.append("trial", ROW)
                middle = time.perf_counter()
                plain.write(json.dumps(ROW) + "\n")
                plain.flush()
                journal_s.append(middle - start)
                plain_s.append(time.perf_counter() - middle)
    for what, values in (("journal", journal_s), ("write and flush", plain_s)):
        median, worst = statistics.median(values), max(values)
        print(f"{what:16} median {median * 1e6:8.1f} us   worst {worst * 1e6:8.1f} us")
    ratio = statistics.median(journal_s) / statistics.median(plain_s)
    print(f"{'ratio':16} {ratio:15.2f}      goal: median <= 1000 us")


if __name__ == "__main__":
    main(*sys.argv[1:])
