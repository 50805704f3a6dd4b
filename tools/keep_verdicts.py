"""Keep what an experiment's recorded trials decide, for the tests to hold it to: NAME ..."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from experiments.contract import keep, subjects

known = {experiment.NAME: experiment for experiment in subjects.EXPERIMENTS}
for name in sys.argv[1:] or sys.exit(f"{__doc__}\nKnown: {', '.join(known)}."):
    if name not in known:
        sys.exit(f"Unknown experiment {name!r}. Must be one of {', '.join(known)}.")
    print(f"Written: {keep.write(known[name])}")
