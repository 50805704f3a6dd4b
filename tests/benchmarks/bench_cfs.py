"""What a simulation of bandwidth control costs.

Run: ``python tests/benchmarks/bench_cfs.py``. Goals: the interactive default
view at most 100 ms, the 64-core what-if at most 1 s.
"""

import statistics
import time

from caveatlib.experiments.quota import cfs
from caveatlib.experiments.quota.load import schedule

ROUNDS = 15


def default_view() -> cfs.Simulation:
    """One trial of the experiment: 200 requests in bursts, sampled every 10 ms."""
    due = schedule(rate_per_s=100, requests=200, burst=40, seed=1)
    return cfs.simulate(due, quota_cpus=1.0, cores=2, threads=4, sample_every_s=0.01)


def what_if() -> cfs.Simulation:
    """64 cores, a quota of 2, 64 threads under full load, for 10 s."""
    return cfs.simulate(
        quota_cpus=2.0, cores=64, threads=0, busy=64, duration_s=10, sample_every_s=0.01
    )


def what_if_bursts() -> cfs.Simulation:
    """The same machine with 6400 requests in bursts of 64."""
    due = schedule(rate_per_s=200, requests=6400, burst=64, seed=1)
    return cfs.simulate(due, quota_cpus=2.0, cores=64, threads=64, sample_every_s=0.01)


def main() -> None:
    """Print median and worst of each."""
    for what, goal in ((default_view, 0.1), (what_if, 1.0), (what_if_bursts, 1.0)):
        took = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            what()
            took.append(time.perf_counter() - begun)
        median, worst = statistics.median(took), max(took)
        print(
            f"{what.__name__:15} median {median * 1e3:7.1f} ms   worst {worst * 1e3:7.1f} ms   "
            f"goal {goal * 1e3:.0f} ms"
        )


if __name__ == "__main__":
    main()
