"""Runs side by side: what differs, what it touches, and when they may not be compared.

Seen to fail: with the same run on both sides accepted, versions compared whole or not at
all, facts of places told as touching every claim, conditions of the arms not looked at, and
the change of a ratio turned round.
"""

import math
import os
from pathlib import Path

import numpy as np
import pytest
from runs import made

from caveatlib import cli, runs, stats, trials
from caveatlib.errors import UsageError
from caveatlib.experiments import quota, startup
from caveatlib.runs import telling
from caveatlib.stats import machines

pytestmark = pytest.mark.beside


def side(folder):
    """Return the one side of a run."""
    (found,) = runs.sides(made.opened(folder))
    return found


@pytest.fixture
def pair(tmp_path):
    """Return a function that makes two runs: settings of the second -> both sides."""

    def make(first=None, **second):
        one = side(made.run(tmp_path / "one", **(first or {})))
        return one, side(made.run(tmp_path / "other", **{"day": 2} | second))

    return make


def test_facts_that_differ_and_what_they_touch(pair):
    """A fact of the machine touches every claim, one of no place nothing; equal ones are silent."""
    a, b = pair(facts={"kernel": "Linux 6.18.44", "mitigations": "meltdown: PTI"})
    found = runs.comparable(a, b)
    assert found.reason == ""
    assert found.refused == {}
    (row,) = found.differences.reset_index().to_dict("records")
    assert row == {
        "fact": "kernel",
        "places": "",
        "A": made.KERNEL,
        "B": "Linux 6.18.44",
        "touches": "every claim",
    }
    assert found.doubts == ("Not recorded on all sides: mitigations.",)


def test_a_fact_of_places_touches_the_claims_that_name_them():
    """The engine of Docker's places is told once, with the claims that compare in them."""
    (one,) = runs.sides(trials.open(startup, source="recorded"))
    changed = {k: "27.0" if k[1] == "engine_version" else v for k, v in one.facts.items()}
    other = runs.Side("other", one.run, one.machine, _renamed(one.trials), changed)
    table = runs.comparable(one, other).differences.reset_index()
    (row,) = table[table["fact"] == "engine_version"].to_dict("records")
    docker = "docker-crun, docker-run, docker-runc, docker-runsc"
    assert row["places"] == f"{docker}, image-buildkit, image-classic"
    assert "startup-kernel" in row["touches"]
    assert "C24" not in row["touches"]  # runc alone against a microVM


def _renamed(rows):
    return rows.assign(run="later " + rows["run"])


def test_load_is_told_from_the_trials(pair):
    """A busy machine is a difference, though no fact says so."""
    a, b = pair()
    busy = runs.Side("busy", b.run, b.machine, b.trials.assign(busy_per_cpu=2.0), b.facts)
    table = runs.comparable(a, busy).differences.reset_index()
    told = table[["fact", "A", "B"]].to_dict("records")
    assert told == [{"fact": "other running tasks per CPU", "A": "0.2", "B": "2.0"}]


def test_ratios_side_by_side(pair):
    """Each ratio has its interval, and the second's over the first's holds the truth."""
    a, b = pair({"ratio": 1.5}, ratio=3.0)
    table = runs.compare([a, b]).claims
    rows = table[table["claim"] == "sample-longer"].set_index("side")
    assert rows.loc["A", "low"] < 1.5 < rows.loc["A", "high"]
    assert rows.loc["B", "low"] < 3.0 < rows.loc["B", "high"]
    assert math.isnan(rows.loc["A", "change"])
    assert rows.loc["B", "change_low"] < 2 < rows.loc["B", "change_high"]
    assert rows.loc["B", "change"] == pytest.approx(2, rel=0.05)
    assert list(rows["verdict"]) == ["does not hold", "does not hold"]
    told = "\n".join(telling.comparison(runs.compare([a, b])))
    assert f"over A {rows.loc['B', 'change']:.3g}x [" in told
    assert "what varies from run to run" in told


REFUSED = [
    ({"day": 1}, "both hold the run '2027-01-01T10:00:00Z'"),
    ({"version": "0.2.0"}, "by caveatlib 0.1.0 and by caveatlib 0.2.0"),
    ({"source": "simulated"}, "are measured and simulated"),
]


@pytest.mark.parametrize(("settings", "named"), REFUSED, ids=[named for _, named in REFUSED])
def test_what_may_not_be_compared_is_refused_in_words(pair, settings, named):
    """Same run, another version, another source: the reason is one line."""
    a, b = pair(**settings)
    reason = runs.comparable(a, b).reason
    assert named in reason
    assert "\n" not in reason
    with pytest.raises(UsageError, match=named):
        runs.compare([a, b])


def test_an_arm_that_only_one_run_has(pair):
    """Its claim has no ratio there and no change; what both have is compared."""
    a, b = pair(rename={"asked_s": 0.06})
    found = runs.comparable(a, b)
    assert (found.reason, found.refused) == ("", {})
    rows = found.claims[found.claims["claim"] == "sample-longer"]
    assert list(rows["n"]) == [15, 0]
    assert rows["change"].isna().all()


def test_a_patch_release_measures_the_same(pair):
    """The last number of a version may differ; a version that was not recorded is a doubt."""
    a, b = pair(version="0.1.7")
    assert runs.comparable(a, b).reason == ""
    assert runs.comparable(a, b).doubts == ()
    (fact,) = runs.comparable(a, b).differences.index.get_level_values("fact")
    assert fact == "caveatlib"


def test_a_version_that_was_not_recorded_is_a_doubt(pair):
    """Recordings from before versions were stored are compared, and it is said."""
    a, b = pair(version="")
    found = runs.comparable(a, b)
    assert found.reason == ""
    assert "other: the version of caveatlib that measured was not recorded." in found.doubts[0]


def test_other_conditions_refuse_the_claim_alone():
    """Where an arm ran with another setting, the claim is refused and the others are not."""
    (one,) = runs.sides(trials.open(quota, source="recorded"))
    rows = _renamed(one.trials)
    changed = rows.assign(workers=np.where(rows["pattern"] == "weights", 9, rows["workers"]))
    other = runs.Side("other", one.run, one.machine, changed, one.facts)
    found = runs.comparable(one, other)
    assert found.reason == ""
    assert found.refused["C08/weights-2"].startswith("workers 4 against 9")
    assert "quota-latency" not in found.refused
    table = found.claims.set_index(["claim", "side"])
    assert math.isnan(table.loc[("C08/weights-2", "B"), "change"])
    assert table.loc[("quota-latency", "B"), "change"] == pytest.approx(1)
    assert "not comparable: workers 4 against 9" in "\n".join(telling.comparison(found))


def test_nothing_shared_is_refused():
    """Two parts of one experiment that have no arm in common share no comparison."""
    (one,) = runs.sides(trials.open(quota, source="recorded"))
    rows = _renamed(one.trials)
    parts = [one.trials[one.trials["pattern"] == "weights"], rows[rows["pattern"] == "tools"]]
    a, b = (
        runs.Side(n, one.run, one.machine, p, one.facts) for n, p in zip("ab", parts, strict=True)
    )
    assert runs.comparable(a, b).reason == (
        "Runs 'a' and 'b' share no comparison. no claim has trials in both."
    )


def test_other_experiments_are_refused():
    """The two are named."""
    (a,) = runs.sides(trials.open(quota, source="recorded"))
    (b,) = runs.sides(trials.open(startup, source="recorded"))
    assert "of 'quota' and 'startup'" in runs.comparable(a, b).reason


@pytest.mark.slow
def test_the_change_covers_as_it_says():
    """Over simulated pairs of runs, the interval of the change holds the true one about 95 %."""
    rng, held, n = np.random.default_rng(5), 0, 400
    for _ in range(n):
        rows = []
        for truth in (1.5, 2.0):
            logs = rng.normal(np.log(truth), 0.1, 15)
            estimate, low, high = stats.hodges_lehmann(logs)
            rows.append(
                dict(zip(("estimate", "low", "high"), np.exp([estimate, low, high]), strict=True))
            )
        _, low, high = machines.change(*rows)
        held += low <= 2.0 / 1.5 <= high
    assert 0.925 <= held / n <= 0.99


def test_a_folder_of_several_runs_is_not_one_of_them(tmp_path):
    """Which of them was meant is not guessed."""
    for day in (1, 2):
        folder = made.run(tmp_path / str(day), day=day)
        (tmp_path / "both").mkdir(exist_ok=True)
        folder.rename(tmp_path / "both" / f"run-{day}")
    with pytest.raises(UsageError, match="holds 2 runs of 'sample'"):
        runs.found(tmp_path / "both")
    assert list(runs.found(tmp_path / "both" / "run-1")) == ["sample"]


def test_a_folder_that_may_not_be_entered_is_not_looked_into(tmp_path, monkeypatch):
    """Beside the runs, e.g. lost+found: no traceback, and the runs are found; as root, too."""
    made.run(tmp_path)
    (tmp_path / "closed").mkdir()
    stat = os.stat

    def refused(path, *args, **options):
        if not isinstance(path, int) and Path(path).parent.name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return stat(path, *args, **options)

    monkeypatch.setattr(os, "stat", refused)
    assert list(runs.found(tmp_path)) == ["sample"]


def test_the_command(monkeypatch, capsys, tmp_path):
    """It says what differs, then each claim; runs without a common experiment are one line."""
    monkeypatch.chdir(tmp_path)
    made.run(tmp_path / "one")
    made.run(tmp_path / "other", day=2, facts={"kernel": "Linux 6.18.44"})
    assert _command(monkeypatch, "compare", "one", "other") == 0
    out = capsys.readouterr().out
    assert "kernel: A Linux 6.12.1 | B Linux 6.18.44; touches every claim" in out
    assert "sample-longer" in out
    assert _command(monkeypatch, "compare", "one", "recorded") == 2
    assert "No experiment is in all of these runs. 'one': sample" in capsys.readouterr().err
    assert _command(monkeypatch, "compare", "one") == 2
    assert capsys.readouterr().err == (
        "caveatlib: Nothing to compare with 'one'. Must be two runs, or two machines.\n"
    )
    assert _command(monkeypatch, "compare", "one", "nowhere") == 2
    assert capsys.readouterr().err.startswith("caveatlib: No run in 'nowhere'.")


def _command(monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["caveatlib", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code
