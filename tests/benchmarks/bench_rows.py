"""What the checks of one trial's row cost, beside pandera on a frame of the same row.

Run: ``python tests/benchmarks/bench_rows.py``. Goal: schema and guards together well under 1 ms,
because they run between two trials. Both take turns in every round.
"""

import statistics
import time

import pandas as pd

from caveatlib import frames, trials
from caveatlib.experiments import recorded as those_recorded
from caveatlib.measuring.experiment import complete

ROUNDS = 200


def main() -> None:
    """Print both medians and their ratio, for each experiment's recorded trials."""
    for experiment in map(complete, those_recorded()):
        model, recorded = experiment.Trials, trials.open(experiment, source="recorded").trials
        names = frames.measures(model)
        ours_s, pandera_s = [], []
        for row in recorded[recorded["ok"]].head(ROUNDS).to_dict("records"):
            measures = {name: row[name] for name in names if row[name] == row[name]}
            start = time.perf_counter()
            frames.check_values(measures, model)
            experiment.check_row(row)
            middle = time.perf_counter()
            model.to_schema().validate(pd.DataFrame([row]), lazy=True)
            ours_s.append(middle - start)
            pandera_s.append(time.perf_counter() - middle)
        ours, theirs = statistics.median(ours_s), statistics.median(pandera_s)
        print(
            f"{experiment.NAME:10} ours {ours * 1e6:7.0f} us   pandera {theirs * 1e6:7.0f} us   "
            f"ratio {ours / theirs:.4f}      goal: ours <= 1000 us"
        )


if __name__ == "__main__":
    main()
