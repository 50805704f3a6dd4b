"""What the recorded trials of every experiment are, and what they decide."""

import pytest
from experiments.contract.keep import found, kept, same
from experiments.contract.subjects import RECORDED, arm_columns, recorded

from caveatlib import frames, stats
from caveatlib.experiments import ALL
from caveatlib.measuring.experiment import check_trials, complete
from caveatlib.stats.describe import DRIFT, DRIFT_P, trend

pytestmark = [
    pytest.mark.beside,
    pytest.mark.parametrize("experiment", RECORDED, ids=[e.NAME for e in RECORDED]),
]


def test_what_is_decided_is_kept(experiment):
    """The recorded trials decide and read what ``kept.csv`` says; see `contract.keep`."""
    said, before = found(experiment, recorded(experiment)), kept(experiment)
    assert set(said) == set(before)
    assert not {name: (s, before[name]) for name, s in said.items() if not same(s, before[name])}
    assert {name: s[3] for name, s in said.items()} == {name: s[3] for name, s in before.items()}


def test_recorded_data_are_sound(experiment):
    """The recorded version loads, by its checksums and its model, and holds its own guards."""
    rows = recorded(experiment)
    assert set(rows["source"]) == {"recorded" if experiment in ALL else "live"}
    check_trials(complete(experiment), rows)
    assert stats.summarize(rows, [], by="place")["n"].sum() == len(rows)


def _with_arms(experiment, rows):
    columns = [rows[name].astype(str) for name in arm_columns(experiment)]
    return rows.assign(arm=[", ".join(arm) for arm in zip(*columns, strict=True)])


def test_no_drift_is_seen_in_the_recorded_data(experiment):
    """What was kept was recorded on a quiet machine: what is measured drifts in no design.

    Some of many measures drift by chance: Holm's correction over all of an experiment. How
    old an engine is follows from the plan, which tries some arms in early sessions only.
    """
    rows = _with_arms(experiment, recorded(experiment))
    measures = [m for m in frames.measures(experiment.Trials) if not m.startswith("age_")]
    found = {}
    for name, design in rows[rows["ok"]].groupby("design"):
        for measure in measures:
            known = design.loc[design[measure].notna(), ["run", "session", "arm", measure]]
            found[name, measure] = trend(known, measure, "arm", least=DRIFT) if len(known) else None
    seen = {at: t for at, t in found.items() if t and t.p == t.p and abs(t.change) >= DRIFT}
    beyond_chance = stats.holm([t.p for t in seen.values()] + [1.0] * (len(found) - len(seen)))
    drifted = [at for at, p in zip(seen, beyond_chance, strict=False) if p < DRIFT_P]
    assert not drifted, {at: seen[at] for at in drifted}


def test_a_drift_of_the_recorded_data_would_be_seen(experiment):
    """The same data with sessions that grow slower are said to drift; two show no trend.

    It is among what `stats.quality` says, see `tests/stats/test_describe.py`.
    """
    rows = _with_arms(experiment, recorded(experiment))
    sessions = rows.groupby("design")["session"].nunique()
    rows = rows[rows["design"] == sessions.idxmax()]
    measure = max((m for m in frames.measures(experiment.Trials) if m.endswith("_s")),
                  key=lambda m: rows[m].notna().sum())  # fmt: skip
    slower = rows.assign(**{measure: rows[measure] * 10 ** (rows["session"] / sessions.max())})
    good = slower[slower["ok"] & slower[measure].notna()]
    said = stats.drift(good, "The machine", measure, "arm")
    drifts = any(f"{measure} drifted over {sessions.max()} sessions" in s for s in said)
    assert drifts == (sessions.max() > 2), said
