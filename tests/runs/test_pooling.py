"""Runs of many machines: ratios of each alone, a line from five on, ours apart.

Seen to fail: with the seconds of all machines put into one ratio, releases or conditions
combined in one line, a run given twice, and a line over four machines.
"""

import json

import numpy as np
import pandas as pd
import pytest
from runs import made
from runs.made import machine

from caveatlib import cli, frames, plots, runs, stats, trials
from caveatlib.errors import DataError, UsageError
from caveatlib.experiments import quota, startup
from caveatlib.runs import pooling, telling
from caveatlib.runs.contributions import COMMUNITY, OURS
from caveatlib.support import datapackage

pytestmark = pytest.mark.beside

CLAIM = "sample-longer"


@pytest.fixture
def several(tmp_path):
    """Return a function that makes so many runs, one per machine, with their origin."""

    def make(ratios, *, origin=OURS, first=1, **settings):
        found = []
        for number, ratio in enumerate(ratios, start=first):
            about = {"machine": machine(number), "day": number, "ratio": ratio} | settings
            found.append((made.opened(made.run(tmp_path / f"m{number}", **about)), origin))
        return found

    return make


def test_each_machine_has_its_own_ratio(several):
    """It is what that machine's trials alone give, and its interval holds the truth."""
    truths = [1.2, 1.5, 3.0]
    given = several(truths)
    pooled = runs.pool(given)
    assert list(pooled.ratios["machine"]) == [machine(n) for n in (1, 2, 3)]
    contrast = made.EXPERIMENT.DECISIONS[0].contrast
    for truth, (run, _), row in zip(truths, given, pooled.ratios.itertuples(), strict=True):
        (alone,) = stats.jointly([(run.trials, contrast)])
        assert (row.estimate, row.low, row.high) == (alone["estimate"], alone["low"], alone["high"])
        assert row.low < truth < row.high


def test_slow_machines_weigh_nothing_by_their_seconds(several):
    """A machine ten times as slow, with the same ratio, has the same ratio in the pool."""
    (fast, _), (slow, _) = given = several([1.5, 1.5], noise=0.001)
    slow._tables["trials"] = slow.trials.assign(took_s=slow.trials["took_s"] * 10)
    pooled = runs.pool(given).ratios
    assert pooled["estimate"].to_numpy() == pytest.approx(1.5, rel=0.01)
    assert fast.trials["took_s"].median() * 9 < slow.trials["took_s"].median()


def test_a_line_needs_five_machines(several):
    """Four have none, and it is said; five have one whose prediction is wider than its centre."""
    truths = list(np.exp(np.random.default_rng(1).normal(np.log(1.5), 0.2, 5)))
    four = runs.pool(several(truths[:4])).lines.iloc[0]
    assert (four["k"], four["note"]) == (4, "4 of 5 machines that pooling needs.")
    assert np.isnan(four["estimate"])
    five = runs.pool(several(truths)).lines.iloc[0]
    assert (five["k"], five["note"]) == (5, "")
    assert five["predict_low"] < five["low"] < 1.5 < five["high"] < five["predict_high"]
    assert 0.05 < five["tau"] < 0.6


def test_releases_are_not_combined(several):
    """Three machines of one release and three of another are two lines of three, not one of six."""
    given = several([1.5] * 3) + several([1.5] * 3, first=4, version="0.2.1")
    lines = runs.pool(given).lines
    assert list(lines["release"]) == ["0.1", "0.2"]
    assert list(lines["k"]) == [3, 3]
    unknown = runs.pool(several([1.5], first=7, version=""))
    assert list(unknown.lines["release"]) == [pooling.UNKNOWN]


def test_other_conditions_are_not_combined():
    """Where machines ran an arm with another setting, each setting has its own line."""
    first = trials.open(quota, source="recorded")
    other = trials.Run(first.experiment, "other", folder=first.folder, version=first.version)
    rows = other.trials
    # Another machine's clock reads other digits.
    rows = rows.assign(**{c: rows[c] * 1.0000003 for c in frames.measures(quota.Trials)})
    other._tables["trials"] = rows.assign(
        run="later " + rows["run"],
        machine=machine(2),
        workers=np.where(rows["pattern"] == "weights", 9, rows["workers"]),
    )
    facts = other.table("conditions")  # which release measured, among them
    other._tables["conditions"] = facts.assign(run="later " + facts["run"], machine=machine(2))
    lines = runs.pool([(first, OURS), (other, OURS)]).lines.set_index("claim")
    assert set(lines.loc["C08/weights-2", "conditions"]) == {"workers 4", "workers 9"}
    assert lines.loc["quota-latency", "conditions"] == ""
    assert lines.loc["quota-latency", "k"] == 2


def test_a_machine_with_too_few_blocks_is_shown_and_in_no_line(several):
    """It has an estimate without an interval, and the line is over the others."""
    given = several([1.5] * 5) + several([1.5], first=6, blocks=4)
    pooled = runs.pool(given)
    assert list(pooled.ratios["note"]) == ["", "", "", "", "", "4 blocks: no interval."]
    assert list(pooled.lines["k"]) == [5]


def test_what_decides_nothing_is_in_no_line():
    """A ratio that may not decide, e.g. of an emulated machine, says why and is left out."""
    pooled = runs.pool([(trials.open(startup, source="recorded"), OURS)])
    row = pooled.ratios.set_index("claim").loc["C23"]
    assert row["verdict"] == "not measured here"
    assert "emulated" in row["note"]
    assert pooled.lines.set_index("claim").loc["C23", "k"] == 0


def test_differences_are_not_pooled():
    """What is no ratio has a unit, and stays on its machine."""
    pooled = runs.pool([(trials.open(quota, source="recorded"), OURS)])
    assert "quota-bursts" not in made.names(pooled.ratios)  # a difference of shares
    assert "quota-latency" in made.names(pooled.ratios)


def test_runs_of_one_machine_count_once(several):
    """Two runs of a class are one machine with the pairs of both; the same run twice is refused."""
    given = several([1.5, 1.5], machine=machine(1))
    (row,) = runs.pool(given).ratios.to_dict("records")
    assert row["n"] == 30
    assert row["runs"] == "2027-01-01T10:00:00Z 2027-01-02T10:00:00Z"
    with pytest.raises(UsageError, match="'2027-01-02T10:00:00Z' is given twice"):
        runs.pool([*given, given[1]])


def test_a_copied_run_is_noticed(several):
    """The trials of one machine, sent in again as another machine's on another day."""
    (run, _), (other, _) = given = several([1.5, 1.5])
    copied = run.trials.assign(run="2027-02-01T10:00:00Z", machine=machine(2))
    assert len(other.trials)  # read, and then replaced
    other._tables["trials"] = copied
    with pytest.raises(DataError, match="A clock does not repeat itself: trials were copied"):
        runs.pool(given)


def test_experiments_are_not_mixed(several):
    """Nor is nothing pooled."""
    with pytest.raises(UsageError, match="'sample', 'startup'"):
        runs.pool([*several([1.5]), (trials.open(startup, source="recorded"), OURS)])
    with pytest.raises(UsageError, match="No run to pool"):
        runs.pool([])


def test_ours_and_the_communitys_stay_apart(several):
    """The same class of machine has a row of each, ours first, and the figure tells them apart."""
    given = several([1.5], origin=COMMUNITY, machine=machine(1))
    given += several([1.4], first=2, machine=machine(1))
    pooled = runs.pool(given)
    assert list(pooled.ratios["origin"]) == [OURS, COMMUNITY]
    ax = pooled.forest(CLAIM)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [OURS, COMMUNITY]
    told = "\n".join(telling.pool(pooled))
    assert told.index("    ours\n") < told.index("    community\n")


def test_a_class_of_machines_is_once_in_a_line(several):
    """What others measured on a machine like ours has its row, and no second weight."""
    ours = several([1.2, 1.4, 1.5, 1.6, 2.0])
    theirs = several([3.0], origin=COMMUNITY, first=6, machine=machine(1))
    alone, both = runs.pool(ours), runs.pool([*ours, *theirs])
    assert len(both.ratios) == 6
    assert list(both.lines["k"]) == [5]
    assert both.lines["estimate"].equals(alone.lines["estimate"])
    four = runs.pool([*ours[:4], *theirs]).lines.iloc[0]
    assert four["note"] == "4 of 5 machines that pooling needs."


def test_the_figure_draws_what_the_table_says(several):
    """Dots at the estimates, a diamond as wide as the interval, and both in the sentence."""
    pooled = runs.pool(several([1.2, 1.4, 1.5, 1.6, 2.0]))
    ax = pooled.forest(CLAIM)
    drawn = [line for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1]
    assert [line.get_xdata()[0] for line in drawn] == list(pooled.ratios["estimate"])
    (row,) = pooled.lines.to_dict("records")
    (diamond,) = ax.patches
    assert diamond.get_xy()[:, 0].min() == row["low"]
    assert diamond.get_xy()[:, 0].max() == row["high"]
    thin = [list(line.get_xdata()) for line in ax.lines if line.get_linewidth() == 1]
    assert [row["predict_low"], row["predict_high"]] in thin
    assert [1.1, 1.1] in thin  # the margin that decides
    said = plots.describe(ax)
    assert f"{machine(1)} (ours) {pooled.ratios['estimate'][0]:.3g} [" in said
    assert f"within {row['predict_low']:.3g} to {row['predict_high']:.3g}." in said
    with pytest.raises(UsageError, match=r"No ratio of claim 'C99'\. Must be one of sample-longer"):
        pooled.forest("C99")


def test_a_pool_is_written_as_a_data_package(several, tmp_path):
    """Both tables read back as they were, beside a figure of each claim."""
    pooled = runs.pool(several([1.2, 1.4, 1.5, 1.6, 2.0]))
    folder = runs.write(pooled, tmp_path / "out")
    names = {path.name for path in folder.iterdir()}
    assert names == {"datapackage.json", "ratios.csv", "lines.csv", "forest-sample-longer.svg"}
    package = datapackage.read(folder)
    for name, model in (("ratios", pooling.Ratios), ("lines", pooling.Lines)):
        frame = datapackage.to_frame(*datapackage.read_rows(folder, package, name), model, name)
        pd.testing.assert_frame_equal(frame, getattr(pooled, name), check_exact=True)
        assert all(field["description"] for field in frames.table_schema(model)["fields"])
    assert (folder / "forest-sample-longer.svg").read_text().startswith("<svg ")


def test_the_command(monkeypatch, capsys, tmp_path):
    """Folders of packages at any depth, ours and contributed; a bad contribution is one line."""
    monkeypatch.chdir(tmp_path)
    for number in range(1, 5):
        made.run(tmp_path / "runs" / str(number), machine=machine(number), day=number)
    folder = made.run(tmp_path / "theirs", machine=machine(9), day=9)
    target = (
        tmp_path
        / "data"
        / "community"
        / "sample"
        / ("2027-01-09-cpu-9-4-cpus-16-gib-linux-6-12-cgroup-v2")
    )
    target.parent.mkdir(parents=True)
    folder.rename(target)
    assert _command(monkeypatch, "pool", "runs", "data/community", "--out", "pooled") == 0
    out = capsys.readouterr().out
    assert "    5 machines (caveatlib 0.1): 1." in out
    assert "another is expected within" in out
    assert "Written: pooled/sample\n" in out
    (target / "mine.txt").write_text("x")
    assert _command(monkeypatch, "pool", "runs", "data/community") == 2
    assert capsys.readouterr().err.startswith("caveatlib: File 'mine.txt' in")
    (target / "mine.txt").unlink()
    changed = json.loads((target / "datapackage.json").read_text())
    changed["resources"][0]["hash"] = "sha256:0"
    (target / "datapackage.json").write_text(json.dumps(changed))
    assert _command(monkeypatch, "pool", "runs", "data/community") == 2
    assert "Must have sha256:0: it was changed" in capsys.readouterr().err
    assert _command(monkeypatch, "pool", "pooled-nowhere") == 2
    assert capsys.readouterr().err.startswith("caveatlib: No data package in 'pooled-nowhere'")


def _command(monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["caveatlib", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code
