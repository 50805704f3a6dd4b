"""What is shown of trials of `quota`: calibration, tables, figures, the model beside them."""

import math

import pandas as pd
import pytest
from experiments.quota.fake import FakeLimitedPlace
from experiments.quota.made_up import named_design

from caveatlib import frames
from caveatlib.errors import UsageError
from caveatlib.experiments import quota
from caveatlib.experiments.quota import model, schema
from caveatlib.measuring.experiment import complete

pytestmark = pytest.mark.beside


def test_calibration(runs):
    """What should read 1 or a half does, or the table says no and why."""
    again = (runs["design"] == "claims") & (runs["replicate"] == 1)
    once = (runs["design"] == "claims") & (runs["pattern"] == "bursts") & (runs["replicate"] == 0)
    once &= (runs["load"] == 0.5) & (runs["period_s"] == 0.1)
    calm = runs.copy()
    calm.loc[again, "p90_s"] = runs.loc[once, "p90_s"].to_numpy()  # nine noisy pairs are too few
    table = complete(quota).calibrate(calm)
    assert list(table["truth"]) == [1.0, 0.5, 1.0, 1.0, 1.0]
    assert list(table["passes"]) == ["yes", "undecided", "yes", "not measured", "yes"]
    assert set(table["note"].iloc[[0, 2, 4]]) == {""}  # of the weights there are two blocks
    leak = complete(quota).calibrate(calm.assign(used_ratio=calm["used_ratio"] * 1.06))
    assert list(leak["passes"]) == ["no", "no", "yes", "not measured", "yes"]
    free = (runs["pattern"] == schema.UNLIMITED) & (runs["replicate"] == 1)
    for control, where in (("without a limit", free), ("with the limit", again)):
        noisy = calm.assign(p90_s=calm["p90_s"].where(~where, calm["p90_s"] * 1.2))
        off = complete(quota).calibrate(noisy).query("passes == 'no'")
        assert list(off["check"]) == [f"the same bursts again, {control}"]
        assert "A/A control fails: 1.20x" in off["note"].iloc[0]
    gone = complete(quota).calibrate(calm[calm["design"] != "weights"])
    assert list(gone["passes"]) == ["yes", "not measured", "yes", "not measured", "yes"]
    assert gone["note"].iloc[1].startswith("Nothing to compare")


def _failed(runs, mine):
    measures = frames.measures(quota.Trials)
    failed = runs.assign(ok=~mine, error=mine.map({True: "It broke.", False: ""}))
    return failed.assign(**{name: failed[name].where(~mine) for name in measures})


def _parts(runs):
    return {
        "nothing": runs.iloc[:0],
        "no claims": runs[runs["design"] != "claims"],
        "no cgroup": runs[runs["place"] != "cgroup"],
        "no bursts": _failed(runs, runs["pattern"] == "bursts"),
        "one block": runs[runs["block"] == 0],
        "two machines": pd.concat([runs, runs.assign(machine="another")], ignore_index=True),
    }


def test_residuals_of_part_of_the_trials(runs):
    """The model is laid beside whatever of the trials there is."""
    simulated = model.simulate(runs, repeats=1)
    for name, part in _parts(runs).items():
        residuals = model.residuals(part, simulated)
        assert set(residuals["machine"]) <= set(part["machine"]), name
        assert len(model.unexplained(residuals)) <= len(residuals), name
    assert model.residuals(runs.iloc[:0]).empty


def test_summary_and_figure(runs):
    """The summary has a row per arm, failures counted; the figure says its unit."""
    failed = runs.copy()
    failed.loc[0, ["ok", "error"]] = [False, "tried"]
    table = quota.summarize(failed)
    assert table["n"].sum() == (runs["pattern"] != "weights").sum()
    assert table["failed"].sum() == 1
    assert "ms" in quota.plot(runs).get_xlabel()


def test_residuals(runs):
    """Measured rows that come from the model are explained; a slower machine is not."""
    part = runs[runs["design"] == "claims"]
    simulated = model.simulate(part, repeats=8)
    assert set(simulated["source"]) == {"simulated"}
    limit = runs[runs["design"] == "limit"]
    free = model.residuals(limit, model.simulate(limit, repeats=8))
    free = free[free["pattern"] == schema.UNLIMITED].set_index("measure")
    assert set(free.index) == {"p50_s", "p90_s"}
    assert free["explained"].all()
    table = model.residuals(part, simulated)
    assert table["explained"].mean() > 0.75
    slower = model.residuals(part.assign(p90_s=part["p90_s"] * 1.5), simulated)
    worst = model.unexplained(slower)
    assert set(slower.loc[slower["measure"] == "p90_s", "explained"]) == {False}
    assert worst["residual"].abs().is_monotonic_decreasing
    assert (slower["residual"] == slower["measured"] - slower["simulated"]).all()
    assert not math.isnan(worst["residual"].iloc[0])


@pytest.fixture(scope="module")
def sampled():
    """Return timeline and requests of one sampled trial."""
    (arm,) = named_design("once").arms
    outcome = quota.trial(FakeLimitedPlace("cgroup"), arm.conditions, seed=1)
    key = {"run": "r", "design": "once", "block": 0, "place": "cgroup"}
    return [
        frames.from_rows([key | row for row in outcome.tables[name]], model)
        for name, model in quota.TABLES.items()
    ]


def test_one_burst(sampled):
    """A burst that the model made is found again by the model, from zero to all its work."""
    shown = model.burst(*sampled, number=2)
    table = shown.pivot(index="t_s", columns="source", values="usage_s")
    assert (table["measured"] - table["simulated"]).abs().max() < 0.01
    assert table.index.min() >= 0
    assert table["measured"].iloc[-1] == pytest.approx(0.2, abs=0.002)
    assert "ms" in quota.plot_burst(shown).get_ylabel()


def test_a_burst_is_of_one_trial(sampled):
    """Of several sampled trials the first is shown."""
    two = [pd.concat([table, table.assign(block=1)], ignore_index=True) for table in sampled]
    assert model.burst(*two).equals(model.burst(*sampled))


def test_no_such_burst(sampled):
    """A burst that is not there is refused; where nothing was sampled there is no burst."""
    with pytest.raises(UsageError, match=r"Unknown burst 5\. Must be from 0 to 4"):
        model.burst(*sampled, number=5)
    none = model.burst(*(table.iloc[:0] for table in sampled))
    assert none.empty
    assert list(none) == list(model.burst(*sampled))
    assert quota.plot_burst(none).get_ylabel()
