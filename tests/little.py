"""A little experiment with four arms, on fake places, and the tables of a run of it."""

from types import SimpleNamespace

from places import fake

from caveatlib import frames, trials
from caveatlib.measuring.designs import Arm, Design
from caveatlib.places.base import TrialResult


class Rows(frames.Trials):
    """Trials of the little experiment below."""

    size: frames.Series[int] = frames.field("a condition", ge=0)
    took_s: frames.Series[float] = frames.measure("a measure", "s", le=10)


class Samples(frames.Table):
    """A further table."""

    run: frames.Series[str] = frames.field("the run")
    design: frames.Series[str] = frames.field("the design")
    block: frames.Series[int] = frames.field("the block")
    place: frames.Series[str] = frames.field("the place")
    value: frames.Series[float] = frames.field("a sample", "s")


def experiment(trial, **changes):
    """Return a little experiment with four arms whose trial is given."""
    arms = tuple(Arm(place, {"size": size}) for place in ("process", "runc") for size in (1, 2))
    attributes = {
        "NAME": "little",
        "QUESTION": "Does the loop loop?",
        "SESSIONS": 3,
        "DISK_BYTES": 0,
        "PLACES": ("process", "runc"),
        "Trials": Rows,
        "TABLES": {"samples": Samples},
        "DESIGNS": (Design("main", arms, block_s=0.1, warmup=True),),
        "trial": trial,
        "summarize": lambda rows: rows.groupby("place")[["took_s"]].median(),
        "verdicts": lambda rows: [],
    }
    return SimpleNamespace(**attributes | changes)


def steady(place, conditions, *, seed):
    """Return the same measure every time, and one sample."""
    return TrialResult({"took_s": 1.0}, {"samples": [{"value": 0.5}]})


DEFAULTS = {"seed": 7, "specs": fake.places("process", "runc")}


def run(little, out, **options):
    """Measure with fakes, quietly."""
    return trials.measure(little, out=out, progress=False, **DEFAULTS | options)


def table(little, out, name="trials"):
    """Return a table of a finished run."""
    return trials.get(little, source=out, table=name)


def interrupted(at, **changes):
    """Return a little experiment that is interrupted in its so-manieth trial."""
    calls = []

    def trial(place, conditions, *, seed):
        calls.append(place)
        if len(calls) == at:
            raise KeyboardInterrupt
        return TrialResult({"took_s": 1.0})

    return experiment(trial, **changes)
