"""Trials of `quota` on a place that simulates, as the loop would have written them."""

from experiments.quota.fake import FakeLimitedPlace

from caveatlib import claims
from caveatlib.experiments import quota

MACHINE = "test, 2 CPUs"


def trial_row(design, arm, block, position=0, **more):
    """Return the row of one trial, without measures but those given."""
    return {
        "run": "r",
        "source": "live",
        "machine": MACHINE,
        "session": 0,
        "design": design,
        "block": block,
        "position": position,
        "place": arm.place,
        "started_at": "",
        "ok": True,
        "error": "",
        **arm.conditions,
        **more,
    }


def named_design(name, cores=2):
    """Return a design by its name."""
    return next(d for d in quota.DESIGNS(cores) if d.name == name)


def measured_rows(name, blocks, *, leak=1.0, pattern=None):
    """Measure so many blocks of a design, or its arms of one pattern, where a quota may leak."""
    place = FakeLimitedPlace("cgroup", leak=leak)
    arms = [a for a in named_design(name).arms if pattern in (None, a.conditions["pattern"])]
    return [
        trial_row(
            name, arm, block, i, **quota.trial(place, arm.conditions, seed=100 * block + i).measures
        )
        for block in range(blocks)
        for i, arm in enumerate(arms)
    ]


def by_claim(trials):
    """Return the verdicts on trials, by the id of their claim."""
    return {verdict.claim: verdict for verdict in claims.judge(trials, quota.DECISIONS)}
