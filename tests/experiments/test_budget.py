"""Under a time budget each design of an experiment has its turn, if there is time for it.

Seen to fail: with optional designs due in the sessions that they missed, as they were.
"""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from caveatlib import claims, schedule, trials
from caveatlib.experiments import ALL, by_name, startup
from caveatlib.measuring import loop
from caveatlib.measuring.designs import ENOUGH
from caveatlib.measuring.experiment import complete
from caveatlib.measuring.journal import Journal, read

pytestmark = pytest.mark.beside

OPENING_S = 5
"""Of an engine with every place, as recorded for `startup`."""


class Clock:
    """Time that passes only when somebody says so."""

    now = 0.0

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        return self.now


def measured(experiment, budget_s, folder, monkeypatch) -> tuple[set[str], float]:
    """Return which designs had a block under a budget, were each as long as it says; and when."""
    clock = Clock()
    monkeypatch.setattr(loop, "time", clock)
    designs = experiment.designs(2)
    length = {id(arm): d.block_s / len(d.arms) for d in designs for arm in d.arms}

    @contextmanager
    def opened(specs, *, engine):
        clock.now += OPENING_S
        yield dict.fromkeys(specs, SimpleNamespace(metadata=dict))

    def trial(self, kind, design, arm, *where):
        clock.now += length[id(arm)]

    monkeypatch.setattr(loop.spec, "opened", opened)
    monkeypatch.setattr(loop.Loop, "_trial", trial)
    header = {"run": "r", "machine": "m", "seed": 1}
    with Journal(folder / "journal.jsonl") as journal:
        running = loop.Loop(experiment, journal, header, designs, experiment.PLACES, "none")
        running.run(None, budget_s)
    records = read(folder / "journal.jsonl").records
    return {r.data["design"] for r in records if r.kind == "block"}, clock.now


@pytest.mark.parametrize("experiment", ALL, ids=lambda e: e.NAME)
def test_each_design_has_its_turn(experiment, tmp_path, monkeypatch):
    """In time for what is compared first and a block of each other design, none stays empty."""
    experiment = complete(experiment)
    designs = experiment.designs(2)
    first = [d for d in designs if not d.optional]
    session_s = OPENING_S + sum(
        d.lasts_s() * d.blocks_per_session + d.block_s * d.warmup for d in first
    )
    others_s = sum(d.lasts_s() * d.blocks_per_session for d in designs if d.optional)
    budget_s = (ENOUGH + 1) * session_s + others_s
    names, ended = measured(experiment, budget_s, tmp_path, monkeypatch)
    assert names == {d.name for d in designs}
    assert ended <= budget_s + session_s


LONGER = {"disks", "work", "work-again", "initcalls", "published", "published-work"}
"""What builds and boots, or boots and counts, for minutes: a live run replays it."""


def test_a_live_run_of_startup_has_the_ten_seconds(tmp_path, monkeypatch):
    """The report's time is enough for the containers that ignore SIGTERM, and all else."""
    names, _ = measured(complete(startup), startup.VERDICT_S, tmp_path, monkeypatch)
    assert names >= {d.name for d in startup.DESIGNS} - LONGER
    assert startup.VERDICT_S <= schedule.TOTAL_S, "or it is replayed"


FIRST = [e for e in map(complete, ALL) if e.FIRST_S]


@pytest.mark.parametrize("experiment", FIRST, ids=lambda e: e.NAME)
def test_the_first_verdicts_come_in_their_time(experiment, tmp_path, monkeypatch):
    """As many recorded sessions as are measured in it decide what the schedule counts on.

    Seen to fail: with five sessions of `startup`.
    """
    assert experiment.FIRST_S < experiment.VERDICT_S
    names = {d.name for d in experiment.designs(2) if not d.optional}
    waiting = SimpleNamespace(
        **vars(experiment) | {"designs": lambda cores: [
            d for d in experiment.designs(cores) if d.name in names
        ]}
    )  # fmt: skip
    sessions: set[int] = set()
    monkeypatch.setattr(loop.Loop, "_block", noting(sessions, loop.Loop._block))
    _, ended = measured(waiting, experiment.FIRST_S, tmp_path, monkeypatch)
    assert ended <= 1.25 * experiment.FIRST_S
    rows = trials.get(by_name(experiment.NAME), source="recorded")
    kept = rows[rows["design"].isin(names) & rows["session"].isin(sessions)]
    found = {v.claim for v in experiment.verdicts(kept) if v.verdict in claims.DECIDED}
    assert found & {claim.id for claim in experiment.CLAIMS if "/" not in claim.id}
    if experiment.NAME == "ports":
        assert "C17" in found


def noting(sessions: set[int], block):
    """Return a loop's step that notes the sessions in which there were blocks."""

    def step(self, design, handles, session):
        sessions.add(self.ended)  # trials are not counted here, so numbers stay 0
        block(self, design, handles, session)

    return step
