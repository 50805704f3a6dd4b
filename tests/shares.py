"""How the tests that run beside others are shared out among processes.

One process gets all tests of a file, so that what they have in common is made once; of the files
that run over all experiments it gets all tests of one experiment, whose fakes are then measured
and whose recorded data are read in one process only. What lasts long begins first: none waits for
another's last file.
"""

import re
from pathlib import Path

from xdist.scheduler import LoadFileScheduling

EXPERIMENTS = {path.parent.name for path in Path(__file__).parent.glob("experiments/*/fake.py")}
LONG = (
    "experiments",
    "fleet",
    "images/test_images_mutants",
    "measuring/test_loop",
    "places/test_engine",
    "test_clean_up",
    "test_cli",
    "test_replay",
    "test_report",
    "test_store",
)
"""How the names of shares begin that last tens of seconds."""
SCORED = ("test_cli", "test_packaging", "test_page", "test_reprs", "test_review", "test_scorecard")
"""Files that read the scorecard of the recorded data: one process judges it for all of them."""


def share_of(test: str) -> str:
    """Return what a test is shared out with: its file, or its experiment, below this folder."""
    file, _, name = test.removeprefix("tests/").partition("::")
    if re.fullmatch(r"experiments/test_\w+\.py", file):
        for word in re.findall(r"\w+", name.partition("[")[2]):
            if word in EXPERIMENTS:
                return f"experiments/{word}"
    return f"{SCORED[0]}.py" if file.removesuffix(".py") in SCORED else file


class Shares(LoadFileScheduling):
    """Hands out one share after the other, those of `LONG` first."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)

    def _assign_work_unit(self, node) -> None:
        first = next((s for s in self.workqueue if s.startswith(LONG)), next(iter(self.workqueue)))
        self.workqueue.move_to_end(first, last=False)
        super()._assign_work_unit(node)
