"""Whether ratios hold on other machines: with one machine, with several, with contributions."""

import math

import numpy as np
import pytest
from runs import made
from runs.made import machine

from caveatlib import claims, experiments, frames, plots, runs, trials
from caveatlib.experiments import quota, startup
from caveatlib.runs import gathering, telling, travelling
from caveatlib.runs.contributions import COMMUNITY, OURS

pytestmark = pytest.mark.beside

CLAIM = "sample-longer"


@pytest.fixture
def pooled(tmp_path):
    """Return a function that pools runs of the sample, one machine for each ratio."""

    def make(*ratios, **settings):
        given = []
        for number, ratio in enumerate(ratios, start=1):
            about = {"machine": machine(number), "day": number, "ratio": ratio} | settings
            given.append((made.opened(made.run(tmp_path / f"m{number}", **about)), OURS))
        return runs.pool(given)

    return make


@pytest.fixture(scope="module")
def emulated():
    """Return the pool of the recorded `startup`, whose virtual machines were emulated."""
    return runs.pool([(trials.open(startup, source="recorded"), OURS)])


# --- how far apart -----------------------------------------------------------


def test_machines_that_agree_and_machines_that_do_not(pooled):
    """The factor between the ratios, and each verdict once."""
    (same,) = runs.agreement([pooled(1.5, 1.51)]).to_dict("records")
    assert same["machines"] == 2
    assert same["smallest"] < same["largest"]
    assert same["apart"] == pytest.approx(1, abs=0.05)
    assert same["verdicts"] == "does not hold"
    (other,) = runs.agreement([pooled(1.5, 1.0, 1.0)]).to_dict("records")
    assert other["machines"] == 3
    assert other["apart"] == pytest.approx(1.5, rel=0.05)
    assert other["verdicts"] == "does not hold; holds"
    assert runs.told([pooled(1.5, 1.0)]).startswith(
        "Of 1 ratio, 1 was measured on two machines or more; for 0 of these the verdict is the "
        "same on all machines. The largest ratio of a claim is 1."
    )


def test_one_machine_says_nothing_of_another(pooled):
    """No factor, no agreement: the sentence says that it is not known."""
    one = pooled(1.5)
    (row,) = runs.agreement([one]).to_dict("records")
    assert (row["machines"], row["smallest"]) == (1, row["largest"])
    assert math.isnan(row["apart"])
    assert "none of which was measured on two machines" in runs.told([one])
    assert "not known" in runs.told([])


def test_two_runs_of_a_class_are_one_machine(pooled):
    """However many, they say nothing of another machine."""
    twice = pooled(1.5, 1.5, machine=machine(1))
    assert list(runs.agreement([twice])["machines"]) == [1]


def test_what_decides_nothing_is_left_out(emulated):
    """Times of emulated machines are in no row, no figure and no sentence."""
    table = runs.agreement([emulated])
    assert "startup-kernel" in set(table["claim"])
    assert not {"C23", "C24", "C25"} & set(table["claim"])
    assert "runc over a microVM" not in plots.describe(runs.across(emulated))


def test_other_conditions_are_other_rows():
    """A claim that machines measured in two ways is told twice, with what differed."""
    first, other = trials.open(quota, source="recorded"), elsewhere(workers=9)
    table = runs.agreement([runs.pool([(first, OURS), (other, COMMUNITY)])])
    rows = table[table["claim"] == "C08/weights-2"]
    assert list(rows["machines"]) == [1, 1]
    assert all(rows["label"].str.contains("workers "))
    assert dict(zip(table["claim"], table["machines"], strict=True))["quota-latency"] == 2


def elsewhere(**weights):
    """Return the recorded `quota` as another machine would have measured it on another day."""
    first = trials.open(quota, source="recorded")
    other = trials.Run(first.experiment, "other", folder=first.folder, version=first.version)
    rows = other.trials
    rows = rows.assign(**{c: rows[c] * 1.0000003 for c in frames.measures(quota.Trials)})
    for name, value in weights.items():
        rows[name] = np.where(rows["pattern"] == "weights", value, rows[name])
    other._tables["trials"] = rows.assign(run="later " + rows["run"], machine=machine(2))
    facts = other.table("conditions")  # which release measured, among them
    other._tables["conditions"] = facts.assign(run="later " + facts["run"], machine=machine(2))
    return other


# --- the figure --------------------------------------------------------------


def test_the_figure_has_a_row_for_each_claim_and_machine(pooled):
    """Named by what tells the machines apart, with the numbers of the table."""
    found = pooled(1.5, 3.0)
    ax = runs.across(found)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["CPU 1", "CPU 2"]
    said = plots.describe(ax)
    for row in found.ratios.to_dict("records"):
        assert telling.ratio(row).replace("x [", " [") in said
    assert len(ax.get_yticklabels()) == 2


def test_a_figure_is_seen_at_once():
    """Claims on both machines come first, and no more than there is room for."""
    first = trials.open(quota, source="recorded")
    found = runs.pool([(first, OURS), (elsewhere(workers=9), COMMUNITY)])
    ax = runs.across(found)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert 2 <= len(names) <= travelling.MOST_ROWS
    assert names[0] == names[1] or names[0].split(",")[0] == names[1].split(",")[0]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [name.rpartition(" ")[2] for name in legend] == ["(ours)", "(community)"]


def test_five_machines_have_a_line_in_the_figure(pooled):
    """A diamond below the machines, and the prediction in the sentence."""
    ax = runs.across(pooled(1.3, 1.4, 1.5, 1.6, 1.7))
    assert len(ax.patches) == 1
    assert "another machine is expected within" in plots.describe(ax)


def test_nothing_measured_is_a_figure_that_says_so(pooled):
    """Too few blocks for an interval: no row, and no error."""
    found = pooled(1.5, blocks=4)
    assert "nothing was measured" in plots.describe(runs.across(found))
    assert runs.agreement([found]).empty


def test_the_widest_pool_has_most_machines(pooled, emulated):
    """Whatever its place in the list; the number of ratios decides among equals."""
    two = pooled(1.5, 1.5)
    assert runs.widest([emulated, two]) is two
    assert runs.widest([two, emulated]) is two
    assert runs.widest([pooled(1.5), emulated]) is emulated


# --- side by side ------------------------------------------------------------


def test_one_machine_has_nothing_beside_it(pooled):
    """The reason is a sentence, the tables are of that machine alone."""
    found = runs.beside(pooled(1.5).sides)
    assert found.reason.startswith("Measured on one machine so far")
    assert len(found.differences) == 0
    (row,) = telling.ratios(found).to_dict("records")
    assert set(row) == {"claim", "label", "A", "not comparable"}
    assert telling.named(found)["measured on"].to_list() == [machine(1)]


def test_what_may_not_be_compared_is_left_out_with_its_reason(tmp_path):
    """Two of one release are laid side by side; the third is a doubt, not an error."""
    versions = ("0.1.0", "0.2.0", "0.1.3")
    given = [
        (made.opened(made.run(tmp_path / v, day=n, machine=machine(n), version=v)), OURS)
        for n, v in enumerate(versions, start=1)
    ]
    sides = [side for run, _ in given for side in runs.sides(run)]
    found = runs.beside(sides)
    assert [side.machine for side in found.sides] == [machine(1), machine(3)]
    assert found.reason == ""
    assert "by caveatlib 0.1.0 and by caveatlib 0.2.0" in found.doubts[-1]
    (row,) = telling.ratios(found).to_dict("records")
    assert row["B over A"].startswith(("1", "0.9"))
    none = runs.beside(sides[:2])
    assert "by caveatlib 0.1.0 and by caveatlib 0.2.0" in none.reason
    assert len(none.sides) == 1


def test_a_ratio_that_is_not_comparable_says_why():
    """Both are in the table, one over the other is not."""
    first = trials.open(quota, source="recorded")
    found = runs.beside([*runs.sides(first), *runs.sides(elsewhere(workers=9))])
    table = telling.ratios(found).set_index("claim")
    assert table.loc["C08/weights-2", "not comparable"].startswith("workers 4 against 9")
    assert not isinstance(table.loc["C08/weights-2", "B over A"], str)
    assert table.loc["quota-latency", "B over A"].startswith("1x [")
    assert table.loc["quota-latency", "not comparable"] == ""


# --- predictions -------------------------------------------------------------


def test_predictions_are_not_held_against_emulated_machines(emulated):
    """Each is told with its interval; what came is that it was not measured, and why."""
    rows = runs.predictions([emulated]).set_index("claim")
    assert list(rows.index) == ["C23", "C24", "C25"]
    assert rows.loc["C23", "predicted"] == "0.03x to 0.3x"
    assert set(rows["came"]) == {claims.NOT_MEASURED}
    assert set(rows["measured"]) == {""}
    assert rows["why"].str.contains("emulated").all()


@pytest.mark.parametrize(
    ("low", "high", "came"), [(1.2, 1.8, "inside"), (2, 3, "outside"), (1.5, 3, "across its end")]
)
def test_a_prediction_is_held_against_what_was_measured(pooled, monkeypatch, low, high, came):
    """Of a machine whose ratio counts, with the ratio."""
    told = claims.Prediction(CLAIM, "the one over the other", low, high, "because", "2026-01-01")
    monkeypatch.setattr(claims, "predicted", lambda name: told if name == CLAIM else None)
    (row,) = runs.predictions([pooled(1.5, noise=0.05)]).to_dict("records")
    assert row["came"] == came
    assert row["measured"].startswith("1.")
    assert row["why"] == ""


def test_no_prediction_no_row(pooled):
    """An experiment of which nothing was predicted has none."""
    assert runs.predictions([pooled(1.5)]).empty


# --- what ships --------------------------------------------------------------


@pytest.mark.slow
def test_everything_that_ships_is_pooled(monkeypatch):
    """Each recorded experiment once, with contributions beside what is ours."""
    monkeypatch.setattr(gathering, "contributed", lambda: [[(elsewhere(), COMMUNITY)]])
    pools = runs.everything()
    names = [pooled.experiment.NAME for pooled in pools]
    assert names == [e.NAME for e in experiments.recorded()]
    origins = {p.experiment.NAME: set(p.ratios["origin"]) for p in pools}
    assert origins.pop("quota") == {OURS, COMMUNITY}
    assert set().union(*origins.values()) == {OURS}
    counts = {p.experiment.NAME: p.ratios["machine"].nunique() for p in pools}
    assert counts["quota"] == 1 + trials.get(quota, source="recorded")["machine"].nunique()
    assert counts[runs.widest(pools).experiment.NAME] == max(counts.values())


def test_an_older_version_adds_other_machines_alone(tmp_path):
    """One of the same machine was recorded anew because its designs were mended."""
    about = [(3, machine(1)), (2, machine(2)), (1, machine(1))]
    newest_first = [
        made.opened(made.run(tmp_path / str(day), day=day, machine=name)) for day, name in about
    ]
    kept = gathering.of_other_machines(newest_first)
    assert kept == newest_first[:2]
