"""What the loop does with a budget, with places that lack something, and with bad requests."""

import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest
from little import DEFAULTS, experiment, run, steady, table

from caveatlib.errors import MeasurementError, Unavailable, UsageError
from caveatlib.measuring import designs, loop
from caveatlib.measuring.designs import Design
from caveatlib.places.base import Capability, TrialResult
from caveatlib.places.spec import Spec
from caveatlib.support.privacy import scrub

pytestmark = pytest.mark.beside


def test_a_budget_ends_after_a_whole_block(tmp_path):
    """However short the budget, a first session runs and no block is cut."""
    little = experiment(steady)
    run(little, tmp_path, sessions=None, budget_s=0.001)
    rows = table(little, tmp_path)
    assert rows["session"].nunique() == 1
    assert rows.groupby("block").size().eq(4).all()
    assert len(table(little, tmp_path, "interrupted")) == 0


def test_spare_designs_wait_under_a_budget(tmp_path):
    """Under a budget a spare design begins when the others have enough blocks."""
    (main,) = experiment(steady).DESIGNS
    spare = Design("spare", main.arms[:1], block_s=0.1, optional=True)
    little = experiment(steady, DESIGNS=(main, spare))
    run(little, tmp_path, sessions=8, budget_s=1000)
    rows = table(little, tmp_path)
    assert rows.query("design == 'spare'")["session"].min() == designs.ENOUGH
    run(little, tmp_path / "b", sessions=2)
    assert table(little, tmp_path / "b").query("design == 'spare'")["session"].min() == 0


def test_a_spare_block_that_does_not_fit_is_left_out(tmp_path):
    """Under a budget no spare block begins that would end after it; the others go on."""
    (main,) = experiment(steady).DESIGNS
    long = Design("long", main.arms[:1], block_s=2000, optional=True)
    little = experiment(steady, DESIGNS=(main, long))
    run(little, tmp_path, sessions=8, budget_s=1000)
    rows = table(little, tmp_path)
    assert set(rows["design"]) == {main.name}
    assert rows["session"].nunique() == 8


def test_optional_designs_get_their_turn_under_a_budget(tmp_path):
    """What takes part in the first session only is measured once the others have enough."""
    (main,) = experiment(steady).DESIGNS
    arms = main.arms[:1]
    once = Design("once", arms, block_s=0.1, sessions=1, optional=True)
    often = Design("often", arms, block_s=0.1, blocks_per_session=3, optional=True)
    seldom = Design("seldom", arms, block_s=0.1, every=4, optional=True)
    little = experiment(steady, DESIGNS=(main, often, seldom, once))
    run(little, tmp_path, sessions=10, budget_s=1000)
    rows = table(little, tmp_path).query("design != 'main'")
    assert rows["session"].min() == designs.ENOUGH
    blocks = rows.groupby("design")["block"].nunique()
    # four sessions were left; of `seldom` the sessions 0, 4 and 8 were due
    assert blocks.to_dict() == {"often": 12, "seldom": 3, "once": 1}


def test_what_was_measured_least_has_its_turn_first(tmp_path, monkeypatch):
    """Under a budget that is too short for all, none is starved by one that stands before it."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(loop.time, "monotonic", lambda: clock.now)

    def trial(place, conditions, *, seed):
        clock.now += 1
        return TrialResult({"took_s": 1.0})

    (main,) = experiment(steady).DESIGNS
    often = Design("often", main.arms, block_s=4, blocks_per_session=3, optional=True)
    other = Design("other", main.arms, block_s=4, optional=True)
    little = experiment(trial, DESIGNS=(main, often, other))
    # six sessions of main alone, one of all, one with time for one optional block
    run(little, tmp_path, budget_s=6 * 8 + (8 + 3 * 4 + 4) + (8 + 5))
    blocks = table(little, tmp_path).groupby("design")["block"].nunique()
    assert blocks.to_dict() == {"main": 8, "often": 3, "other": 2}


def test_designs_take_part_in_some_sessions():
    """`every` and `sessions` say in which."""
    design = Design("d", (), block_s=1, every=3, sessions=2)
    assert [s for s in range(12) if design.due(s)] == [0, 3]


def lacking(*names, why):
    """Return the fake places, some of which need what is not there."""
    needs = (lambda: Capability("runc", False, why),)
    changed = {name: replace(spec, needs=needs) for name, spec in DEFAULTS["specs"].items()}
    return DEFAULTS["specs"] | {name: changed[name] for name in names}


def test_a_place_that_lacks_something_is_said_and_the_rest_runs(tmp_path):
    """A missing place is one row per arm with the reason."""
    little = experiment(steady)
    run(little, tmp_path, sessions=2, specs=lacking("runc", why="no program"))
    rows = table(little, tmp_path)
    assert list(rows.query("not ok")["error"]) == ["unavailable: runc: no program"] * 2
    assert rows.query("ok")["place"].unique().tolist() == ["process"]


@pytest.mark.parametrize("by", ["opening", "metadata"])
@pytest.mark.parametrize(
    "error",
    [
        MeasurementError("It broke at 10.1.2.3."),
        FileNotFoundError(2, "No such file or directory"),
        subprocess.TimeoutExpired("dockerd", 30),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_place_that_cannot_be_opened_gives_failed_rows(tmp_path, by, error):
    """Whatever a trial may end with, opening may, too: the rest of the run goes on."""

    def fails(*_):
        raise error

    def opened(session):
        return SimpleNamespace(metadata=fails) if by == "metadata" else fails()

    little = experiment(steady)
    run(little, tmp_path, sessions=2, specs=DEFAULTS["specs"] | {"runc": Spec(opened)})
    rows = table(little, tmp_path)
    assert rows.groupby("place")["ok"].agg(["size", "sum"]).to_dict("index") == {
        "process": {"size": 4, "sum": 4},
        "runc": {"size": 4, "sum": 0},
    }
    assert set(rows.query("not ok")["error"]) == {str(scrub(error))}
    assert "10.1.2.3" not in " ".join(rows["error"])


def test_no_place_at_all_can_be_opened(tmp_path):
    """A session without any place ends the run with one error, and says why."""

    def opened(session):
        raise subprocess.TimeoutExpired("dockerd", 30)

    little = experiment(steady)
    specs = {"process": Spec(opened), "runc": Spec(opened)}
    with pytest.raises(MeasurementError, match=r"^No place could be opened: .*dockerd.* timed out"):
        run(little, tmp_path, sessions=2, specs=specs)


def test_nothing_can_run(tmp_path):
    """A live request where nothing can run is one error, and nothing is written."""
    specs = lacking("process", "runc", why="no such thing")
    with pytest.raises(Unavailable, match="no such thing"):
        run(experiment(steady), tmp_path / "x", specs=specs)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sessions": 0}, "Invalid number of sessions 0"),
        ({"sessions": 1.5}, "Invalid number of sessions 1.5"),
        ({"sessions": True}, "Invalid number of sessions True"),
        ({"budget_s": -1}, "Invalid budget in seconds -1"),
        ({"budget_s": 0}, "Invalid budget in seconds 0"),
        ({"budget_s": float("nan")}, "Invalid budget in seconds nan"),
        ({"budget_s": float("inf")}, "Invalid budget in seconds inf"),
        ({"seed": float("nan")}, "Invalid seed nan"),
        ({"seed": -1}, "Invalid seed -1"),
        ({"seed": 2**32}, "Invalid seed 4294967296"),
        ({"places": ["dockr"]}, "Unknown place 'dockr'"),
        ({"resume": True}, "Nothing to resume"),
    ],
)
def test_bad_requests(tmp_path, options, message):
    """Each is one error that names the value, and nothing is written."""
    with pytest.raises(UsageError, match=message):
        run(experiment(steady), tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path):
    """The second run into one folder is refused."""
    run(experiment(steady), tmp_path, sessions=1)
    with pytest.raises(UsageError, match="exists"):
        run(experiment(steady), tmp_path, sessions=1)
