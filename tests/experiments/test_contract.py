"""What holds for every experiment, on fake places."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from caveatlib import claims, frames, plots, stats, store, trials
from caveatlib.backends import places
from caveatlib.backends.fakes import fake, fake_site
from caveatlib.backends.machines import accel
from caveatlib.experiments import ALL

pytestmark = pytest.mark.parametrize("experiment", ALL, ids=[e.NAME for e in ALL])
BLOCKS = 6


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Return the trials of each experiment, measured once on fakes."""
    found, patch = {}, pytest.MonkeyPatch()
    # The fake guest does the emulator's work for real: a hundredth of it will do.
    small = {kind: re.sub(r"(\d{3,})00\b", r"\1", script) for kind, script in accel.KINDS.items()}
    patch.setattr(accel, "KINDS", small)

    def get(experiment):
        if experiment.NAME not in found:
            out = tmp_path_factory.mktemp(experiment.NAME)
            if hasattr(experiment, "traffic"):  # functions over a site, not methods of one
                patch.setattr(experiment, "traffic", fake_site)
                patch.setattr(experiment.site, "congest", fake_site.congest)
            trials.measure(experiment, out=out, blocks=BLOCKS, seed=5, catalogue=fake,
                           progress=False)  # fmt: skip
            found[experiment.NAME] = out
        return trials.get(experiment, source=found[experiment.NAME], version=1)

    yield get
    patch.undo()


def test_names_and_words(experiment):
    """Name, question and claims are there; the docstring quotes and warns."""
    assert re.fullmatch(r"[a-z]+", experiment.NAME)
    assert experiment.QUESTION.endswith("?")
    assert experiment.CLAIMS
    assert {c.experiment for c in experiment.CLAIMS} == {experiment.NAME}
    assert "mislead" in experiment.__doc__
    assert experiment.VERDICT_S >= 30  # seconds of measuring until verdicts are possible


def test_places_are_known(experiment):
    """Every place of the designs is the experiment's, and can be opened by name."""
    designs = experiment.DESIGNS if hasattr(experiment, "DESIGNS") else experiment.designs(2)
    used = {arm.place for design in designs for arm in design.arms}
    assert used <= set(experiment.PLACES) <= set(places.PLACES)


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
    conditions = [
        c
        for c, col in frames.columns(experiment.Trials).items()
        if not col.nullable and c not in frames.columns(frames.Trials)
    ]
    arms = ["place", *conditions]
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


def test_recorded_data_are_sound(experiment):
    """Every recorded version loads, by its checksums and its model, and is judged."""
    versions = store.versions(experiment.NAME)
    assert versions, "an experiment ships with recorded data"
    rows = trials.get(experiment, source="recorded", version=max(versions))
    assert set(rows["source"]) == {"recorded"}
    assert experiment.verdicts(rows)
    assert stats.summarize(rows, [], by="place")["n"].sum() == len(rows)
