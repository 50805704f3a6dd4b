"""The measuring loop, on fake places: orders, lead-ins, failures, and what a row says of them."""

import itertools
import math
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import pytest
from little import Samples, experiment, run, steady, table
from places import fake

from caveatlib import frames
from caveatlib.errors import MeasurementError
from caveatlib.measuring import clock, loop, plan
from caveatlib.places.base import TrialResult

pytestmark = pytest.mark.beside

BEGUN = datetime(2027, 1, 1, 10, tzinfo=UTC)


def test_blocks_are_complete_and_in_random_order(tmp_path):
    """Every block holds each arm once; the orders differ between blocks."""
    little = experiment(steady)
    run(little, tmp_path, sessions=12)
    rows = table(little, tmp_path)
    arms = rows.groupby("block").apply(lambda b: sorted(zip(b.place, b["size"], strict=True)))
    assert len(arms) == 12
    assert all(a == arms.iloc[0] and len(a) == 4 for a in arms)
    orders = {
        tuple(b.sort_values("position")["place"] + b["size"].astype(str))
        for _, b in rows.groupby("block")
    }
    assert len(orders) > 3


def test_the_seed_decides_the_order(tmp_path):
    """Two runs with one seed have one order, another seed has another."""
    little = experiment(steady)
    orders = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(little, tmp_path / name, sessions=6, seed=seed)
        rows = table(little, tmp_path / name)
        orders.append(list(zip(rows.place, rows["size"], strict=True)))
    assert orders[0] == orders[1] != orders[2]


def test_runs_of_one_second_have_names_of_their_own(tmp_path, monkeypatch):
    """Hosts of a fleet begin at once, and what is laid side by side is told apart by its run."""
    monkeypatch.setattr(plan, "datetime", SimpleNamespace(now=lambda zone: BEGUN))
    little = experiment(steady)
    names = set()
    for number in range(8):
        run(little, tmp_path / f"{number}", sessions=1)
        names |= set(table(little, tmp_path / f"{number}")["run"])
    assert len(names) == 8
    assert all(name.startswith("2027-01-01T10:00:00Z-") for name in names)
    assert all(plan.RUN.fullmatch(name) for name in names)


def test_names_of_runs_from_before():
    """They had no end of their own, and stay valid; an end is six digits of hexadecimal numbers."""
    assert plan.RUN.fullmatch("2027-01-01T10:00:00Z")
    assert plan.RUN.fullmatch("2027-01-01T10:00:00Z-0af3c1")
    for name in ("mine", "2027-01-01T10:00:00Z-", "2027-01-01T10:00:00Z-0AF3C1", "2027-01-01"):
        assert not plan.RUN.fullmatch(name)


def test_no_two_streams_begin_alike(tmp_path, monkeypatch):
    """Orders, seeds of trials, of lead-ins and of warm-ups: what one draws says nothing of another.

    NumPy pads a seed with zeros: [7, 0] and [7, 0, 0] are one stream.
    """
    begin, seeds = {}, []
    rng = loop.Loop._rng

    def spied(self, *key):
        begin[key[0].name, *key[1:]] = tuple(rng(self, *key).integers(2**63, size=2))
        return rng(self, *key)

    def trial(place, conditions, *, seed):
        seeds.append(seed)
        return TrialResult({"took_s": 1.0})

    monkeypatch.setattr(loop.Loop, "_rng", spied)
    first = led_in(trial, blocks=3).DESIGNS[0]
    second = replace(first, name="other", arms=first.arms[:2])
    run(experiment(trial, DESIGNS=(first, second)), tmp_path, sessions=4, seed=0)
    assert len(seeds) == 4 * (4 + 2 + 3 * (5 + 3))
    assert len(set(seeds)) == len(seeds)
    assert len(begin) > len(seeds)  # the orders have theirs, too
    assert len(set(begin.values())) == len(begin)


def test_places_are_opened_afresh_for_every_session(tmp_path):
    """A session is one opening of all places."""
    opened = []

    def trial(place, conditions, *, seed):
        opened.append(place)
        return TrialResult({"took_s": 1.0})

    run(experiment(trial), tmp_path, sessions=3)
    assert len({id(place) for place in opened}) == 6
    assert table(experiment(trial), tmp_path)["session"].nunique() == 3


def test_warmups_are_kept_apart(tmp_path):
    """Warm-up trials are in a table of their own, never among the trials."""
    little = experiment(steady)
    run(little, tmp_path, sessions=3)
    assert len(table(little, tmp_path)) == 12
    assert len(table(little, tmp_path, "warmups")) == 12


def led_in(trial, blocks=1):
    """Return the little experiment, each block of whose design is led in."""
    design = replace(experiment(trial).DESIGNS[0], lead_in=True, blocks_per_session=blocks)
    return experiment(trial, DESIGNS=(design,))


def test_a_block_is_led_in_by_its_own_first_arm(tmp_path):
    """Over one square each arm runs right after itself and after each other arm, once."""
    ran = []

    def trial(place, conditions, *, seed):
        ran.append((place, conditions["size"], seed))
        return TrialResult({"took_s": 1.0})

    little = led_in(trial, blocks=4)
    fakes = fake.places("process", "runc")
    specs = {p: replace(f, open=lambda session, p=p: _Named(p)) for p, f in fakes.items()}
    run(little, tmp_path, sessions=1, specs=specs)
    blocks = [ran[4:][i : i + 5] for i in range(0, 20, 5)]  # after four warm-ups
    arms = [[(str(place), size) for place, size, _ in block] for block in blocks]
    assert all(block[0] == block[1] for block in arms)
    assert all(len(set(block[1:])) == 4 for block in arms)
    follow = [pair for block in arms for pair in itertools.pairwise(block)]
    assert len(set(follow)) == len(follow) == 16
    assert len({seed for block in blocks for _, _, seed in block}) == 20
    kept = table(little, tmp_path, "warmups")
    assert list(kept["block"]) == [0] * 5 + [1, 2, 3]
    assert len(table(little, tmp_path)) == 16


class _Named(str):
    """A place that is its own name."""

    def metadata(self):
        return {}


def test_the_age_of_a_session_is_stored(tmp_path):
    """Each trial says how long its session's places were open, and how many trials came before."""
    little = led_in(steady)
    run(little, tmp_path, sessions=2)
    rows, kept = table(little, tmp_path), table(little, tmp_path, "warmups")
    for _, session in rows.groupby("session"):
        assert list(session["age_trials"]) == [5, 6, 7, 8]  # four warm-ups and the lead-in
        assert session["age_s"].is_monotonic_increasing
        assert session["age_s"].between(0, 60).all()
    assert list(kept["age_trials"]) == [0, 1, 2, 3, 4] * 2


def test_a_clock_that_is_set_back_changes_no_order(tmp_path, monkeypatch):
    """The time of day is read once; what a run says of its order comes from another clock."""
    back = itertools.count()
    monkeypatch.setattr(
        clock, "datetime", SimpleNamespace(now=lambda zone: BEGUN - timedelta(seconds=next(back)))
    )
    little = experiment(steady)
    run(little, tmp_path, sessions=4)
    began = pd.to_datetime(table(little, tmp_path)["started_at"])
    assert began.is_monotonic_increasing
    assert (BEGUN - timedelta(seconds=5) < began).all()
    assert (began < BEGUN + timedelta(seconds=60)).all()


def test_how_long_a_trial_lasted_is_stored(tmp_path):
    """Of one that failed, too: so it can be told whether it was the slow ones that failed."""

    def trial(place, conditions, *, seed):
        time.sleep(0.02 * conditions["size"])
        if conditions["size"] == 2:
            raise MeasurementError("too slow")
        return TrialResult({"took_s": 1.0})

    run(experiment(trial), tmp_path, sessions=1)
    rows = table(experiment(trial), tmp_path)
    assert list(rows["ok"]) == list(rows["size"] == 1)
    assert (rows["lasted_s"] >= 0.02 * rows["size"]).all()
    assert (rows["lasted_s"] < 5).all()


def test_a_led_in_run_costs_its_trials_and_goes_on_as_it_would_have(tmp_path):
    """The lead-in is in how long a block lasts; one cut short keeps its order when it comes again.

    A block of the little design takes 0.1 s for four arms.
    """
    little = led_in(steady)
    assert little.DESIGNS[0].lasts_s() == pytest.approx(0.125)
    assert little.DESIGNS[0].trials_in(3) == 4 + 3 * 5
    run(little, tmp_path / "whole", sessions=6)
    count = 0

    def broken(place, conditions, *, seed):
        nonlocal count
        count += 1
        if count == 20:
            raise KeyboardInterrupt
        return steady(place, conditions, seed=seed)

    with pytest.raises(KeyboardInterrupt):
        run(led_in(broken), tmp_path / "cut", sessions=6)
    run(little, tmp_path / "cut", sessions=6, resume=True)
    columns = ["block", "position", "place", "size"]
    whole, cut = (table(little, tmp_path / name)[columns] for name in ("whole", "cut"))
    assert cut.equals(whole)


def test_a_failed_trial_is_a_row(tmp_path):
    """A failure is kept with its reason and without measures."""

    def trial(place, conditions, *, seed):
        if place.name == "runc" and conditions["size"] == 2:
            raise MeasurementError("It broke at 10.1.2.3.")
        return TrialResult({"took_s": 1.0})

    little = experiment(trial)
    run(little, tmp_path, sessions=2)
    failed = table(little, tmp_path).query("not ok")
    assert len(failed) == 2
    assert failed["took_s"].isna().all()
    assert set(failed["error"]) == {"It broke at <address>."}


def test_a_violated_bound_is_no_number(tmp_path):
    """A measure outside its bounds fails the trial and names column and rule."""
    little = experiment(lambda place, conditions, *, seed: TrialResult({"took_s": 11.0}))
    run(little, tmp_path, sessions=1)
    rows = table(little, tmp_path)
    assert not rows["ok"].any()
    assert rows["took_s"].isna().all()
    assert "took_s" in rows["error"].iloc[0]


@pytest.mark.parametrize(
    ("sample", "named"),
    [
        ({"value": -0.5}, "Value -0.5 of column 'value'"),
        ({"value": math.inf}, "'samples'[1].value is infinite"),
        ({"value": None}, "of column 'value'"),
        ({}, "Value nan of column 'value' in row 1"),
        ({"value": 0.5, "note": ""}, "has ['note']"),
        ({"value": object()}, "is of type 'object'"),
    ],
)
def test_a_violated_bound_of_a_further_table_is_a_failure(tmp_path, sample, named):
    """Of the trial, with its reason: it does not end the run, nor keep one from being ended."""

    def trial(place, conditions, *, seed):
        broken = place.name == "runc" and conditions["size"] == 2
        return TrialResult({"took_s": 1.0}, {"samples": [{"value": 0.5}, sample][: 1 + broken]})

    model = type("Model", (Samples,), {"__annotations__": {"value": frames.Series[float]},
                                       "value": frames.field("a sample", "s", ge=0)})  # fmt: skip
    little = experiment(trial, TABLES={"samples": model})
    seen = []
    run(little, tmp_path, sessions=2, watch=seen.append)
    failed = table(little, tmp_path).query("not ok")
    assert list(zip(failed["place"], failed["size"], strict=True)) == [("runc", 2)] * 2
    assert failed["took_s"].isna().all()
    assert failed["error"].str.contains(named, regex=False).all(), failed["error"].iloc[0]
    assert list(table(little, tmp_path, "samples")["value"]) == [0.5] * 6
    assert len(seen[-1]) == 8


def test_a_table_that_an_experiment_does_not_have_is_a_bug(tmp_path):
    """It is told at once, of the first trial, not by what reads the journal in the end."""
    calls = []

    def trial(place, conditions, *, seed):
        calls.append(place)
        return TrialResult({"took_s": 1.0}, {"sample": [{"value": 0.5}]})

    with pytest.raises(KeyError, match="sample"):
        run(experiment(trial), tmp_path)
    assert len(calls) == 1


def test_a_bug_in_an_experiment_is_not_a_failed_trial(tmp_path):
    """What nobody expected ends the run, and what was measured is kept."""
    calls = []

    def trial(place, conditions, *, seed):
        calls.append(place)
        if len(calls) > 4 + 4 + 2:
            raise ZeroDivisionError
        return TrialResult({"took_s": 1.0})

    little = experiment(trial)
    with pytest.raises(ZeroDivisionError):
        run(little, tmp_path)
    assert len(table(little, tmp_path)) == 4
    assert len(table(little, tmp_path, "interrupted")) == 0


def test_further_tables_follow_their_block(tmp_path):
    """Rows of further tables carry run, design, block and place."""
    little = experiment(steady)
    run(little, tmp_path, sessions=2)
    samples = table(little, tmp_path, "samples")
    assert len(samples) == 8
    assert set(samples["place"]) == {"process", "runc"}
    assert set(samples["block"]) == {0, 1}
