"""What a trial of `trust` does."""

from __future__ import annotations

from caveatlib.experiments.trust import planted
from caveatlib.experiments.trust.schema import FETCH, PLANTED, UPDATES
from caveatlib.places.base import TrialResult


def trial(place, conditions: dict, *, seed: int) -> TrialResult:
    """Offer an image to a tool, or look into one.

    Parameters
    ----------
    place : Bench, Aged or Others
    conditions : dict
        ``work``, ``form``, ``tampering``, ``image_age_s``.
    seed : int
        Unused: nothing in a trial is random.
    """
    work = conditions["work"]
    if work == FETCH:
        return TrialResult(place.fetch(conditions["form"], conditions["tampering"]))
    if work == PLANTED:
        return _planted(place.planted(conditions["form"]))
    if work == UPDATES:
        return _updates(place.read, conditions["image_age_s"])
    return _published(place.read())


def _planted(found: dict[str, str]) -> TrialResult:
    alarm = found.pop(planted.CLEAN)
    measures = {"named": float(sum(map(bool, found.values()))), "false_alarms": float(bool(alarm))}
    rows = [{"plant": plant, "named_by": by} for plant, by in found.items()]
    return TrialResult(measures, {"planted": rows})


def _updates(read, image_age_s: float) -> TrialResult:
    measures = read.lacking(image_age_s)
    if image_age_s:
        return TrialResult(measures)
    return TrialResult(measures | read.today, {"updates": read.rows})


def _published(rows: list[dict]) -> TrialResult:
    held = [row for row in rows if row["readable"]]
    compared = [row for row in held if row["packages"]]
    measures = {
        "images": float(len(held)),
        "unreadable": float(len(rows) - len(held)),
        "comparable": float(len(compared)),
        "differing": float(
            sum(bool(row["differing_files"] or row["shell_scripts"]) for row in compared)
        ),
    }
    return TrialResult(measures, {"published": rows})
