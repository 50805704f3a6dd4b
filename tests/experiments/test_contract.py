"""What holds for every experiment, on fake places."""

import importlib
import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from caveatlib import claims, frames, plots, stats, trials
from caveatlib.experiments import ALL
from caveatlib.measuring.experiment import check_trials, complete, conditions

pytestmark = [
    pytest.mark.beside,
    pytest.mark.parametrize("experiment", ALL, ids=[e.NAME for e in ALL]),
]
SESSIONS = 8
"""Of several claims judged together an interval needs more than six sessions."""


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Return the trials of each experiment, measured once on fakes."""
    found = {}

    def get(experiment):
        if experiment.NAME not in found:
            out = tmp_path_factory.mktemp(experiment.NAME)
            trials.measure(experiment, out=out, sessions=SESSIONS, seed=5,
                           specs=_fakes(experiment), progress=False)  # fmt: skip
            found[experiment.NAME] = out
        return trials.get(experiment, source=found[experiment.NAME])

    return get


def _fakes(experiment):
    """Return the fake places of an experiment, which lie beside its tests."""
    return importlib.import_module(f"experiments.{experiment.NAME}.fake").PLACES


def test_names_and_words(experiment):
    """Name, question and claims are there; the docstring quotes and warns."""
    assert re.fullmatch(r"[a-z]+", experiment.NAME)
    assert experiment.QUESTION.endswith("?")
    assert experiment.CLAIMS
    assert {c.experiment for c in experiment.CLAIMS} == {experiment.NAME}
    assert "mislead" in experiment.__doc__
    assert experiment.VERDICT_S >= 30  # seconds of measuring until verdicts are possible


def test_places_are_known(experiment):
    """Every place of the designs is the experiment's; it has a probe, and a fake."""
    used = {arm.place for design in complete(experiment).designs(2) for arm in design.arms}
    assert used <= set(experiment.PLACES) == set(_fakes(experiment))
    assert all(spec.probes() for spec in experiment.PLACES.values())


def test_columns_name_their_units(experiment):
    """Times are seconds, sizes bytes, rates per second; nothing is in milli or mega."""
    for name, column in frames.columns(experiment.Trials).items():
        assert not re.search(r"_(ms|us|ns|mb|mib|kb|mbit|gbit|percent)$", name), name
        unit = (column.metadata or {}).get("unit")
        suffix = {"s": "_s", "B": "_bytes", "bit/s": "_bit_per_s"}.get(unit)
        if suffix:
            assert name.endswith(suffix), name


def test_blocks_are_balanced(experiment, measured):
    """Each arm is once in each block, and orders differ between blocks."""
    rows = measured(experiment)
    arms = ["place", *conditions(experiment.Trials)]
    for _, design in rows.groupby("design"):
        sizes = design.groupby("block").size()
        assert sizes.nunique() == 1
        assert not design.duplicated(["run", "block", *arms]).any()
        assert sorted(design["position"].unique()) == list(range(sizes.iloc[0]))


def test_a_failure_is_kept(experiment, measured):
    """A failed trial stays a row: counted, without a number, in every summary."""
    rows = measured(experiment)
    index = rows[rows["ok"]].index[0]
    failed = rows.copy()
    failed.loc[index, frames.measures(experiment.Trials)] = np.nan
    failed.loc[index, "ok"], failed.loc[index, "error"] = False, "It broke."
    assert len(frames.validate(failed, experiment.Trials)) == len(rows)
    assert isinstance(experiment.summarize(failed), pd.DataFrame)
    assert experiment.verdicts(failed)


def test_verdicts_are_verdicts(experiment, measured):
    """Each names a claim of the experiment, this machine and source, and a reason."""
    rows = measured(experiment)
    known = {c.id for c in experiment.CLAIMS}
    for verdict in experiment.verdicts(rows):
        assert verdict.claim in known
        assert verdict.verdict in claims.VERDICTS
        assert verdict.machine in set(rows["machine"])
        assert verdict.source == "live"
        assert verdict.because
        assert repr(verdict) == repr(verdict)


def test_every_claim_is_judged(experiment, measured):
    """No claim is passed over in silence."""
    judged = {v.claim for v in experiment.verdicts(measured(experiment))}
    assert judged == {c.id for c in experiment.CLAIMS}


def test_machines_are_never_pooled(experiment, measured):
    """Two machines in one frame are judged apart."""
    rows = measured(experiment)
    both = pd.concat([rows, rows.assign(machine="another", run="another")], ignore_index=True)
    assert len(experiment.verdicts(both)) == 2 * len(experiment.verdicts(rows))


def test_a_place_that_lacks_everything(experiment, measured):
    """With one place gone, the rest is still judged and shown."""
    rows = measured(experiment)
    for place in experiment.PLACES:
        gone = rows[rows["place"] != place]
        if len(gone):
            assert experiment.verdicts(gone)
            experiment.summarize(gone)


def test_the_figure_says_itself(experiment, measured):
    """A figure is Axes with a sentence that holds numbers; colours and names stay readable."""
    ax = experiment.plot(measured(experiment))
    assert isinstance(ax, Axes)
    assert re.search(r"\d", plots.describe(ax))
    assert ax.get_xlabel()


def test_the_answer_is_a_sentence(experiment, measured):
    """One or more sentences with numbers, made from the trials."""
    answer = experiment.answer(measured(experiment))
    assert answer.endswith(".")
    assert "\n" not in answer


def test_swapped_arms_swap_the_words(experiment, measured):
    """Exchange two arms in the data: what was decided flips or goes, the answer changes."""
    rows = measured(experiment)
    column, first, second = experiment.SWAP
    swapped = rows.copy()
    swapped[column] = rows[column].replace({first: second, second: first})
    before, after = experiment.verdicts(rows), experiment.verdicts(swapped)
    decided = {v.claim for v in before if v.verdict in (claims.HOLDS, claims.FAILS)}
    changed = [
        claim
        for claim in decided
        if [v.verdict for v in before if v.claim == claim]
        != [v.verdict for v in after if v.claim == claim]
    ]
    assert changed, "nothing that was decided depends on these two arms"
    assert experiment.answer(swapped) != experiment.answer(rows)


@cache
def _recorded(experiment):
    return trials.get(experiment, source="recorded")  # an experiment ships with recorded data


def _effects(experiment, rows) -> dict:
    """Judge the trials; return per claim that an effect decides its verdict and its contrast."""
    return _judged(experiment, rows)[0]


def _judged(experiment, rows) -> tuple[dict, list]:
    """Return also every contrast that was estimated on the way."""
    estimates, asked = {}, {}
    contrasts, by_effect = stats.contrasts, claims.by_effect

    def estimating(trials, wanted, **options):
        table = contrasts(trials, wanted, **options)
        assert len(table) == len(wanted), "these trials are of one machine"
        for contrast, row in zip(wanted, table.to_dict("records"), strict=True):
            estimates[row["name"], row["measure"], row["estimate"]] = contrast
        return table

    def deciding(claim, row, **options):
        asked[claim.id] = estimates.get((row["name"], row.get("measure"), row.get("estimate")))
        return by_effect(claim, row, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stats, "contrasts", estimating)
        patch.setattr(claims, "by_effect", deciding)
        judged = {v.claim: v for v in experiment.verdicts(rows)}
    effects = {name: (judged[name], contrast) for name, contrast in asked.items() if contrast}
    return effects, list(estimates.values())


def _null_arm(rows) -> pd.Series:
    """Return which trials are the same arm again."""
    return rows["replicate"] == 1 if "replicate" in rows else rows["place"].str.endswith("again")


@pytest.mark.parametrize("factor", [1.1, 1.3, 50])
def test_no_verdict_where_the_same_arm_twice_differs_as_much(experiment, factor):
    """With a null arm that is off, no effect of that size is decided, and the card says why."""
    rows = _recorded(experiment)
    measures = [name for name in frames.measures(experiment.Trials) if name != "cores"]
    noisy = rows.copy()
    noisy.loc[_null_arm(rows), measures] *= factor
    before, judged = _effects(experiment, rows), _effects(experiment, noisy)
    ratios = [name for name, (v, _) in judged.items() if v.unit == "x" and v.n]
    assert ratios
    for name in ratios:
        verdict, contrast = judged[name]
        ends = np.log([verdict.low / contrast.threshold, verdict.high / contrast.threshold])
        away = 0.0 if ends[0] < 0 < ends[1] else np.abs(ends).min()
        if away < np.log(0.95 * factor):  # the null arm read 0.95 to 1.05 before
            assert verdict.verdict == claims.OPEN, name
            assert "same arm twice" in verdict.because
        elif away > np.log(1.3 * factor):
            assert verdict.verdict == before[name][0].verdict, name


def _exchanged(rows, contrast) -> pd.DataFrame:
    """Return the trials with the two arms of a contrast exchanged."""
    swapped = rows.copy()
    for mine, other in ((contrast.arm, contrast.baseline), (contrast.baseline, contrast.arm)):
        rows_of = np.logical_and.reduce([rows[name] == value for name, value in mine.items()])
        for name in set(mine) & set(other):
            swapped.loc[rows_of, name] = other[name]
    return swapped


def test_each_decided_claim_depends_on_its_own_arms(experiment):
    """Exchange the two arms of any claim in the recorded data: its verdict or first words turn."""
    rows = _recorded(experiment)
    decided = {
        name: (verdict, contrast)
        for name, (verdict, contrast) in _effects(experiment, rows).items()
        if verdict.verdict in (claims.HOLDS, claims.FAILS) and contrast.baseline is not None
    }
    assert decided
    for name, (verdict, contrast) in decided.items():
        swapped = _exchanged(rows, contrast)
        assert not swapped.equals(rows)
        after = {v.claim: v for v in experiment.verdicts(swapped)}[name]
        first = [(v.verdict, v.because.split(":")[0]) for v in (verdict, after)]
        assert first[0] != first[1], name
        assert after.verdict != verdict.verdict, name


AGREED = {"block": 15, "session": 8}
"""Pairs that a claim is decided by, at least, if nothing is said of blocks or time: fifteen find
a true 1.10x in four of five runs; engines started afresh are dear, and their effects larger."""


def test_every_claim_gets_the_agreed_pairs_by_default(experiment):
    """The designs of all that is compared for a verdict have blocks enough after `SESSIONS`."""
    rows = _recorded(experiment)
    cores = int(rows["cores"].dropna().max()) if "cores" in rows else 2
    designs = {design.name: design for design in complete(experiment).designs(cores)}
    compared = set()
    for contrast in _judged(experiment, rows)[1]:
        where = {k: v for k, v in contrast.arm.items() if k in rows.columns}
        mine = np.logical_and.reduce([rows[name] == value for name, value in where.items()])
        compared |= {(name, contrast.pairing) for name in rows.loc[mine, "design"].unique()}
    assert compared
    for name, unit in compared:
        design = designs[name]
        pairs = design.blocks_by(experiment.SESSIONS - 1)
        if unit == "session":
            pairs = sum(map(design.due, range(experiment.SESSIONS)))
        assert pairs >= AGREED[unit], (name, unit)


def test_recorded_data_are_sound(experiment):
    """Every recorded version loads, by its checksums and its model, and is judged."""
    rows = _recorded(experiment)
    assert set(rows["source"]) == {"recorded"}
    check_trials(complete(experiment), rows)
    assert experiment.verdicts(rows)
    assert stats.summarize(rows, [], by="place")["n"].sum() == len(rows)


def test_no_drift_is_seen_in_the_recorded_data(experiment):
    """What was kept was recorded on a quiet machine: no measure of any design drifts."""
    rows = _recorded(experiment)
    keys = ["place", *conditions(experiment.Trials)]
    rows = rows.assign(arm=rows[keys].astype(str).agg(", ".join, axis=1))
    for _, design in rows.groupby("design"):
        for measure in frames.measures(experiment.Trials):
            said = stats.quality(design, measure, by="arm")
            assert not any("drifted" in sentence for sentence in said), said


def test_a_drift_of_the_recorded_data_would_be_seen(experiment):
    """The same data with sessions that grow slower are said to drift."""
    rows = _recorded(experiment)
    sessions = rows.groupby("design")["session"].nunique()
    rows = rows[rows["design"] == sessions.idxmax()]
    measure = max((m for m in frames.measures(experiment.Trials) if m.endswith("_s")),
                  key=lambda m: rows[m].notna().sum())  # fmt: skip
    slower = rows.assign(**{measure: rows[measure] * (1 + rows["session"] / sessions.max())})
    said = stats.quality(slower, measure)
    assert any(f"{measure} drifted over {sessions.max()} sessions" in s for s in said), said
