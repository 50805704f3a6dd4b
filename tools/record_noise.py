"""Measure the noise floor in full and record it: python tools/record_noise.py VERSION [RUN].

As root on a quiet machine, about ten minutes: 200 comparisons of ten pairs of a
bare process, and 20 of a container in a private engine. With RUN, a folder that
an earlier call left, nothing is measured.
"""

import os
import sys
import tempfile

from caveatlib import store, trials
from caveatlib.errors import CaveatError
from caveatlib.experiments import noise
from caveatlib.measuring.experiment import complete

QUIET = 0.5

try:
    version, run = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
    if run is None:
        if (load := os.getloadavg()[0]) > QUIET * os.cpu_count():
            sys.exit(f"Load {load:.1f}. Must be below {QUIET} per CPU: wait until it is quiet.")
        run = tempfile.mkdtemp(prefix="caveatlib-noise-")
        trials.measure(noise, out=run, engine="private")
    print(noise.summarize(trials.get(noise, source=run)).round(3).to_string())
    print(f"Written: data/{store.record(complete(noise), [run], version=version).name}")
except (IndexError, ValueError) as error:
    sys.exit(f"{error}\n{__doc__}")
except CaveatError as error:
    sys.exit(str(error))
